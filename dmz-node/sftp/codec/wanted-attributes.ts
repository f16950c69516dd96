/** The attributes of §5 in a request, as far as a relay keeps them. */
import type { FieldReader } from './field-reader.ts';
import { attributeFlag } from './protocol.ts';

/** What a client wants to set. Owner, group and mode are read over: a relay keeps none of them. */
export interface WantedAttributes {
  readonly size?: number;
  readonly modifiedAtMs?: number;
}

export function readAttributes(fields: FieldReader): WantedAttributes {
  const flags = fields.uint32();
  const wanted: { size?: number; modifiedAtMs?: number } = {};
  if (flags & attributeFlag.size) wanted.size = fields.uint64();
  if (flags & attributeFlag.owner) fields.skip(8);
  if (flags & attributeFlag.permissions) fields.skip(4);
  if (flags & attributeFlag.times) {
    fields.skip(4);
    wanted.modifiedAtMs = fields.uint32() * 1000;
  }
  return wanted;
}

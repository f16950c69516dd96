/**
 * What a user of a directory is called as a partner, and by what his entry is known when it is renamed or moved. The name comes
 * from the entry, never from what was typed: a directory takes many spellings for the same.
 */
import { partnerName } from '../../../shared/policy.ts';
import { type DirectoryEntry, textsOf } from './directory-connection.ts';
import type { DirectoryOptions } from './directory-options.ts';
import { comparable, folded, parseName } from './distinguished-name.ts';

/** Stable names of entries: of OpenLDAP and others (RFC 4530), and of Active Directory. */
export const identityAttributes = ['entryUUID', 'objectGUID'] as const;

/** @returns undefined when the entry has no single value that makes a name. */
export function partnerNameOf(entry: DirectoryEntry, options: DirectoryOptions): string | undefined {
  const attribute = options.partnerAttribute ?? (options.bind === 'direct' ? options.usernameAttribute : undefined);
  const values = attribute === undefined ? [parseName(entry.dn)[0]?.[0]?.value ?? ''] : textsOf(entry, attribute);
  const [value, ...more] = values;
  if (value === undefined || more.length > 0) return undefined;
  const name = folded(value.replace(/@.*$/s, '')).replace(/[^a-z0-9._-]/g, '.');
  return partnerName.safeParse(name).success ? name : undefined;
}

/** The same as long as it is the same entry, whatever it is called. */
export function entryIdentity(entry: DirectoryEntry): string {
  for (const attribute of identityAttributes) {
    const [value] = entry.values.get(attribute.toLowerCase()) ?? [];
    if (value !== undefined) return `${attribute}:${typeof value === 'string' ? value.toLowerCase() : value.toString('hex')}`;
  }
  return `dn:${comparable(parseName(entry.dn))}`;
}

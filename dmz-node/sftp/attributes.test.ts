import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FileEntry } from '../partner-view.ts';
import { attributeBytes, writeAttributes } from './attributes.ts';

const entry = (over: Partial<FileEntry>): FileEntry => ({
  name: 'a.csv',
  kind: 'file',
  size: 12,
  modifiedAtMs: Date.UTC(2026, 10, 3, 4, 5),
  ghost: false,
  writable: true,
  ...over,
});

test('sizes beyond 32 bits and times before 1970 or after 2106 are written', () => {
  const bytes = Buffer.alloc(attributeBytes);
  writeAttributes(bytes, 0, entry({ size: 2 ** 40 + 5, modifiedAtMs: -1 }));
  assert.equal(bytes.readBigUInt64BE(4), BigInt(2 ** 40 + 5));
  assert.equal(bytes.readUInt32BE(28), 0);
  writeAttributes(bytes, 0, entry({ modifiedAtMs: 8.64e15 }));
  assert.equal(bytes.readUInt32BE(28), 0xffff_ffff);
});

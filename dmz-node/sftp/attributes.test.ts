import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FileEntry } from '../partner-view.ts';
import { attributeBytes, longName, writeAttributes } from './attributes.ts';

const now = Date.UTC(2026, 10, 21, 12);
const entry = (over: Partial<FileEntry>): FileEntry => ({
  name: 'a.csv',
  kind: 'file',
  size: 12,
  modifiedAtMs: Date.UTC(2026, 10, 3, 4, 5),
  ghost: false,
  writable: true,
  ...over,
});

test('a line looks as ls -l prints it', () => {
  assert.equal(longName(entry({}), now), '-rw-r-----    1 partner  partner            12 Nov  3 04:05 a.csv');
  const old = entry({ kind: 'folder', writable: false, size: 0, modifiedAtMs: Date.UTC(2020, 0, 31), name: 'Out' });
  assert.equal(longName(old, now), 'dr-xr-x---    1 partner  partner             0 Jan 31  2020 Out');
});

test('sizes beyond 32 bits and times before 1970 or after 2106 are written', () => {
  const bytes = Buffer.alloc(attributeBytes);
  writeAttributes(bytes, 0, entry({ size: 2 ** 40 + 5, modifiedAtMs: -1 }));
  assert.equal(bytes.readBigUInt64BE(4), BigInt(2 ** 40 + 5));
  assert.equal(bytes.readUInt32BE(28), 0);
  writeAttributes(bytes, 0, entry({ modifiedAtMs: 8.64e15 }));
  assert.equal(bytes.readUInt32BE(28), 0xffff_ffff);
});

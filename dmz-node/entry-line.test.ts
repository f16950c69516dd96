import assert from 'node:assert/strict';
import { test } from 'node:test';
import { longName } from './entry-line.ts';
import type { FileEntry } from './partner-view.ts';

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

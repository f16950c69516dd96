/** A sample of what `scripts/fuzz destinations` plays whole, on a tmpfs, which needs root. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fuzzDestinations } from './destination-fuzz.ts';

test('FD-38: no odd name of a partner or a file makes anything outside of the destination, whatever rule puts it there', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-odd-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64m,mode=0700', 'sallyport-test', folder]);
  t.after(() => {
    execFileSync('umount', [folder]);
    rmdirSync(folder);
  });
  const { delivered, refused, faults } = await fuzzDestinations(folder, 20_261_122, 500);
  assert.deepEqual(faults, []);
  assert.ok(delivered > 150 && refused > 40, `${delivered} delivered, ${refused} refused`);
});

/** SSH runs on the native ciphers of ssh2. Without the add-on everything still works, several times slower: nobody would notice. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';

test('the native crypto add-on of ssh2 is loaded', () => {
  const { bindingAvailable } = createRequire(import.meta.url)('ssh2/lib/protocol/crypto.js') as { bindingAvailable: unknown };
  assert.equal(bindingAvailable, true);
});

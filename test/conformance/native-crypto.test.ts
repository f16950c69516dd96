/** SSH runs on the native ciphers of ssh2. Without the add-on everything still works, several times slower: nobody would notice. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { promisify } from 'node:util';

test('the native crypto add-on of ssh2 is loaded', () => {
  const { bindingAvailable } = createRequire(import.meta.url)('ssh2/lib/protocol/crypto.js') as { bindingAvailable: unknown };
  assert.equal(bindingAvailable, true);
});

test('ciphers that connections leave behind are collected without harm to the process', async () => {
  // Small rounds with objects in between: the collector begins in a task of its own, which is where it went wrong.
  const program = `
    const addon = require('ssh2/lib/protocol/crypto/build/Release/sshcrypto.node');
    const key = Buffer.alloc(32, 1), iv = Buffer.alloc(16, 2), none = Buffer.alloc(0);
    let rounds = 0;
    (function round() {
      for (let i = 0; i < 50; i++) {
        new addon.AESGCMCipher('aes-128-gcm', key.subarray(0, 16), iv.subarray(0, 12));
        new addon.AESGCMDecipher('aes-128-gcm', key.subarray(0, 16), iv.subarray(0, 12));
        new addon.GenericCipher('aes-128-ctr', key.subarray(0, 16), iv, 'sha256', key, false);
        new addon.GenericDecipher('aes-128-ctr', key.subarray(0, 16), iv, 'sha256', key, false, 32);
        new addon.ChaChaPolyCipher(Buffer.alloc(64, 3));
        new addon.ChaChaPolyDecipher(Buffer.alloc(64, 3));
        Array.from({ length: 200 }, (_, j) => ({ j }));
      }
      if (++rounds < 200) setImmediate(round);
      else console.log('alive');
    })();`;
  const { stdout } = await promisify(execFile)(process.execPath, ['-e', program], { cwd: import.meta.dirname });
  assert.equal(stdout, 'alive\n');
});

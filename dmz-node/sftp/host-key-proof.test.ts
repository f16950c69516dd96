import assert from 'node:assert/strict';
import { test } from 'node:test';
import { announcement, proofRequest, proofs } from './host-key-proof.ts';
import { newEd25519Key, newHostKey } from './new-host-key.ts';
import { readSshStrings, sshString } from './ssh-strings.ts';
import { parseSshKey } from './ssh2-seam.ts';

const [first, second, stranger] = ['a', 'b', 'c'].map((name) => parseSshKey(Buffer.from(newEd25519Key(name))));
const rsa = parseSshKey(Buffer.from(await newHostKey('rsa')));
assert.ok(first && second && stranger);
const own = [first, second, rsa];
const sessionId = Buffer.alloc(32, 7);
const ask = (...keys: (typeof own)[number][]) => proofs(announcement(keys), own, sessionId, 'rsa-sha2-256');

test('signs the session and the key, in the order that was asked for', () => {
  const answers = readSshStrings(ask(rsa, first) ?? Buffer.alloc(0)) ?? [];
  assert.equal(answers.length, 2);
  for (const [i, key] of [rsa, first].entries()) {
    const [algorithm, signature] = readSshStrings(answers[i] ?? Buffer.alloc(0)) ?? [];
    assert.equal(algorithm?.toString(), i === 0 ? 'rsa-sha2-256' : 'ssh-ed25519');
    const signed = Buffer.concat([sshString(proofRequest), sshString(sessionId), sshString(key.getPublicSSH())]);
    assert.equal(key.verify(signed, signature ?? Buffer.alloc(0), i === 0 ? 'sha256' : undefined), true);
  }
});

test('signs nothing when a key is not ours, comes twice, or the request is no list of keys', () => {
  assert.equal(ask(first, stranger), undefined);
  assert.equal(ask(first, first), undefined);
  assert.equal(ask(first, second, rsa, first), undefined);
  for (const wanted of [Buffer.alloc(0), Buffer.from([0, 0, 0]), Buffer.from([0xff, 0xff, 0xff, 0xff]), Buffer.alloc(4)]) {
    assert.equal(proofs(wanted, own, sessionId, 'rsa-sha2-256'), undefined);
  }
});

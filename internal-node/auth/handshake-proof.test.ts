import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { ManualClock } from '../../test/fixtures/manual-clock.ts';
import { handshakeWith, string } from '../../test/fixtures/ssh-login.ts';
import { sshFingerprint } from '../ssh-public-key.ts';
import { HandshakeCookies } from './handshake-cookies.ts';
import { readHandshake } from './handshake-proof.ts';

test('finds the cookie of the server and the host key in what makes the identifier, whatever hash the exchange had', () => {
  const [cookie, hostKey] = [randomBytes(16), randomBytes(51)];
  const { transcript } = handshakeWith(cookie, hostKey);
  for (const hash of ['sha256', 'sha384', 'sha512']) {
    const found = readHandshake(transcript, createHash(hash).update(transcript).digest());
    assert.deepEqual(found, { cookie, hostKey: sshFingerprint(hostKey) });
  }
  assert.equal(readHandshake(transcript, createHash('md5').update(transcript).digest()), undefined);
});

test('takes the cookie from the KEXINIT of the server alone', () => {
  const identifierOf = (transcript: Buffer): Buffer => createHash('sha256').update(transcript).digest();
  const ours = randomBytes(16);
  const init = (first: number, cookie: Buffer) => Buffer.concat([Buffer.from([first]), cookie, randomBytes(50)]);
  const greetings = [string('SSH-2.0-a'), string('SSH-2.0-b')];
  const rest = [string(randomBytes(51)), string(randomBytes(32)), string(randomBytes(32)), string(randomBytes(32))];
  const swapped = Buffer.concat([...greetings, string(init(20, ours)), string(init(20, randomBytes(16))), ...rest]);
  assert.notDeepEqual(readHandshake(swapped, identifierOf(swapped))?.cookie, ours);
  const noKexInit = Buffer.concat([...greetings, string(init(20, randomBytes(16))), string(init(21, ours)), ...rest]);
  assert.equal(readHandshake(noKexInit, identifierOf(noKexInit)), undefined);
  const short = Buffer.concat([...greetings, string(init(20, ours)), string(Buffer.from([20, 1])), ...rest]);
  assert.equal(readHandshake(short, identifierOf(short)), undefined);
});

test('a cookie is good for one handshake and for its life, and the oldest give way to new ones', () => {
  const clock = new ManualClock();
  const cookies = new HandshakeCookies({ clock }, { lifeMs: 1000, most: 3 });
  const made = (count: number) => cookies.make(count).cookies.map((text) => Buffer.from(text, 'base64'));
  const [first, second] = made(2) as [Buffer, Buffer];
  const [handshake, other] = [randomBytes(32), randomBytes(32)];
  assert.equal(cookies.claim(randomBytes(16), handshake), false);
  assert.equal(cookies.claim(first, handshake), true);
  assert.equal(cookies.claim(first, handshake), true, 'a program may offer several keys in one handshake');
  assert.equal(cookies.claim(first, other), false);
  clock.advance(999);
  assert.equal(cookies.claim(second, other), true);
  clock.advance(1);
  assert.equal(cookies.claim(second, other), false);
  const [a, b, c, d] = made(4) as [Buffer, Buffer, Buffer, Buffer];
  assert.deepEqual(
    [a, b, c, d].map((cookie) => cookies.claim(cookie, handshake)),
    [false, true, true, true],
  );
});

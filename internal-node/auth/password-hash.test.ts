import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SallyportError } from '../../shared/errors.ts';
import { Secret } from '../../shared/secret.ts';
import { parsePasswordHash, standardCost } from '../password-phc.ts';
import { type Derive, deriveArgon2id, PasswordHasher } from './password-hash.ts';

const real = new PasswordHasher({ derive: deriveArgon2id });

test('agrees with the reference implementation of Argon2id', async () => {
  const hash = parsePasswordHash('$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc');
  assert.equal(await real.verify(new Secret('password'), hash), true);
  assert.equal(await real.verify(new Secret('Password'), hash), false);
});

test('makes hashes of the standard cost that only the same bytes fit', async () => {
  const password = 'grüße: \u{1f511} trailing blank ';
  const text = await real.hash(new Secret(password));
  assert.match(text, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
  const hash = parsePasswordHash(text);
  assert.equal(await real.verify(new Secret(password), hash), true);
  assert.equal(await real.verify(new Secret(password.trim()), hash), false);
  assert.equal(await real.verify(new Secret(password.normalize('NFD')), hash), false);
  assert.notEqual(await real.hash(new Secret(password)), text);
});

test('hashes no empty password', async () => {
  await assert.rejects(real.hash(new Secret('')), (error) => error instanceof SallyportError && error.code === 'usage');
});

test('runs a few at a time, lets some wait and refuses the rest', async () => {
  const finish: (() => void)[] = [];
  let running = 0;
  let most = 0;
  const derive: Derive = async (_password, _salt, bytes) => {
    running += 1;
    most = Math.max(most, running);
    await new Promise<void>((resolve) => finish.push(resolve));
    running -= 1;
    return Buffer.alloc(bytes);
  };
  const hasher = new PasswordHasher({ derive }, { concurrent: 2, queued: 3 });
  const expected = { ...standardCost, salt: Buffer.alloc(16), hash: Buffer.alloc(32) };
  const attempts = Array.from({ length: 5 }, () => hasher.verify(new Secret('x'), expected));
  await assert.rejects(
    hasher.verify(new Secret('x'), expected),
    (error) => error instanceof SallyportError && error.code === 'limit-reached',
  );
  const all = Promise.all(attempts);
  let done = false;
  const over = all.then(() => {
    done = true;
  });
  while (!done) {
    finish.shift()?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
  await over;
  assert.deepEqual(await all, [true, true, true, true, true]);
  assert.equal(most, 2);
  const later = hasher.verify(new Secret('x'), expected);
  await new Promise((resolve) => setImmediate(resolve));
  finish.shift()?.();
  assert.equal(await later, true, 'places are given back');
});

test('gives the place back when a hash fails', async () => {
  const derive: Derive = () => Promise.reject(new Error('no memory'));
  const hasher = new PasswordHasher({ derive }, { concurrent: 1, queued: 0 });
  const expected = { ...standardCost, salt: Buffer.alloc(16), hash: Buffer.alloc(32) };
  await assert.rejects(hasher.verify(new Secret('x'), expected), /no memory/);
  await assert.rejects(hasher.verify(new Secret('x'), expected), /no memory/);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SallyportError } from '../shared/errors.ts';
import { formatPasswordHash, parsePasswordHash } from './password-phc.ts';

const salt = 'c29tZXNhbHQ';
const hash = 'CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc';

test('reads a hash of the reference implementation and writes the same text', () => {
  const text = `$argon2id$v=19$m=65536,t=2,p=1$${salt}$${hash}`;
  const parsed = parsePasswordHash(text);
  assert.equal(parsed.memoryKib, 65_536);
  assert.equal(parsed.salt.toString(), 'somesalt');
  assert.equal(formatPasswordHash(parsed), text);
});

const wrong = {
  'a clear password': 'hunter2-hunter2',
  'another kind of Argon2': `$argon2i$v=19$m=19456,t=2,p=1$${salt}$${hash}`,
  'another version': `$argon2id$v=16$m=19456,t=2,p=1$${salt}$${hash}`,
  'parameters in another order': `$argon2id$v=19$t=2,m=19456,p=1$${salt}$${hash}`,
  'too little memory': `$argon2id$v=19$m=1024,t=2,p=1$${salt}$${hash}`,
  'memory that would exhaust the node': `$argon2id$v=19$m=4000000,t=2,p=1$${salt}$${hash}`,
  'too many passes': `$argon2id$v=19$m=19456,t=99,p=1$${salt}$${hash}`,
  'base64 with loose bits': `$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHR$${hash}`,
  'a line feed at the end': `$argon2id$v=19$m=19456,t=2,p=1$${salt}$${hash}\n`,
  'a short hash': `$argon2id$v=19$m=19456,t=2,p=1$${salt}$CTFhFdXP`,
};
for (const [what, text] of Object.entries(wrong)) {
  test(`refuses ${what} without quoting it`, () => {
    assert.throws(
      () => parsePasswordHash(text),
      (error) => error instanceof SallyportError && error.code === 'config-invalid' && !error.message.includes(text),
    );
  });
}

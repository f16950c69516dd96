import assert from 'node:assert/strict';
import { test } from 'node:test';
import { grantSchema } from '../../shared/policy.ts';
import { makeKey } from '../../test/fixtures/ssh-login.ts';
import { accountsOf, grantOf, partnersSchema } from './partners.ts';

const hash = '$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc';
const key = makeKey('ed25519');

const problems = (partner: unknown): string[] => {
  const result = partnersSchema.safeParse({ acme: partner });
  return result.success ? [] : result.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
};

test('a partner with one key has the defaults, and they make a valid grant', () => {
  const partners = partnersSchema.parse({ acme: { keys: [key.publicLine] } });
  const acme = partners.acme;
  assert.ok(acme);
  assert.equal(acme.require, 'any');
  assert.deepEqual(grantSchema.parse(grantOf('acme', acme)), {
    partner: 'acme',
    mayUpload: true,
    mayDownload: true,
    mayChange: true,
    mayList: true,
    quotaBytes: 10 * 2 ** 30,
    quotaFiles: 10_000,
    maxFileBytes: 10 * 2 ** 30,
    maxPartials: 100,
    onExisting: 'keep-both',
  });
});

test('everything that is written is in the grant', () => {
  const partner = { password: hash, upload: false, download: false, change: false, quota: '1GiB', quotaFiles: 7 };
  const limits = { maxFileSize: '10MiB', maxPartials: 2, onExisting: 'refuse' };
  const account = accountsOf(partnersSchema.parse({ acme: { ...partner, ...limits } })).get('acme');
  assert.deepEqual(account?.grant, {
    partner: 'acme',
    mayUpload: false,
    mayDownload: false,
    mayChange: false,
    mayList: true,
    quotaBytes: 2 ** 30,
    quotaFiles: 7,
    maxFileBytes: 10 * 2 ** 20,
    maxPartials: 2,
    onExisting: 'refuse',
  });
});

test('refuses secrets in the clear, says what to do, and quotes nothing of them', () => {
  const [clear] = problems({ password: 'hunter2' });
  assert.match(clear ?? '', /^acme\.password: this is not a password hash.*sallyport partner add/);
  assert.doesNotMatch(clear ?? '', /hunter2/);
  assert.deepEqual(problems({ keys: [key.privateKey] }), [
    'acme.keys.0: this is a private key; it was not stored; make a new one',
  ]);
});

test('refuses what makes no sense, at the place where it stands', () => {
  const cases: readonly (readonly [unknown, RegExp])[] = [
    [{}, /^acme\.keys: the partner has neither a key nor a password$/],
    [{ password: hash, require: 'key+password' }, /^acme\.keys: key\+password needs at least one key$/],
    [{ keys: [key.publicLine], require: 'key+password' }, /^acme\.password: key\+password needs a password$/],
    [{ keys: [key.publicLine, `${key.publicLine} again`] }, /^acme\.keys: the key SHA256:\S+ is there twice$/],
    [{ keys: [makeKey('rsa1024').publicLine] }, /^acme\.keys\.0: an RSA key of 1024 bits/],
    [{ keys: [key.publicLine], quota: '10 apples' }, /^acme\.quota: unknown unit/],
    [{ keys: [key.publicLine], from: ['10.0.0.0/33'] }, /^acme\.from\.0: expected an address or a range/],
    [{ keys: [key.publicLine], from: ['example.org'] }, /^acme\.from\.0: expected an address or a range/],
    [{ keys: [key.publicLine], from: [] }, /^acme\.from: /],
    [{ keys: [key.publicLine], pasword: hash }, /^acme: .*pasword/],
  ];
  for (const [partner, pattern] of cases) assert.match(problems(partner)[0] ?? 'no problem', pattern);
  assert.equal(partnersSchema.safeParse({ 'Acme Ltd': { keys: [key.publicLine] } }).success, false);
});

test('a partner without a source list is allowed from everywhere, one with a list only from there', () => {
  const accounts = accountsOf(
    partnersSchema.parse({
      open: { keys: [key.publicLine] },
      near: { keys: [key.publicLine], from: ['198.51.100.0/24', '203.0.113.7', '2001:db8::/32'] },
    }),
  );
  assert.equal(accounts.get('open')?.allowsFrom(''), true);
  const allowed = ['198.51.100.1', '203.0.113.7', '2001:db8:1::5', '203.0.113.8', '2001:db9::1', '', 'x'].map((peer) =>
    accounts.get('near')?.allowsFrom(peer),
  );
  assert.deepEqual(allowed, [true, true, true, false, false, false, false]);
});

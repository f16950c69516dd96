import assert from 'node:assert/strict';
import { test } from 'node:test';
import { grantSchema } from '../../shared/policy.ts';
import { accountsFrom } from '../../test/fixtures/accounts.ts';
import { everything } from '../../test/fixtures/permissions.ts';
import { makeKey } from '../../test/fixtures/ssh-login.ts';
import { partnersSchema } from './partners.ts';

const hash = '$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc';
const key = makeKey('ed25519');

const problems = (partner: unknown): string[] => {
  const result = partnersSchema.safeParse({ acme: partner });
  if (result.success) return [];
  return result.error.issues.map((issue) => {
    // A key is a line, or a map with one.
    const ofLine = issue.code === 'invalid_union' ? issue.errors[0]?.[0] : undefined;
    return `${issue.path.join('.')}: ${ofLine?.message ?? issue.message}`;
  });
};

const grantOf = (partner: unknown, groups: unknown = {}, peer?: string) =>
  accountsFrom({ acme: partner }, groups).get('acme')?.grantFor(peer);

test('a partner with one key has the defaults, and they make a valid grant', () => {
  const grant = grantOf({ keys: [key.publicLine] });
  assert.deepEqual(grantSchema.parse(grant), {
    partner: 'acme',
    permissions: { ...everything, lines: [{ set: ['allow-full-control'], source: 'default' }] },
    quotaBytes: 10 * 2 ** 30,
    quotaFiles: 10_000,
    maxFileBytes: 10 * 2 ** 30,
    maxPartials: 100,
    onExisting: 'keep-both',
  });
});

test('everything that is written is in the grant', () => {
  const limits = { quota: '1GiB', quotaFiles: 7, maxFileSize: '10MiB', maxPartials: 2, onExisting: 'refuse' };
  const permissions = { global: ['allow-list'], paths: [{ on: '/Inbox/*', set: ['allow-write'] }] };
  assert.deepEqual(grantOf({ password: hash, permissions, ...limits }), {
    partner: 'acme',
    permissions: {
      timeZone: 'UTC',
      lines: [
        { on: '/Inbox/*', set: ['allow-write'], source: 'partners.acme.permissions.paths.0' },
        { set: ['allow-list'], source: 'partners.acme.permissions.global' },
      ],
    },
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
    [{ password: hash, require: 'key+password' }, /^acme\.keys: key\+password needs at least one key or authority$/],
    [{ keys: [key.publicLine], require: 'key+password' }, /^acme\.password: key\+password needs a password$/],
    [{ keys: [key.publicLine, `${key.publicLine} again`] }, /^acme\.keys: the key SHA256:\S+ is there twice$/],
    [{ keys: [makeKey('rsa1024').publicLine] }, /^acme\.keys\.0: an RSA key of 1024 bits/],
    [{ keys: [key.publicLine], quota: '10 apples' }, /^acme\.quota: unknown unit/],
    [{ keys: [key.publicLine], from: ['10.0.0.0/33'] }, /^acme\.from\.0: expected an address or a range/],
    [{ keys: [key.publicLine], from: ['example.org'] }, /^acme\.from\.0: expected an address or a range/],
    [{ keys: [key.publicLine], from: ['denied 10.0.0.1'] }, /^acme\.from\.0: expected/],
    [{ keys: [key.publicLine], from: [] }, /^acme\.from: /],
    [{ keys: [key.publicLine], pasword: hash }, /^acme: .*pasword/],
  ];
  for (const [partner, pattern] of cases) assert.match(problems(partner)[0] ?? 'no problem', pattern);
  assert.equal(partnersSchema.safeParse({ 'Acme Ltd': { keys: [key.publicLine] } }).success, false);
});

test('AC-17: the first range that holds an address decides; with a list and no such range it is refused', () => {
  const from = ['deny 198.51.100.66', '198.51.100.0/24', '203.0.113.7', 'allow 2001:db8::/32'];
  const accounts = accountsFrom({ open: { keys: [key.publicLine] }, near: { keys: [key.publicLine], from } });
  assert.equal(accounts.get('open')?.refusal('', 0), undefined);
  const refused = ['198.51.100.1', '198.51.100.66', '203.0.113.7', '2001:db8:1::5', '203.0.113.8', '2001:db9::1', '', 'x'].map(
    (peer) => accounts.get('near')?.refusal(peer, 0)?.source,
  );
  const no = 'partners.near.from';
  assert.deepEqual(refused, [undefined, no, undefined, undefined, no, no, no, no]);
});

test('AC-17: a group counts only for addresses that it allows, and without any group nobody gets in', () => {
  const groups = {
    office: { from: ['192.0.2.0/24'], permissions: { global: ['allow-full-control'] } },
    anywhere: { from: ['192.0.2.0/24', '203.0.113.0/24'], permissions: { global: ['allow-list'] } },
  };
  const account = accountsFrom({ acme: { keys: [key.publicLine], groups: ['office', 'anywhere'] } }, groups).get('acme');
  const globalAt = (peer: string) => account?.grantFor(peer).permissions.lines.at(-1)?.set;
  assert.deepEqual(globalAt('192.0.2.9'), ['allow-full-control']);
  assert.deepEqual(globalAt('203.0.113.9'), ['allow-list']);
  assert.deepEqual(account?.refusal('198.51.100.1', 0), { reason: 'source address not allowed', source: 'groups.office.from' });
});

test('AC-04: what a partner has of his own beats what his group has', () => {
  const groups = { big: { quota: '2GiB', quotaFiles: 9, uploads: { ghost: '1m' } } };
  const grant = grantOf({ keys: [key.publicLine], groups: ['big'], quotaFiles: 5 }, groups);
  assert.equal(grant?.quotaBytes, 2 * 2 ** 30);
  assert.equal(grant?.quotaFiles, 5);
  assert.deepEqual(grant?.uploads, { ghostMs: 60_000 });
});

test('AC-05: a disabled group refuses its members and nobody else', () => {
  const groups = { off: { disabled: true }, on: {} };
  const keys = [key.publicLine];
  const accounts = accountsFrom({ a: { keys, groups: ['on', 'off'] }, b: { keys, groups: ['on'] } }, groups);
  assert.deepEqual(accounts.get('a')?.refusal('192.0.2.1', 0), { reason: 'group disabled', source: 'groups.off.disabled' });
  assert.equal(accounts.get('b')?.refusal('192.0.2.1', 0), undefined);
});

test('AC-06: partners without a group are in the default group, if there is one', () => {
  const groups = { default: { quotaFiles: 3 }, other: {} };
  assert.equal(grantOf({ keys: [key.publicLine] }, groups)?.quotaFiles, 3);
  assert.equal(grantOf({ keys: [key.publicLine], groups: ['other'] }, groups)?.quotaFiles, 10_000);
});

test('AC-07: of several groups the first gives the numbers', () => {
  const groups = { a: { quotaFiles: 1 }, b: { quotaFiles: 2, quota: '1GiB' } };
  const keys = [key.publicLine];
  assert.equal(grantOf({ keys, groups: ['a', 'b'] }, groups)?.quotaFiles, 1);
  assert.equal(grantOf({ keys, groups: ['a', 'b'] }, groups)?.quotaBytes, 10 * 2 ** 30);
  assert.equal(grantOf({ keys, groups: ['b', 'a'] }, groups)?.quotaFiles, 2);
});

test('AC-07, AC-10: folders of a partner and of all his groups are used together, the first that names one counts', () => {
  const keys = [key.publicLine];
  const groups = {
    a: { folders: { '/reports': 'Outbox/a', '/prices': 'lists/Outbox' }, makeFolders: ['in'] },
    b: { folders: { '/reports': 'Outbox/b', '/claims': 'Inbox/claims' }, makeFolders: ['in', '/Inbox/x/y'] },
  };
  const partner = { keys, groups: ['a', 'b'], folders: { '/own': 'Outbox' }, makeFolders: ['mine'] };
  const grant = grantSchema.parse(grantOf(partner, groups));
  assert.deepEqual(grant.folders, [
    { path: '/own', place: '/Outbox' },
    { path: '/reports', place: '/Outbox/a' },
    { path: '/prices', place: '/Outbox', owner: 'lists' },
    { path: '/claims', place: '/Inbox/claims' },
  ]);
  assert.deepEqual(grant.makeFolders, ['/Inbox/mine', '/Inbox/in', '/Inbox/x/y']);
  const wrong: readonly (readonly [unknown, RegExp])[] = [
    [{ folders: { '/Inbox/x': 'Outbox' } }, /^acme\.folders\.\/Inbox\/x: .*is there already/],
    [{ folders: { '/x': 'lists/Inbox' } }, /stands for/],
    [{ folders: { '/x': '/etc' } }, /expected like/],
    [{ folders: { x: 'Outbox' } }, /expected like/],
    [{ makeFolders: ['../x'] }, /^acme\.makeFolders\.0: expected a folder of the Inbox/],
    [{ makeFolders: [''] }, /expected a folder of the Inbox/],
  ];
  for (const [more, pattern] of wrong) assert.match(problems({ keys, ...(more as object) })[0] ?? 'none', pattern);
});

test('AC-21: sessions and rates of a partner, or of his group, travel with his grant', () => {
  const groups = { g: { maxSessions: 3, uploadRate: '1MiB' } };
  const grant = grantSchema.parse(
    grantOf({ keys: [key.publicLine], groups: ['g'], downloadRate: '2MiB', maxSessions: 1 }, groups),
  );
  assert.deepEqual([grant.maxSessions, grant.uploadBytesPerS, grant.downloadBytesPerS], [1, 2 ** 20, 2 ** 21]);
  assert.match(problems({ keys: [key.publicLine], uploadRate: '10B' })[0] ?? '', /^acme\.uploadRate: too small/);
});

test('PE-24: path lines of all groups in their order, the global line of the first', () => {
  const groups = {
    a: { permissions: { global: ['allow-list'], paths: [{ on: '/Inbox/a', set: ['allow-write'] }] } },
    b: { permissions: { global: ['allow-full-control'], paths: [{ on: '/Inbox/*', set: ['allow-read'] }] } },
  };
  const lines = grantOf({ keys: [key.publicLine], groups: ['a', 'b'] }, groups)?.permissions.lines;
  assert.deepEqual(
    lines?.map(({ on, source }) => `${on ?? 'rest'} ${source}`),
    ['/Inbox/a groups.a.permissions.paths.0', '/Inbox/* groups.b.permissions.paths.0', 'rest groups.a.permissions.global'],
  );
  const own = { keys: [key.publicLine], groups: ['a', 'b'], permissions: { global: ['allow-read'] } };
  assert.deepEqual(
    grantOf(own, groups)?.permissions.lines.map(({ set }) => set),
    [['allow-read']],
  );
});

test('AC-14: from the moment it expires an account is refused; a day alone begins here', () => {
  const at = (expires: string, nowMs: number) =>
    accountsFrom({ acme: { keys: [key.publicLine], expires } })
      .get('acme')
      ?.refusal(undefined, nowMs)?.reason;
  const moment = Date.UTC(2026, 11, 31, 17);
  for (const text of ['2026-12-31T17:00Z', '2026-12-31T18:00+01:00', '2026-12-31T17:00:00Z']) {
    assert.equal(at(text, moment - 1), undefined, text);
    assert.equal(at(text, moment), 'expired', text);
  }
  const midnight = new Date(2026, 11, 31).getTime();
  assert.equal(at('2026-12-31', midnight - 1), undefined);
  assert.equal(at('2026-12-31', midnight), 'expired');
  assert.match(problems({ keys: [key.publicLine], expires: 'soon' })[0] ?? '', /^acme\.expires: expected a moment/);
});

test('permissions that make no sense are refused at their place', () => {
  const wrong = (permissions: unknown) => problems({ keys: [key.publicLine], permissions })[0] ?? 'no problem';
  assert.match(wrong({ global: ['allow-everything'] }), /^acme\.permissions\.global\.0: /);
  assert.match(wrong({ paths: [{ on: '/Inbox/[a', set: [] }] }), /^acme\.permissions\.paths\.0\.on: column 8: /);
  assert.match(wrong({ globl: [] }), /globl/);
});

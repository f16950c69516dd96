/** Which line decides, and what it allows; that no spelling of a path gets round a line. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { grantedOn } from '../../test/fixtures/permissions.ts';
import { parseVirtualPath } from '../paths/virtual-path.ts';
import { listingOf, mayDo } from './acts.ts';
import { forUser, Permissions } from './permissions.ts';
import { type Permission, type PermissionWord, permissionNames } from './words.ts';

type Lines = readonly (readonly [on: string, ...set: readonly PermissionWord[]])[];
const of = (paths: Lines, ...global: readonly PermissionWord[]) => new Permissions(grantedOn(paths, global));
const allowed = (permissions: Permissions, path: string): readonly Permission[] =>
  permissionNames.filter((name) => mayDo(permissions, name, parseVirtualPath(path), 0).allowed);
const inInbox = permissionNames;
/** As it is written in the configuration. */
const user = '$\u007bUSER}';

test('each permission allows itself and nothing else', () => {
  for (const name of permissionNames) assert.deepEqual(allowed(of([], `allow-${name}`), '/Inbox/a/x'), [name]);
  assert.deepEqual(allowed(of([], 'allow-read', 'allow-list'), '/Inbox/x'), ['read', 'list']);
  assert.deepEqual(allowed(of([], 'allow-full-control'), '/Inbox/x'), inInbox);
  assert.deepEqual(allowed(of([]), '/Inbox/x'), []);
});

test('PE-12: a denial in a set wins over what the set allows', () => {
  assert.deepEqual(allowed(of([], 'allow-full-control', 'deny-full-control', 'allow-read'), '/Inbox/x'), []);
});

test('PE-13: the global set counts only where no line does', () => {
  const permissions = of([['/Inbox/*', 'allow-write']], 'allow-read');
  assert.deepEqual(allowed(permissions, '/Outbox/x'), ['read']);
  assert.deepEqual(allowed(permissions, '/Inbox/x'), ['write']);
});

test('PE-14: a line replaces the global set, it does not add to it', () => {
  const permissions = of([['*.csv', 'allow-write']], 'allow-read', 'allow-list');
  assert.deepEqual(allowed(permissions, '/Inbox/a.csv'), ['write']);
  assert.deepEqual(allowed(permissions, '/Inbox/a.txt'), ['read', 'list']);
});

test('PE-15: the first line that matches decides, so their order counts', () => {
  const csv = ['*.csv', 'allow-read'] as const;
  const all = ['/Inbox/*', 'allow-read', 'allow-delete-file'] as const;
  assert.deepEqual(allowed(of([csv, all]), '/Inbox/a.csv'), ['read']);
  assert.deepEqual(allowed(of([all, csv]), '/Inbox/a.csv'), ['read', 'delete-file']);
  const decision = of([csv, all]).decide('delete-file', '/Inbox/a.csv', 0);
  assert.equal(decision.line?.source, 'partners.yaml:2');
});

test('PE-17: globs, regular expressions and negated ones', () => {
  const permissions = of([
    ['e/\\.pdf$/', 'allow-read'],
    ['m/^\\/Inbox\\/[0-9]+\\.pdf$/', 'allow-write'],
  ]);
  assert.deepEqual(allowed(permissions, '/Inbox/a.txt'), ['read']);
  assert.deepEqual(allowed(permissions, '/Inbox/42.pdf'), ['write']);
  assert.deepEqual(allowed(permissions, '/Inbox/x.pdf'), []);
});

test('PE-18: a line for what is in a folder is not one for the folder', () => {
  const permissions = of([['/Inbox/sub/*', 'allow-full-control']]);
  assert.ok(!allowed(permissions, '/Inbox/sub').includes('delete-folder'));
  assert.ok(allowed(permissions, '/Inbox/sub/x').includes('delete-folder'));
  assert.deepEqual(allowed(of([['/Inbox*', 'allow-list']]), '/Inbox'), ['list']);
  assert.deepEqual(allowed(of([['/Inbox', 'allow-list']]), '/Inbox/x'), []);
});

test('PE-19: the name of the user stands for itself, whatever it is made of', () => {
  assert.equal(forUser(`/Inbox/${user}/*`, 'a.b-c'), '/Inbox/a.b-c/*');
  assert.equal(forUser(`m/^\\/Inbox\\/${user}\\//`, 'a.b-c'), 'm/^\\/Inbox\\/a\\.b\\-c\\//');
  const dotted = of([[forUser(`m/^\\/Inbox\\/${user}\\//`, 'a.b'), 'allow-write']]);
  assert.deepEqual(allowed(dotted, '/Inbox/a.b/x'), ['write']);
  assert.deepEqual(allowed(dotted, '/Inbox/aXb/x'), []);
  assert.equal(forUser(user.toLowerCase(), 'acme'), user.toLowerCase());
});

test('PE-23: a line is for paths, whether or not anything is there', () => {
  assert.deepEqual(allowed(of([['/Inbox/2030/*', 'allow-write']]), '/Inbox/2030/12/x'), ['write']);
});

test('PE-25: no spelling of a path gets round a line', () => {
  const permissions = of([['/Inbox/secret | /Inbox/secret/*', 'deny-full-control']], 'allow-full-control');
  const spellings = [
    ...[
      '/Inbox/secret/x',
      '/Inbox//secret//x',
      '/Inbox/./secret/x',
      '/Inbox/a/../secret/x',
      '/../Inbox/secret/x',
      '//Inbox/secret/x/',
    ],
    ...['/Inbox/SECRET/x', '/Inbox/Secret/X', '/Outbox/../Inbox/secret/x', '/Inbox/secret', '/Inbox/secret/', '/Inbox/secret/.'],
  ];
  for (const spelling of spellings) assert.deepEqual(allowed(permissions, spelling), [], spelling);
  const accented = of([['/Inbox/caf\u00e9/*', 'deny-full-control']], 'allow-full-control');
  for (const name of ['caf\u00e9', 'cafe\u0301', 'CAF\u00c9', 'CAFE\u0301'])
    assert.deepEqual(allowed(accented, `/Inbox/${name}/x`), [], name);
  // A trailing dot or blank is part of a name here, as it is on the disk inside: another name, another file.
  assert.notDeepEqual(allowed(permissions, '/Inbox/secret./x'), []);
});

test('what cannot be done at all stays so with full control', () => {
  const permissions = of([], 'allow-full-control');
  assert.deepEqual(allowed(permissions, '/Outbox/x'), ['read', 'list', 'traverse', 'delete-file']);
  assert.deepEqual(allowed(permissions, '/Inbox'), ['list', 'traverse']);
  assert.deepEqual(allowed(permissions, '/etc/passwd'), []);
  assert.match(mayDo(permissions, 'write', parseVirtualPath('/Outbox/x'), 0).impossible ?? '', /only the inside/);
});

test('PE-20: who may only pass through sees the folders', () => {
  const folder = parseVirtualPath('/Inbox');
  assert.equal(listingOf(of([], 'allow-traverse'), folder, 0), 'folders');
  assert.equal(listingOf(of([], 'allow-traverse', 'allow-list'), folder, 0), 'all');
  assert.equal(listingOf(of([], 'allow-write'), folder, 0), 'nothing');
});

test('a line that cannot be read lets nobody in', () => {
  assert.throws(() => of([['/Inbox/[a', 'allow-read']]), /partners\.yaml:2: column 8/);
});

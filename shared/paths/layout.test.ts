import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Layout } from './layout.ts';
import { parseVirtualPath as path } from './virtual-path.ts';

const claims = { path: '/team/claims', place: '/Inbox/claims' };
const prices = { path: '/prices', place: '/Outbox/2026', owner: 'price-lists' };

test('AC-10: a path below a folder means the path below its place, whatever its spelling', () => {
  const layout = new Layout([claims, prices]);
  assert.equal(layout.placeOf(path('/team/claims/a/b')), '/Inbox/claims/a/b');
  assert.equal(layout.placeOf(path('/team/../prices/./x')), '/Outbox/2026/x');
  assert.equal(layout.placeOf(path('/Inbox/x')), '/Inbox/x');
  assert.equal(layout.placeOf(path('/prices2/x')), '/prices2/x');
  assert.equal(layout.folderOf(path('/prices/x'))?.owner, 'price-lists');
  const accented = new Layout([{ path: '/caf\u00e9', place: '/Outbox' }]);
  assert.equal(accented.placeOf(path('/cafe\u0301/x')), '/Outbox/x');
});

test('AC-10: the folders and what is above them are always there, and what is above lists them', () => {
  const layout = new Layout([claims, prices, { path: '/team/more', place: '/Outbox' }]);
  for (const fixed of ['/', '/Inbox', '/Outbox', '/team', '/team/claims', '/prices'])
    assert.ok(layout.isFixed(path(fixed)), fixed);
  for (const not of ['/team/claims/x', '/other', '/Inbox/x']) assert.ok(!layout.isFixed(path(not)), not);
  assert.deepEqual(layout.namesIn(path('/')), ['prices', 'team']);
  assert.deepEqual(layout.namesIn(path('/team')), ['claims', 'more']);
  assert.deepEqual(layout.namesIn(path('/prices')), []);
});

test('AC-11: a folder cannot have the name of what is there already, or lie within another', () => {
  const refused = [
    [{ path: '/Inbox/x', place: '/Outbox' }],
    [{ path: '/Outbox', place: '/Outbox' }],
    [{ path: '/', place: '/Outbox' }],
    [{ path: '/x', place: '/etc' }],
    [{ path: '/x', place: '/' }],
    [{ path: '/x', place: '/Inbox', owner: 'somebody' }],
    [claims, { path: '/team', place: '/Outbox' }],
    [claims, { path: '/team/claims/sub', place: '/Outbox' }],
    [claims, claims],
  ];
  for (const folders of refused) assert.throws(() => new Layout(folders), { code: 'config-invalid' }, JSON.stringify(folders));
});

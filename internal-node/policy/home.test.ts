import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { InsideDecision } from '../../shared/policy.ts';
import { accountsFrom } from '../../test/fixtures/accounts.ts';
import { makeKey } from '../../test/fixtures/ssh-login.ts';
import { homeOf, placed } from './home.ts';
import { partnersSchema } from './partners.ts';

const user = '$\u007bUSER}';
const shared = '$\u007bSHARED}';
const deliver: InsideDecision = { route: { action: 'deliver', destination: 'inside' }, rule: 'all (1)' };
const facts = { partner: 'acme', below: 'in/a.csv', item: 'zutyel7ifwg4vksobtalkg7yzq' };

test('AC-02: the name of the partner stands where the home says so, at its end when it does not, and not in a shared one', () => {
  assert.deepEqual(homeOf('acme'), ['acme']);
  assert.deepEqual(homeOf('acme', `suppliers/${user}/in`), ['suppliers', 'acme', 'in']);
  assert.deepEqual(homeOf('acme', 'suppliers'), ['suppliers', 'acme']);
  assert.deepEqual(homeOf('acme', 'suppliers/'), ['suppliers', 'acme']);
  assert.deepEqual(homeOf('acme', `${shared}/suppliers`), ['suppliers']);
  assert.deepEqual(homeOf('acme', shared), []);
});

test('AC-02, AC-04, AC-07: a home is that of the partner, else that of the first of his groups', () => {
  const keys = [makeKey('ed25519').publicLine];
  const groups = { a: { home: 'of-a' }, b: { home: `${shared}/of-b` } };
  const accounts = accountsFrom(
    { one: { keys, groups: ['a', 'b'] }, two: { keys, groups: ['b', 'a'] }, own: { keys, groups: ['a'], home: `x/${user}` } },
    groups,
  );
  assert.deepEqual(
    ['one', 'two', 'own'].map((name) => accounts.get(name)?.place.home.join('/')),
    ['of-a/one', 'of-b', 'x/own'],
  );
});

test('AC-02: deliveries of rules without a path of their own go there, others do not', () => {
  const home = homeOf('acme', 'suppliers');
  assert.equal(placed(deliver, { home, amendName: 'no' }, facts).as, 'suppliers/acme/in/a.csv');
  assert.equal(placed({ ...deliver, as: 'x/y' }, { home, amendName: 'no' }, facts).as, 'x/y');
  assert.equal(placed(deliver, { home: ['acme'], amendName: 'no' }, facts), deliver);
  const hold: InsideDecision = { route: { action: 'hold' }, rule: '' };
  assert.equal(placed(hold, { home, amendName: 'id-prefix' }, facts), hold);
});

test('AC-16: the item is before the name of its file, so that two of one name are two files', () => {
  const place = { home: ['acme'], amendName: 'id-prefix' } as const;
  assert.equal(placed(deliver, place, facts).as, `acme/in/${facts.item}-a.csv`);
  assert.equal(placed({ ...deliver, as: 'x/y' }, place, facts).as, `x/${facts.item}-y`);
  const long = placed(deliver, place, { ...facts, below: `${'x'.repeat(250)}.csv` }).as ?? '';
  assert.ok(long.endsWith('.csv') && long.length < 230, long);
});

test('AC-03: no name of a partner and no home leads out of a destination', () => {
  const keys = [makeKey('ed25519').publicLine];
  for (const name of ['a/b', '..', 'a\\b', 'a:b', 'A', 'a b'])
    assert.equal(partnersSchema.safeParse({ [name]: { keys } }).success, false);
  const refused = ['../x', `a/../${user}`, '/etc', 'a//b', 'a\\b', '$\u007bHOME}', `x/${shared}`];
  for (const home of refused) assert.equal(partnersSchema.safeParse({ acme: { keys, home } }).success, false, home);
  assert.deepEqual(homeOf('acme', 'a:b/con'), ['a_b', '_con', 'acme']);
});

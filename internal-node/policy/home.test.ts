import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type PlaceInside, Router } from '../../shared/matching/routing.ts';
import type { Rule } from '../../shared/policy.ts';
import { accountsFrom } from '../../test/fixtures/accounts.ts';
import { makeKey } from '../../test/fixtures/ssh-login.ts';
import { homeOf } from './home.ts';
import { partnersSchema } from './partners.ts';

const user = '$\u007bUSER}';
const shared = '$\u007bSHARED}';
const item = 'zutyel7ifwg4vksobtalkg7yzq';

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

const landed = (place: PlaceInside | undefined, facts: { readonly path?: string; readonly as?: string } = {}) => {
  const { path = 'in/a.csv', as } = facts;
  const targets = [{ destination: 'inside', ...(as === undefined ? {} : { as }) }];
  const rule: Rule = {
    name: 'all',
    source: '',
    route: { action: 'deliver', destination: 'inside' },
    plan: { action: 'deliver', targets },
  };
  const { plan } = new Router([rule], { timeZone: 'UTC' }).decide({ partner: 'acme', path, size: 1, atMs: 0, item, place });
  return plan?.targets[0]?.file;
};

test('AC-02: deliveries of rules without a path of their own go there, others do not', () => {
  const home = homeOf('acme', 'suppliers');
  assert.equal(landed({ home, amendName: 'no' }), 'suppliers/acme/in/a.csv');
  assert.equal(landed({ home, amendName: 'no' }, { as: 'x/y' }), 'x/y');
  assert.equal(landed({ home: ['acme'], amendName: 'no' }), landed(undefined));
});

test('AC-16: the item is before the name of its file, so that two of one name are two files', () => {
  const place = { home: ['acme'], amendName: 'id-prefix' } as const;
  assert.equal(landed(place), `acme/in/${item}-a.csv`);
  assert.equal(landed(place, { as: 'x/y' }), `x/${item}-y`);
  const long = landed(place, { path: `${'x'.repeat(250)}.csv` }) ?? '';
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

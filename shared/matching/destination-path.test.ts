/** Paths that rules make: what is put in, and that nothing anybody names leads out of the destination. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SallyportError } from '../errors.ts';
import type { Rule } from '../policy.ts';
import { ZoneClock } from './dates.ts';
import { DestinationPath } from './destination-path.ts';
import { Router } from './routing.ts';

const atMs = Date.UTC(2026, 10, 1, 9, 5, 7);
interface Written {
  readonly path?: string;
  readonly as: string;
}

function made({ as, ...conditions }: Written, path: string, partner = 'acme') {
  const rule: Rule = {
    ...{ name: 'r', source: 'rules.yaml:2', route: { action: 'deliver', destination: 'inside' }, ...conditions },
    plan: { action: 'deliver', targets: [{ destination: 'inside', as }] },
  };
  const { route, plan } = new Router([rule], { timeZone: 'UTC' }).decide({ partner, path, size: 1, atMs });
  return { route, as: plan?.targets[0]?.file };
}

test('FD-18: groups of the expression are put into the path', () => {
  const rule = { path: 'm/^inbox\\/(\\w+)\\/(\\w+)\\//', as: 'reports/{2}/teams/{1}/' };
  assert.equal(made(rule, 'inbox/accounting/john/SRV_1.PDF').as, 'reports/john/teams/accounting/SRV_1.PDF');
});

test('FD-19: without a slash at its end it is the whole path', () => {
  assert.equal(made({ path: 'm/^(\\w+)-(\\w+)\\.csv$/', as: 'staging/{1}-{2}.in' }, 'a-b.csv').as, 'staging/a-b.in');
});

test('FD-20: with a slash at its end it is a folder, and the file keeps its name', () => {
  assert.equal(made({ path: '*.csv', as: 'staging/' }, 'x/y/a.csv').as, 'staging/a.csv');
});

test('FD-22: what is known of the file is put into the path', () => {
  const as =
    'in/{account.name}-{data.file_name}/{year.decimal}{month.padded}{day.padded}/{data.directory_name}/{timestamp.timestamp}';
  assert.equal(made({ path: '*', as }, 'a/b/x.csv').as, `in/acme-x.csv/20261101/a/b/${atMs / 1000}`);
  assert.equal(made({ path: '*', as: '{Timestamp.ISO_8601_basic}' }, 'x').as, '20261101T090507Z');
});

test('FD-23: groups that are not there are refused when the rule is read', () => {
  const refused = (rule: Written, message: RegExp): void => {
    assert.throws(
      () => made(rule, 'x'),
      (error) => error instanceof SallyportError && error.code === 'config-invalid' && message.test(error.message),
    );
  };
  refused({ path: 'e/(a)/', as: 'x/{1}' }, /rules\.yaml:2: rule "r", as: column 3: there is no group \{1\}: groups need path: m/);
  refused({ path: '*.csv', as: '{1}' }, /there is no group/);
  refused({ as: '{1}' }, /there is no group/);
  refused({ path: 'm/(a)/', as: '{2}' }, /the expression has 1/);
  refused({ path: '*', as: '{acount.name}' }, /did you mean "account.name"/);
});

test('FD-24: upper and lower case', () => {
  assert.equal(made({ path: 'm/^(\\w+)/', as: '{1_upper}/{1_lower}/{data.file_name_upper}' }, 'aBc.csv').as, 'ABC/abc/ABC.CSV');
});

test('FD-25: both separators separate in a rule, and neither in a name', () => {
  assert.equal(made({ path: '*', as: '\\staging\\x\\' }, 'a.csv').as, 'staging/x/a.csv');
  assert.equal(made({ path: '*', as: 'in/{data.file_name}' }, 'a\\b').as, 'in/a_b');
});

test('a path that cannot be made leaves the file to staff', () => {
  const long = 'x'.repeat(200);
  const decision = made({ path: '*', as: `${'{data.path}/'.repeat(20)}` }, `${long}/${long}`);
  assert.deepEqual(decision.route, { action: 'hold' });
});

/** Components as reliability.md 2.10 lists them, with what could lead out of a folder, or into another one. */
const nasty = fc.constantFrom(
  ...['a', '.', '..', '...', '.hidden', '-a', ' a', 'a ', 'a.', 'CON', 'aux.txt', 'COM1', 'x~1', 'desktop.ini', 'a:b', 'a*?"<>|'],
  ...[
    '\\',
    '..\\..',
    'caf\u00e9',
    'cafe\u0301',
    '\u00e9'.repeat(100),
    '~',
    '$(id)',
    '`id`',
    ';',
    '&',
    '$\u007bUSER}',
    '{1}',
    '{account.name}',
  ],
);
const template = fc
  .array(
    fc.constantFrom(
      '{1}',
      '{2}',
      '{data.path}',
      '{data.file_name}',
      '{data.directory_name}',
      '/',
      '.',
      '..',
      '\\',
      'in',
      '{1_upper}',
    ),
    {
      minLength: 1,
      maxLength: 8,
    },
  )
  .map((parts) => parts.join(''));

test('FD-38: no name of a file leads out of the destination, whatever the rule puts together', () => {
  let delivered = 0;
  fc.assert(
    fc.property(fc.array(nasty, { minLength: 1, maxLength: 4 }), template, (components, as) => {
      const decision = made({ path: 'm/^(.*?)[\\/.](.*)$|^/', as }, components.join('/'));
      if (decision.route.action === 'hold') return;
      delivered += 1;
      const parts = (decision.as ?? '').split('/');
      assert.ok(parts.length > 0 && parts.length <= 32, decision.as);
      for (const part of parts) {
        assert.ok(part !== '' && part !== '.' && part !== '..', JSON.stringify(decision.as));
        assert.ok(!/[\\\0:*?"<>|]/.test(part) && !/^-/.test(part) && !/[. ]$/.test(part), JSON.stringify(decision.as));
        assert.ok(Buffer.byteLength(part) <= 255);
        assert.ok(!part.toLowerCase().startsWith('.sallyport'));
      }
    }),
    { numRuns: 2000, seed: 20_261_122 },
  );
  assert.ok(delivered > 1000, `${delivered}`);
});

test('what a partner calls himself is plain text in the path', () => {
  assert.equal(
    new DestinationPath('{account.name}/', 0, new ZoneClock('UTC')).render({ partner: 'a.b', path: 'x', atMs }, []),
    'a.b/x',
  );
});

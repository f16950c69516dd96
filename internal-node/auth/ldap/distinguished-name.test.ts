import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { comparable, escapedFilterValue, escapedValue, folded, formatName, isBelow, parseName } from './distinguished-name.ts';

test('LD-44: whatever is typed comes back as the one value of a name', () => {
  const typed = fc.string({ unit: 'binary', minLength: 1 }).filter((text) => text.isWellFormed() && !text.includes('\uFFFD'));
  fc.assert(
    fc.property(typed, (text) => {
      const name = parseName(`cn=${escapedValue(text)},dc=example`);
      assert.deepEqual(name, [[{ attribute: 'cn', value: text }], [{ attribute: 'dc', value: 'example' }]]);
    }),
  );
});

test('LD-44: nothing in a filter value means anything', () => {
  assert.equal(escapedFilterValue('a)(uid=*'), 'a\\29\\28uid\\3d\\2a');
  assert.equal(escapedFilterValue('x\0\\é'), 'x\\00\\5cé');
});

test('reads names as people and servers write them', () => {
  assert.deepEqual(parseName('CN = John\\, Doe + UID=jd , ou=a\\20,dc=example'), [
    [
      { attribute: 'cn', value: 'John, Doe' },
      { attribute: 'uid', value: 'jd' },
    ],
    [{ attribute: 'ou', value: 'a ' }],
    [{ attribute: 'dc', value: 'example' }],
  ]);
  assert.equal(formatName(parseName('cn=a\\2cb,dc=x')), 'cn=a\\2cb,dc=x');
  for (const text of ['', 'john', 'cn=', 'cn=a,', 'cn=a,,dc=b', 'cn="a"', 'cn=a\\', 'cn=a\\zz', 'cn=#0401', 'cn=a;dc=b', '=a']) {
    assert.throws(() => parseName(text), /no distinguished name/, text);
  }
});

test('only what is below a base is below it, however it is written', () => {
  const base = parseName('ou=Partners, dc=example');
  assert.equal(isBelow(parseName('cn=a,OU=partners,DC=Example'), base), true);
  assert.equal(isBelow(parseName('ou=partners,dc=example'), base), false);
  assert.equal(isBelow(parseName('cn=a,ou=partners,dc=example,dc=org'), base), false);
  assert.equal(isBelow(parseName('cn=a\\,ou=partners,dc=example'), base), false);
});

test('the spellings that directories take for one are one', () => {
  for (const text of ['John Doe', ' john  doe ', 'JÖHN DOE', 'Ｊohn Doe']) assert.equal(folded(text), 'john doe');
  assert.equal(comparable(parseName('CN=John  Doe,DC=x')), comparable(parseName('cn=john doe, dc=X')));
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { authenticationSchema } from '../../config-authentication.ts';
import { homeFrom } from './entry-home.ts';

const attribute = 'msIIS-FTPDir';

test('LD-17, LD-18, LD-19: the value stands where the template has its attribute, without doubling separators', () => {
  assert.equal(homeFrom({ attribute }, ['AcmeCo/report']), 'AcmeCo/report');
  const home = { attribute, template: 'SFTP-Files/{msIIS_FTPDir}/in' };
  for (const value of ['\\AcmeCo\\report', '/AcmeCo/report/', '//AcmeCo/report', 'AcmeCo\\report']) {
    assert.equal(homeFrom(home, [value]), 'SFTP-Files/AcmeCo/report/in', value);
  }
  assert.equal(homeFrom({ attribute, template: 'a/{msIIS_FTPDir}' }, ['$& $1']), 'a/$& $1');
});

test('LD-20: a value cannot climb out of the template', () => {
  for (const value of ['..', '../x', 'a/../../x', '\\..\\x', 'a/./b', 'a//b', ' ', 'a/ /b', '$' + '{USER}']) {
    assert.equal(homeFrom({ attribute, template: 'teams/{msIIS_FTPDir}' }, [value]), undefined, value);
  }
});

test('LD-21: a value that is missing, empty or one of several is none', () => {
  for (const values of [[], [''], ['/'], ['a', 'b']]) assert.equal(homeFrom({ attribute }, values), undefined);
});

test('LD-18: a template must name its attribute, and be below a destination', () => {
  const directory = { servers: ['ldaps://a'], bases: ['dc=x'] };
  const parse = (template: string) =>
    authenticationSchema.parse({ directories: { a: { ...directory, home: { attribute, template } } } });
  assert.ok(parse('x/{msIIS_FTPDir}'));
  for (const template of [
    'x/y',
    'x/{other}',
    '/x/{msIIS_FTPDir}',
    'x\\{msIIS_FTPDir}',
    '../{msIIS_FTPDir}',
    'x/{msIIS-FTPDir}',
  ]) {
    assert.throws(() => parse(template), template);
  }
});

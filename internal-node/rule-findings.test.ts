/** What `config check` tells beside errors: each is certain, and what is meant so is not told. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeKey } from '../test/fixtures/ssh-login.ts';
import { loadInternalSettings } from './config.ts';
import { findings } from './rule-findings.ts';

const key = makeKey('ed25519').publicLine;

async function told(parts: string): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-findings-'));
  try {
    await mkdir(join(folder, 'conf.d'));
    const main = 'version: 1\nname: inner1\npolicy: {timeZone: UTC}\ndestinations:\n  inside: {folder: delivered}\n';
    await writeFile(join(folder, 'sallyport.yaml'), main);
    await writeFile(
      join(folder, 'conf.d/a.yaml'),
      `partners:\n  acme: {keys: ["${key}"]}\n  globex: {keys: ["${key}"]}\n${parts}`,
    );
    const found = findings(await loadInternalSettings(join(folder, 'sallyport.yaml')), 0);
    return found.map(({ kind, by, text }) => `${kind} ${by} ${text}`);
  } finally {
    await rm(folder, { recursive: true });
  }
}
const rules = (...lines: readonly string[]): string => `rules:\n${lines.map((line) => `  - {${line}}\n`).join('')}`;
const rest = 'name: rest, deliver: inside';

test('rules that never decide: behind another, for nobody, or for paths that there are not', async () => {
  const found = await told(
    rules(
      'name: csv, path: "*.csv", hold: true',
      'name: late, path: "*.csv", partner: acme, delete: true',
      'name: initech, partner: "init*", hold: true',
      'name: slash, path: "/Inbox/*.xml | /x", hold: true',
      rest,
    ),
  );
  assert.deepEqual(found, [
    'never conf.d/a.yaml:6 rule "late" never decides anything: csv (conf.d/a.yaml:5) takes all of it',
    'never conf.d/a.yaml:7 rule "initech" never decides anything: no partner fits init*',
    'never conf.d/a.yaml:8 rule "slash" never decides anything: paths are those below /Inbox, without a leading slash',
  ]);
});

test('rules that are for the same file and lead to different places are told with that file', async () => {
  const found = await told(
    rules(
      'name: in, path: "in/*", hold: true',
      'name: csv, path: "*.csv | *.txt", delete: true',
      'name: same, path: "*.csv", partner: globex, delete: true',
      'name: other, path: "out/*", hold: true',
      'name: regex, path: "m/csv/", outbox: acme',
      rest,
    ),
  );
  assert.deepEqual(
    found.filter((line) => line.startsWith('overlap')),
    [
      'overlap conf.d/a.yaml:6 rules "in" (conf.d/a.yaml:5) and "csv" overlap: in/x.csv goes by the first',
      'overlap conf.d/a.yaml:7 rules "in" (conf.d/a.yaml:5) and "same" overlap: in/x.csv goes by the first',
      'overlap conf.d/a.yaml:8 rules "csv" (conf.d/a.yaml:6) and "other" overlap: out/x.csv goes by the first',
      'overlap conf.d/a.yaml:8 rules "same" (conf.d/a.yaml:7) and "other" overlap: out/x.csv goes by the first',
    ],
  );
  const apart = rules('name: a, partner: acme, path: "a*", hold: true', 'name: b, partner: globex, path: "*a", delete: true');
  assert.deepEqual(
    (await told(apart)).filter((line) => line.startsWith('overlap')),
    [],
  );
  const sizes = rules('path: "a*", size: {max: 1KiB}, hold: true', 'path: "*a", size: {min: 2KiB}, delete: true', rest);
  assert.deepEqual(await told(sizes), []);
});

test('files that no rule takes, groups of nobody, and permission lines without effect', async () => {
  assert.deepEqual(await told(rules('path: "*.csv", hold: true', 'partner: acme, hold: true')), [
    'untaken  what no rule names waits, unrouted: files of globex',
  ]);
  const groups = `groups:
  suppliers:
    permissions:
      paths:
        - {on: 'Inbox/*', set: []}
        - {on: '*', set: [allow-list]}
        - {on: '/Inbox/*', set: []}
`;
  assert.deepEqual(await told(rules(rest) + groups), [
    'never conf.d/a.yaml:10 the line for Inbox/* never decides anything: paths begin with a slash, as partners see them',
    'never conf.d/a.yaml:12 the line for /Inbox/* never decides anything: that for * (conf.d/a.yaml:11) is before it',
    'unused conf.d/a.yaml:7 nobody is in the group "suppliers"',
  ]);
});

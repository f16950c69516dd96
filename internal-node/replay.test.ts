/** Past items decided again: what differs is told with both deciding lines, and what does not is not. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { InsideDecision, Plan } from '../shared/policy.ts';
import { makeKey } from '../test/fixtures/ssh-login.ts';
import { type InternalSettings, loadInternalSettings, withRulesOf } from './config.ts';
import { Explainer } from './explain.ts';
import { asConfigured, asRecorded, type PastItem, replay } from './replay.ts';

const key = makeKey('ed25519').publicLine;
const folder = await mkdtemp(join(tmpdir(), 'sallyport-replay-'));
after(() => rm(folder, { recursive: true }));
let count = 0;

async function settings(parts: string): Promise<InternalSettings> {
  count += 1;
  const here = join(folder, String(count));
  await mkdir(join(here, 'conf.d'), { recursive: true });
  const main = 'version: 1\nname: inner1\npolicy: {timeZone: UTC}\ndestinations:\n  inside: {folder: delivered}\n';
  await writeFile(join(here, 'sallyport.yaml'), main);
  await writeFile(join(here, 'conf.d/all.yaml'), parts);
  return loadInternalSettings(join(here, 'sallyport.yaml'));
}
const decider = async (parts: string) => asConfigured(new Explainer(await settings(parts)));

const partners = (acme = '', more = '') => `partners:\n  acme: {keys: ["${key}"]${acme}}\n  globex: {keys: ["${key}"]}\n${more}`;
const rules = 'rules:\n  - {name: pdf, path: "*.pdf", outbox: globex}\n  - {name: rest, deliver: inside}\n';
const past = (path: string, decision: InsideDecision, size = 10): PastItem => ({
  ...{
    item: 'zutyel7ifwg4vksobtalkg7yzq',
    partner: 'acme',
    path: `/Inbox/${path}`,
    size,
    atMs: Date.UTC(2026, 0, 31, 23),
    decision: decision === inside ? { ...inside, plan: toInside(path) } : decision,
  },
});
const toInside = (path: string): Plan => ({
  action: 'deliver',
  targets: [{ destination: 'inside', file: `acme/${path}` }],
});
const toGlobex: InsideDecision = { route: { action: 'outbox', partner: 'globex' }, rule: 'pdf (conf.d/all.yaml:5)' };
const inside: InsideDecision = { route: { action: 'deliver', destination: 'inside' }, rule: 'rest (conf.d/all.yaml:6)' };

test('the configuration that decided them decides them alike', async () => {
  const items = [past('a.pdf', toGlobex), past('in/b.csv', inside)];
  const { items: all, same, differ, unrouted, refused } = replay(items, asRecorded, await decider(partners('', rules)), 10);
  assert.deepEqual([all, same, differ, unrouted, refused], [2, 2, 0, 0, 0]);
});

test('a difference names what was, what would be, and the line of each', async () => {
  const other = 'rules:\n  - {name: drafts, path: "draft*", hold: true}\n  - {name: pdf only, path: "*.pdf", deliver: inside}\n';
  const items = [past('a.pdf', toGlobex), past('draft.csv', inside), past('x.csv', inside)];
  const found = replay(items, asRecorded, await decider(partners('', other)), 10);
  assert.deepEqual(
    found.differences.map(({ path, before, after: now }) => `${path}: ${before.what} (${before.by}) → ${now.what} (${now.by})`),
    [
      '/Inbox/a.pdf: outbox globex (pdf (conf.d/all.yaml:5)) → deliver inside acme/a.pdf (pdf only (conf.d/all.yaml:6))',
      '/Inbox/draft.csv: deliver inside acme/draft.csv (rest (conf.d/all.yaml:6)) → hold (drafts (conf.d/all.yaml:5))',
      '/Inbox/x.csv: deliver inside acme/x.csv (rest (conf.d/all.yaml:6)) → unrouted ()',
    ],
  );
  assert.equal(found.unrouted, 1);
  assert.equal(replay(items, asRecorded, await decider(partners('', other)), 1).differences.length, 1);
});

test('what a partner could not send any more is refused, with the line that refuses', async () => {
  const items = [past('a.csv', inside), past('b.exe', inside), past('c.csv', inside, 5000)];
  const narrow = ', maxFileSize: 1KiB, permissions: {global: [allow-full-control], paths: [{on: "*.exe", set: []}]}';
  const found = replay(items, asRecorded, await decider(partners(narrow, rules)), 10);
  assert.deepEqual(
    found.differences.map(({ path, after: now }) => `${path}: ${now.what} ${now.by}`),
    [
      '/Inbox/b.exe: refused: no permission to write conf.d/all.yaml:2',
      '/Inbox/c.csv: refused: larger than maxFileSize conf.d/all.yaml:2',
    ],
  );
  const gone = replay(items, asRecorded, await decider(`partners:\n  globex: {keys: ["${key}"]}\n`), 10);
  assert.equal(gone.refused, 3);
  const ofDirectory = asConfigured(new Explainer(await settings(`partners:\n  globex: {keys: ["${key}"]}\n${rules}`)), true);
  assert.equal(replay(items, asRecorded, ofDirectory, 10).differ, 0);
  const expired = replay(items, asRecorded, await decider(partners(', disabled: true', rules)), 10);
  assert.match(expired.differences[0]?.after.what ?? '', /no login: disabled/);
});

test('dates mean the moment of the item, homes and folders count, and rules of another file can be tried', async () => {
  const dated = 'rules:\n  - {name: of the day, path: "t/*_{year.decimal}-{month.padded}-{day.padded}.csv/", deliver: inside}\n';
  const shared = partners(
    ', home: team, folders: {/claims: Inbox/claims}, permissions: {paths: [{on: /claims/*, set: [allow-write]}]}',
  );
  const present = await settings(`${shared}${rules}`);
  const file = join(folder, 'rules.yaml');
  await writeFile(file, dated);
  const items = [past('claims/x_2026-01-31.csv', inside), past('claims/x_2026-02-01.csv', inside), past('x.csv', inside)];
  const found = replay(items, asRecorded, asConfigured(new Explainer(await withRulesOf(present, file))), 10);
  assert.deepEqual(
    found.differences.map(({ after: now }) => `${now.what} ${now.by}`),
    [
      `deliver inside team/acme/claims/x_2026-01-31.csv of the day (${file}:2)`,
      'unrouted ',
      'refused: no permission to write conf.d/all.yaml:2',
    ],
  );
  await writeFile(file, 'rules:\n  - {path: "[a", hold: true}\n  - {deliver: nowhere}\n');
  await assert.rejects(
    withRulesOf(present, file),
    (error: Error) => /\[a|column/.test(error.message) && /nowhere/.test(error.message),
  );
});

/** What a plan tells of a change: everything that counts, nothing secret, and who is cut. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { makeKey } from '../test/fixtures/ssh-login.ts';
import { changesBetween } from './changes.ts';
import { type InternalSettings, loadInternalSettings, loadPlannedSettings } from './config.ts';

const [key, other] = [makeKey('ed25519').publicLine, makeKey('ed25519').publicLine];
const hash = (salt: string) =>
  `$argon2id$v=19$m=19456,t=2,p=1$${Buffer.from(salt).toString('base64').replace(/=/g, '')}$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc`;
const folder = await mkdtemp(join(tmpdir(), 'sallyport-changes-'));
after(() => rm(folder, { recursive: true }));
let count = 0;

const main = 'version: 1\nname: inner1\npolicy: {timeZone: UTC}\ndestinations:\n  inside: {folder: delivered}\n';
/** @param anew In a folder of its own; otherwise in that of the call before. */
async function settings(parts: string, mainText = main, anew = true): Promise<InternalSettings> {
  if (anew) count += 1;
  const here = join(folder, String(count));
  await mkdir(join(here, 'conf.d'), { recursive: true });
  await writeFile(join(here, 'sallyport.yaml'), mainText);
  await writeFile(join(here, 'conf.d/all.yaml'), parts);
  return loadInternalSettings(join(here, 'sallyport.yaml'));
}
const told = async (before: InternalSettings, now: InternalSettings): Promise<string[]> =>
  changesBetween(before, now).changes.map(({ sign, kind, name, parts, by }) =>
    `${sign} ${kind} ${name} ${parts.join('; ')} ${by}`.trim(),
  );

const before = `groups: {g: {quota: 1GiB}}
partners:
  acme: {keys: ["${key}"], maxFileSize: 6MiB, password: "${hash('one-salt')}"}
  globex: {keys: ["${key}"]}
rules:
  - {name: a, path: "*.a", hold: true}
  - {name: b, path: "*.b", deliver: inside}
  - {name: c, deliver: inside}
`;
const now = `sharedOutboxes: [lists]
groups: {g: {quota: 2GiB, permissions: {global: [allow-list]}}}
partners:
  acme: {keys: ["${other}"], maxFileSize: 50MiB, password: "${hash('two-salt')}"}
  initech: {keys: ["${key}"], groups: [g]}
rules:
  - {name: b, path: "*.b", deliver: inside}
  - {name: a, path: "*.aa", hold: true}
  - {name: d, deliver: inside}
`;

test('partners, groups, rules and settings, with values where they are no secret', async () => {
  const lines = await told(
    await settings(before),
    await settings(now, main.replace('inner1', 'inner2').replace('UTC', 'Europe/Berlin')),
  );
  const text = lines.join('\n');
  for (const pattern of [
    /^~ partner acme .*\+ key SHA256:\S+; - key SHA256:\S+.*maxFileSize: 6MiB → 50MiB.* conf\.d\/all\.yaml:4$/m,
    /^~ partner acme .*password changed/m,
    /^- partner globex\s+conf\.d\/all\.yaml:4$/m,
    /^\+ partner initech .*conf\.d\/all\.yaml:5$/m,
    /^~ group g quota: 1GiB → 2GiB; \+ permissions all others: allow-list/m,
    /^\+ shared outbox lists$/m,
    /^~ rule a .*\*\.a".* → .*\*\.aa".*another place in the order/m,
    /^~ rule b another place in the order/m,
    /^\+ rule d /m,
    /^- rule c\s+conf\.d\/all\.yaml:8$/m,
    /^~ setting policy\.timeZone$/m,
    /^~ setting name$/m,
  ])
    assert.match(text, pattern);
  assert.doesNotMatch(text, /argon2|b25l|dHdv/);
});

test('nothing is told of a change of places, and who is cut is who could not log in any more', async () => {
  const [one, two] = [await settings(before), await settings(`# a comment\n\n${before}`, main, false)];
  assert.deepEqual(await told(one, two), []);
  const { ended, afterRestart } = changesBetween(one, await settings(now, main, false));
  assert.deepEqual(ended, ['acme', 'globex']);
  assert.deepEqual(afterRestart, []);
});

test('a planned folder is loaded as it would be in place, with the main file in use when it has none', async () => {
  const present = await settings(before);
  const planned = join(folder, 'planned');
  await mkdir(join(planned, 'conf.d'), { recursive: true });
  await writeFile(join(planned, 'conf.d/all.yaml'), now);
  const found = await loadPlannedSettings(planned, present.file);
  assert.equal(found.state, present.state);
  assert.equal(found.admin.socket, present.admin.socket);
  assert.equal(found.partnerSources.get('acme'), 'conf.d/all.yaml:4');
  const changed = `${main.replace('delivered', 'elsewhere').replace('UTC', 'UTC, expires: 1h')}authentication: {keyChecksPerMinute: 7}\n`;
  await writeFile(join(planned, 'sallyport.yaml'), changed);
  const moved = await loadPlannedSettings(planned, present.file);
  assert.equal(moved.destinations[0]?.folder, join(present.file, '../elsewhere'));
  assert.deepEqual([...changesBetween(present, moved).afterRestart].sort(), [
    ...['authentication.keyChecksPerMinute', 'destinations', 'policy.expires'],
  ]);
});

/** Which sessions a new configuration ends, and what of it the DMZ is told. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeKey } from '../test/fixtures/ssh-login.ts';
import { type InternalConfig, loadInternalSettings } from './config.ts';
import { CurrentConfig } from './current-config.ts';

const key = makeKey('ed25519').publicLine;
const other = makeKey('ed25519').publicLine;

async function configOf(parts: string): Promise<InternalConfig> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-current-'));
  try {
    await mkdir(join(folder, 'conf.d'));
    await writeFile(join(folder, 'sallyport.yaml'), 'version: 1\nname: inner1\ndestinations:\n  inside: {folder: delivered}\n');
    await writeFile(join(folder, 'conf.d/all.yaml'), parts);
    return (await loadInternalSettings(join(folder, 'sallyport.yaml'))) as InternalConfig;
  } finally {
    await rm(folder, { recursive: true });
  }
}

const partners = (acme: string, groups = 'g: {}') =>
  configOf(`groups: {${groups}}\npartners:\n  acme: {keys: ["${key}"], groups: [g]${acme}}\n  globex: {keys: ["${key}"]}\n`);

async function ended(acme: string, groups?: string): Promise<readonly string[]> {
  return new CurrentConfig(await partners(''), 'age1x').replace(await partners(acme, groups));
}

test('AC-20: a session keeps what it was granted at login when permissions, quotas and upload settings change', async () => {
  assert.deepEqual(await ended(', permissions: {global: [allow-list]}'), []);
  assert.deepEqual(await ended(', quota: 1MiB, maxFileSize: 1MiB, onExisting: refuse, uploads: {ghost: 1m}'), []);
  assert.deepEqual(await ended('', 'g: {permissions: {global: []}, quotaFiles: 1}'), []);
});

test('AC-20: whoever could not log in like that any more is cut', async () => {
  assert.deepEqual(await ended(', disabled: true'), ['acme']);
  assert.deepEqual(await ended(', from: [192.0.2.0/24]'), ['acme']);
  assert.deepEqual(await ended(', expires: 2026-01-01'), ['acme']);
  assert.deepEqual(await ended('', 'g: {disabled: true}'), ['acme']);
  assert.deepEqual(await ended('', 'g: {from: [192.0.2.0/24]}'), ['acme']);
  const before = new CurrentConfig(await partners(''), 'age1x');
  assert.deepEqual(before.replace(await configOf(`partners:\n  acme: {keys: ["${other}"]}\n`)), ['acme', 'globex']);
});

test('at a new link sessions go on whose partner could still log in, also those of users of a directory', async () => {
  const config = await partners(', disabled: true');
  const directories = { corporate: {} } as unknown as InternalConfig['authentication']['directories'];
  const current = new CurrentConfig({ ...config, authentication: { ...config.authentication, directories } }, 'age1x');
  current.adopt([{ partner: 'john', directory: 'corporate', groups: ['g'] }]);
  const staying = ['acme', 'globex', 'john', 'nobody'].filter((name) => current.mayStay(name, 0));
  assert.deepEqual(staying, ['globex', 'john']);
});

test('AC-20: a login that is under way meanwhile does not get in with what was right before', async () => {
  const current = new CurrentConfig(await partners(''), 'age1x');
  const [acme, globex] = [current.accounts.get('acme'), current.accounts.get('globex')];
  current.replace(await partners(', disabled: true'));
  assert.equal(acme?.refusal('192.0.2.1', 0)?.reason, 'disabled');
  assert.equal(globex?.refusal('192.0.2.1', 0), undefined);
});

test('the DMZ is told rules without names inside and examples', async () => {
  const config = await configOf(
    `partners:\n  acme: {keys: ["${key}"]}\nrules:\n  - {path: "*", deliver: inside, as: "x/", expect: [a]}\n`,
  );
  const { rules, timeZone } = new CurrentConfig(config, 'age1x').policyContents();
  assert.deepEqual(rules, [
    { name: 'rule 1', source: 'conf.d/all.yaml:4', path: '*', route: { action: 'deliver', destination: 'inside' } },
  ]);
  assert.equal(timeZone, config.policy.timeZone);
});

import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ConfigError, formatProblem } from '../shared/config/problems.ts';
import { fingerprintOf } from '../shared/pki/fingerprint.ts';
import { loadDmzConfig } from './config.ts';

const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const inner = fingerprintOf('internal', publicKey.export({ type: 'spki', format: 'der' }));
const good = `version: 1\nname: edge1\ninternal:\n  fingerprint: ${inner}\n`;

async function load(text: string) {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-edge-'));
  const file = join(folder, 'dmz.yaml');
  await writeFile(file, text);
  try {
    return { folder, config: await loadDmzConfig(file), problems: [] as string[] };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return {
      folder,
      config: undefined,
      problems: error.problems.map((problem) => formatProblem(problem).replace(`${folder}/`, '')),
    };
  } finally {
    await rm(folder, { recursive: true });
  }
}

test('three lines are enough: everything else has a default', async () => {
  const { config, folder } = await load(good);
  assert.ok(config);
  assert.deepEqual(config.tunnel, { listen: { host: '0.0.0.0', port: 8443 }, classicalKeyExchange: false, allowFrom: [] });
  assert.deepEqual(
    config.sftp.hostKeys,
    ['ed25519', 'rsa', 'ecdsa'].map((type) => join(folder, `state/keys/ssh_host_${type}`)),
  );
  assert.equal(config.limits.reorderWindow, 8 * 1024 * 1024);
  assert.equal(config.limits.drainTimeout, 600_000);
  assert.deepEqual(config.space, { minimumFree: { percent: 5 }, reserve: 64 * 1024 * 1024 });
  assert.equal(config.internal?.fingerprint, inner);
});

test('a fingerprint is taken however it was typed', async () => {
  const { config } = await load(good.replace(inner, inner.toLowerCase()));
  assert.equal(config?.internal?.fingerprint, inner);
});

test('what does not fit together is refused at its place', async () => {
  const { problems } = await load(`${good}limits:\n  reorderWindow: 128MiB\nsftp:\n  listen: "0.0.0.0:8443"\n`);
  assert.deepEqual(problems, [
    'dmz.yaml:6:18 limits.reorderWindow: is larger than limits.reorderBudget, which all uploads share',
    'dmz.yaml:8:11 sftp.listen: is the address of the tunnel',
  ]);
});

test('FTPS is there when its section is, on addresses of its own', async () => {
  assert.equal((await load(good)).config?.ftps, undefined);
  const { config, folder } = await load(`${good}ftps: {}\n`);
  assert.deepEqual(config?.ftps?.listen, { host: '0.0.0.0', port: 2121 });
  assert.deepEqual(config?.ftps?.passive.ports, { first: 50_000, last: 50_999 });
  assert.deepEqual(config?.ftps?.certificates, [
    { certificate: join(folder, 'state/keys/ftps.crt'), key: join(folder, 'state/keys/ftps.key') },
  ]);
  assert.deepEqual([config?.ftps?.requireEndOfData, config?.ftps?.plainFtp, config?.ftps?.active], [true, undefined, undefined]);
  const wrong = 'ftps:\n  listen: "0.0.0.0:2222"\n  implicit: "0.0.0.0:3000"\n  passive:\n    ports: 2900-3100\n';
  assert.deepEqual((await load(good + wrong)).problems, [
    'dmz.yaml:6:11 ftps.listen: is the address of sftp.listen',
    'dmz.yaml:7:13 ftps.implicit: is one of ftps.passive.ports 2900-3100',
  ]);
  const { problems } = await load(`${good}ftps:\n  plainFtp:\n    reason: because\n  passive:\n    ports: 20-21\n`);
  assert.equal(problems.length, 2, problems.join());
});

test('partners, rules and secrets have no place here', async () => {
  const { problems } = await load(`${good}partners: {}\nlimit:\n  connections: 5\n`);
  assert.deepEqual(problems, ['dmz.yaml:5:1 partners: unknown key', 'dmz.yaml:6:1 limit: unknown key - did you mean "limits"?']);
});

test('the name of a socket that the kernel would cut is refused; its folder may be long', async () => {
  const { problems } = await load(`${good}admin:\n  socket: /${'x'.repeat(120)}\n`);
  assert.match(problems.join(), /^dmz\.yaml:6:11 admin\.socket: the name of the socket has 120 bytes/);
  const deep = await load(`${good}admin:\n  socket: /${'x'.repeat(120)}/socket\n`);
  assert.deepEqual(deep.problems, []);
});

test('networks and free space are checked', async () => {
  const { problems } = await load(`${good}tunnel:\n  allowFrom: [10.0.0.0/33]\nspace:\n  minimumFree: lots\n`);
  assert.match(problems[0] ?? '', /^dmz\.yaml:6:15 tunnel\.allowFrom\[0\]: expected an IP address or a network/);
  assert.match(problems[1] ?? '', /^dmz\.yaml:8:16 space\.minimumFree: expected a part like 5%/);
});

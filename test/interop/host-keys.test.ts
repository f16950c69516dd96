/** How OpenSSH recognises this server: by keys of three types, and by new ones that it was told of before they are used. */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { asHostKey, type HostKey, hostKeyLine } from '../../dmz-node/sftp/host-key.ts';
import { type HostKeyType, newHostKey } from '../../dmz-node/sftp/new-host-key.ts';
import { parseSshKey } from '../../dmz-node/sftp/ssh2-seam.ts';
import { MemoryView } from '../fixtures/memory-view.ts';
import { OpenSsh } from '../fixtures/openssh.ts';
import { openDoor, password } from '../fixtures/sftp-door.ts';

const byPassword = ['PreferredAuthentications=password', 'PubkeyAuthentication=no'];
const newKey = async (type: HostKeyType): Promise<HostKey> =>
  asHostKey(parseSshKey(Buffer.from(await newHostKey(type))), `a new ${type} key`);

/** What OpenSSH remembers of the door, sorted, without the host's name. */
async function remembered(ssh: OpenSsh): Promise<string[]> {
  const lines = (await readFile(ssh.path('known_hosts'), 'utf8')).trim().split('\n');
  return lines.map((line) => line.split(' ').slice(1, 3).join(' ')).sort();
}
const lines = (keys: readonly HostKey[]): string[] => keys.map(hostKeyLine).sort();
const know = (ssh: OpenSsh, keys: readonly HostKey[]): Promise<void> =>
  writeFile(ssh.path('known_hosts'), keys.map((key) => `[127.0.0.1]:${ssh.port} ${hostKeyLine(key)}\n`).join(''));

for (const [algorithm, type] of [
  ['ssh-ed25519', 'ed25519'],
  ['rsa-sha2-512', 'rsa'],
  ['rsa-sha2-256', 'rsa'],
  ['ecdsa-sha2-nistp256', 'ecdsa'],
] as const) {
  test(`signs the key exchange as ${algorithm}, and proves its other keys then`, async () => {
    const keys = [await newKey('ed25519'), await newKey('rsa'), await newKey('ecdsa')];
    await using door = await openDoor({ view: new MemoryView(), options: { hostKeys: keys, compatible: true } });
    await using ssh = await OpenSsh.create(door.port);
    const inUse = keys[['ed25519', 'rsa', 'ecdsa'].indexOf(type)];
    assert.ok(inUse);
    await know(ssh, [inUse]);
    const options = [
      ...byPassword,
      'StrictHostKeyChecking=yes',
      'UpdateHostKeys=yes',
      // The first decides; the others must be known for OpenSSH to take keys of their type.
      `HostKeyAlgorithms=${algorithm},ssh-ed25519,rsa-sha2-512,ecdsa-sha2-nistp256`,
    ];
    const ran = await ssh.sftp('ls /', options, await ssh.passwordEnvironment(password));
    assert.equal(ran.code, 0, ran.err);
    assert.deepEqual(await remembered(ssh), lines(keys));
  });
}

test('SHA-1 is no way to prove an RSA key', async () => {
  await using door = await openDoor({ view: new MemoryView(), options: { hostKeys: [await newKey('rsa')], compatible: true } });
  await using ssh = await OpenSsh.create(door.port);
  const ran = await ssh.sftp('ls /', [...byPassword, 'HostKeyAlgorithms=ssh-rsa', 'LogLevel=INFO']);
  assert.notEqual(ran.code, 0);
  assert.match(ran.err, /no matching host key type found\. Their offer: rsa-sha2-512,rsa-sha2-256\s/);
});

test('a key is replaced without an alarm: first announced, then in use, then the old one is forgotten', async () => {
  const [oldKey, nextKey] = [await newKey('ed25519'), await newKey('ed25519')];
  const options = [...byPassword, 'StrictHostKeyChecking=yes', 'UpdateHostKeys=yes'];
  await using before = await openDoor({ view: new MemoryView(), options: { hostKeys: [oldKey, nextKey] } });
  await using ssh = await OpenSsh.create(before.port);
  const environment = await ssh.passwordEnvironment(password);
  await know(ssh, [oldKey]);
  const first = await ssh.sftp('ls /', options, environment);
  assert.equal(first.code, 0, first.err);
  assert.deepEqual(await remembered(ssh), lines([oldKey, nextKey]));
  await before.listener.stop(AbortSignal.abort());

  await using _after = await openDoor({ view: new MemoryView(), options: { hostKeys: [nextKey], port: before.port } });
  const second = await ssh.sftp('ls /', options, environment);
  assert.equal(second.code, 0, second.err);
  assert.deepEqual(await remembered(ssh), lines([nextKey]));
});

test('SF-20: a client that knows another key leaves before it has logged in', async () => {
  await using door = await openDoor({ view: new MemoryView() });
  await using ssh = await OpenSsh.create(door.port);
  await know(ssh, [await newKey('ed25519')]);
  const options = [...byPassword, 'StrictHostKeyChecking=yes'];
  const ran = await ssh.sftp('ls /', options, await ssh.passwordEnvironment(password));
  assert.notEqual(ran.code, 0);
  assert.match(ran.err, /Host key verification failed/);
  assert.deepEqual(door.attempts, []);
});

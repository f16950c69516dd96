/** Two hosts that set themselves up: the commands of docs/enrolment.md, with an invitation instead of fingerprints, and keys exchanged. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { commands, freePort } from '../../scripts/site/site.ts';
import { eventually } from '../../scripts/site/walk.ts';
import type { CertificateList } from '../../shared/pki/certificate-desk.ts';

type Kind = 'dmz' | 'internal';

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly error: string;
}

let folder: string;
const running = new Map<Kind, ChildProcess>();
const configOf: Record<Kind, string> = { dmz: '', internal: '' };

function run(kind: Kind, args: readonly string[], input = ''): Promise<Ran> {
  const [program, main] = commands[kind];
  return new Promise((resolve) => {
    const child = execFile(program, [main, ...args, '--config', configOf[kind]], (error, out, err) => {
      resolve({ code: error ? Number(error.code) : 0, out, error: err });
    });
    child.stdin?.end(input);
  });
}

/** The JSON of a command that must not fail. */
async function told<T>(kind: Kind, args: readonly string[], input = ''): Promise<T> {
  const { code, out, error } = await run(kind, [...args, '--json'], input);
  assert.equal(code, 0, error);
  return JSON.parse(out) as T;
}

async function serve(kind: Kind): Promise<void> {
  const [program, main] = commands[kind];
  running.set(kind, spawn(program, [main, 'serve', '--config', configOf[kind]], { stdio: 'ignore' }));
  await eventually(`${kind} answers`, async () => (await run(kind, ['status'])).code === 0 || undefined);
}

const isUp = (kind: Kind): Promise<unknown> =>
  eventually(`the tunnel of ${kind} is up`, async () => {
    const { tunnel } = await told<{ tunnel: { up: boolean } }>(kind, ['status']);
    return tunnel.up || undefined;
  });

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-enrolment-'));
  configOf.dmz = join(folder, 'edge/dmz.yaml');
  configOf.internal = join(folder, 'inner/sallyport.yaml');
});
after(async () => {
  for (const child of running.values()) {
    child.kill();
    if (child.exitCode === null) await once(child, 'exit');
  }
  await rm(folder, { recursive: true, force: true });
});

test('an invitation brings two nodes together; it works once; then their keys are exchanged while they run', async () => {
  const port = await freePort('127.0.0.1');
  const address = `127.0.0.1:${port}`;
  const doors = ['sftp', 'ftps', 'ftps-implicit'].flatMap((door) => [`--listen-${door}`, '127.0.0.1:0']);
  const [edge, inner] = await Promise.all([
    told<{ fingerprint: string }>('dmz', [
      'init',
      '--dir',
      join(folder, 'edge'),
      '--name',
      'edge1',
      '--listen-tunnel',
      address,
      ...doors,
    ]),
    told<{ fingerprint: string }>('internal', ['init', '--dir', join(folder, 'inner'), '--name', 'inner1']),
  ]);
  assert.match((await run('dmz', ['fingerprint'])).error, /admits no internal node yet/);
  await serve('dmz');

  const { token, id } = await told<{ token: string; id: string }>('dmz', ['invite', '--for', 'inner1']);
  const open = await told<{ invitations: { id: string; label: string }[] }>('dmz', ['invite', '--list']);
  assert.deepEqual(
    open.invitations.map((one) => [one.id, one.label]),
    [[id, 'inner1']],
  );
  const joined = await run('internal', ['join', address], `${token}\n`);
  assert.equal(joined.code, 0, joined.error);
  assert.ok(joined.out.includes(edge.fingerprint) && joined.out.includes(inner.fingerprint), joined.out);
  assert.match(
    await readFile(configOf.internal, 'utf8'),
    new RegExp(`dmz:\\n {2}address: ${address}\\n {2}fingerprint: ${edge.fingerprint}`),
  );
  await serve('internal');
  await isUp('internal');

  // Somebody else finds the token afterwards.
  const own = configOf.internal;
  configOf.internal = join(folder, 'other/sallyport.yaml');
  await told('internal', ['init', '--dir', join(folder, 'other'), '--name', 'other']);
  await writeFile(join(folder, 'token'), token, { mode: 0o600 });
  const again = await run('internal', ['join', address, '--token-file', join(folder, 'token')]);
  assert.equal(again.code, 3);
  assert.match(again.error, /the DMZ node refused this node \(invitation\)[\s\S]*sallyport-dmz invite/);
  assert.doesNotMatch(await readFile(configOf.internal, 'utf8'), /\ndmz:/);
  const nonsense = await run('internal', ['join', address], 'nonsense\n');
  assert.equal(nonsense.code, 2);
  configOf.internal = own;

  // Either node exchanges its keys; the tunnel comes back under the new ones.
  for (const [kind, other] of [['dmz', 'internal'] as const, ['internal', 'dmz'] as const]) {
    const early = await run(kind, ['cert', 'rotate', 'switch']);
    assert.equal(early.code, 2, early.error);
    const announced = await told<{ other: string }>(kind, ['cert', 'rotate', 'announce']);
    const knows = (): Promise<unknown> =>
      eventually(
        'the other node knows',
        async () => (await told<CertificateList>(kind, ['cert', 'list'])).rotation.told || undefined,
      );
    await knows();
    await told(kind, ['cert', 'rotate', 'switch']);
    await knows();
    await isUp(other);
    const retired = await told<{ phase: string; fingerprint: string }>(kind, ['cert', 'rotate', 'retire']);
    assert.deepEqual([retired.phase, retired.fingerprint], ['stable', announced.other]);
    await knows();
    const { admitted } = await told<CertificateList>(other, ['cert', 'list']);
    assert.deepEqual(admitted, [announced.other]);
    assert.equal((await run(kind, ['fingerprint'])).out.trim(), announced.other);
  }
  await isUp('internal');

  // The exchanged keys and the policy that was signed anew outlive a restart of the DMZ node without its tunnel.
  running.get('internal')?.kill();
  running.get('dmz')?.kill();
  await Promise.all([...running.values()].map((child) => child.exitCode !== null || once(child, 'exit')));
  await serve('dmz');
  const { policyNumber } = await told<{ policyNumber: number }>('dmz', ['status']);
  assert.ok(policyNumber > 0, 'the kept policy still verifies');
  await serve('internal');
  await isUp('dmz');

  // A refused key is cut at once.
  const { admitted } = await told<CertificateList>('dmz', ['cert', 'list']);
  await told('dmz', ['cert', 'revoke', admitted[0] ?? '', '--reason', 'test']);
  await eventually('the internal node hears why', async () => {
    const { tunnel } = await told<{ tunnel: { up: boolean; refusedBy: string | null } }>('internal', ['status']);
    return (!tunnel.up && tunnel.refusedBy === 'revoked') || undefined;
  });
});

/** `firewall` as an operator or a script runs it, without any node running: what it prints, refuses, and with which exit code it ends. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { commands } from '../../scripts/site/site.ts';

const configs = new URL('../fixtures/firewall/', import.meta.url).pathname;
let folder: string;
let told: string;

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly error: string;
}

function run(which: keyof typeof commands, args: readonly string[], input = ''): Promise<Ran> {
  const [node, main] = commands[which];
  const config = join(configs, which === 'dmz' ? 'dmz.yaml' : 'sallyport.yaml');
  return new Promise((resolve) => {
    const child = execFile(node, [main, 'firewall', ...args, '--config', config], (error, out, err) => {
      resolve({ code: error ? Number(error.code) : 0, out, error: err });
    });
    child.stdin?.on('error', () => {}); // refused before it is read
    child.stdin?.end(input);
  });
}

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-firewall-'));
  told = join(folder, 'edge1.json');
  await writeFile(told, (await run('dmz', ['tell'])).out);
});
after(() => rm(folder, { recursive: true, force: true }));

test('the inside makes the rules of the pair from what the DMZ node told by hand', async () => {
  const [table, json, explained, unused] = await Promise.all([
    run('internal', ['--told', told]),
    run('internal', ['--told', told, '--json']),
    run('internal', ['explain', '50010/tcp', '--told', told]),
    run('internal', ['explain', '81', '--told', told]),
  ]);
  assert.equal(table.code, 0, table.error);
  assert.match(table.out, /^FROM +TO +PORT/);
  assert.match(table.error, /note: no IPv6 at ftps-implicit \(dmz.yaml:11\)/);
  const base = JSON.parse(json.out) as { flows: readonly { id: string; told: boolean }[] };
  assert.deepEqual([base.flows[0]?.id, base.flows[0]?.told], ['partners-sftp', true]);
  assert.match(explained.out, /FTPS data connections[\s\S]*dmz.yaml:13 \(told by the DMZ node\)/);
  assert.deepEqual([unused.code, unused.out], [6, 'port 81: nothing of ours uses it\n']);
});

test('what cannot be made is refused with what to do', async () => {
  const [all, perimeter, format, alone, nobody, garbage] = await Promise.all([
    run('internal', ['--told', told, '--format', 'nft', '--for', 'all']),
    run('internal', ['--told', told, '--format', 'terraform', '--for', 'perimeter']),
    run('internal', ['--told', told, '--format', 'cisco']),
    run('dmz', ['--format', 'nft']),
    run('internal', ['--for', 'perimeter']),
    run('internal', ['diff', '--told', told, '--from', '-'], 'no rules'),
  ]);
  assert.deepEqual(
    [all, perimeter, format, alone, garbage].map(({ code }) => code),
    [2, 2, 2, 2, 2],
  );
  assert.match(alone.error, /the address of internal node is not known[\s\S]*next: name it: --inside-address/);
  assert.equal(nobody.code, 3);
  assert.match(nobody.error, /sallyport-dmz firewall tell/);
});

test('diff ends with 5 when a rule set differs, and says where; rules of its own format read back do not', async () => {
  const { out: group } = await run('internal', ['--told', told, '--for', 'dmz', '--format', 'aws-sg']);
  const wider = group.replace('"10.1.2.3/32"', '"10.0.0.0/8"');
  assert.notEqual(wider, group);
  const [same, differs] = await Promise.all([
    run('internal', ['diff', '--told', told, '--for', 'dmz', '--from', '-'], group),
    run('internal', ['diff', '--told', told, '--for', 'dmz', '--from', '-', '--json'], wider),
  ]);
  assert.deepEqual([same.code, same.error], [0, '']);
  assert.equal(differs.code, 5);
  const { differences } = JSON.parse(differs.out) as { differences: readonly { kind: string; rule: string }[] };
  assert.deepEqual(
    differences.map(({ kind }) => kind),
    ['too-wide'],
  );
  assert.match(differences[0]?.rule ?? '', /allow tcp 8443-8443 from 10.0.0.0\/8 {3}# the tunnel/);
});

/**
 * The README's "Setting up two hosts", command by command as it stands there: each host has its own folder in the place of
 * `/etc`, and the DMZ node listens on loopback. At the end a partner logs in.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, it } from 'node:test';
import { promisify } from 'node:util';
import { commands, freePort } from '../../scripts/site/site.ts';
import { eventually } from '../../scripts/site/walk.ts';

const run = promisify(execFile);

let folder: string;
const servers: ChildProcess[] = [];
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-readme-'));
  for (const host of ['inside', 'dmz']) await mkdir(join(folder, host));
});
after(async () => {
  for (const server of servers) {
    const gone = new Promise((resolve) => server.once('exit', resolve));
    if (server.kill('SIGTERM')) await gone;
  }
  await rm(folder, { recursive: true, force: true });
});

interface Step {
  readonly host: 'inside' | 'dmz';
  readonly words: readonly string[];
}

async function stepsOfReadme(): Promise<Step[]> {
  const text = await readFile(new URL('../../README.md', import.meta.url), 'utf8');
  const section = /## Setting up two hosts\n([\s\S]*?)\n## /.exec(text)?.[1] ?? '';
  return [...section.matchAll(/^(inside|dmz)\$ +([^#\n]*)/gm)].map(([, host, line = '']) => ({
    host: host as Step['host'],
    words: line.trim().split(/ +/),
  }));
}

/** Like a host: what would be in `/etc` is in its folder, and found there without `--config`. */
const environment = (host: string) => ({ ...process.env, XDG_CONFIG_HOME: join(folder, host) });
const programs: Readonly<Record<string, readonly [string, ...string[]]>> = {
  sallyport: commands.internal,
  'sallyport-dmz': commands.dmz,
};

async function serve(host: string, node: string, args: readonly string[]): Promise<void> {
  const server = spawn(node, args, { env: environment(host), stdio: ['ignore', 'pipe', 'inherit'] });
  servers.push(server);
  let log = '';
  server.stdout.on('data', (text) => {
    log += String(text);
  });
  await eventually(`${host} is ready`, async () => log.includes('"ready":true') || undefined);
}

it('two hosts are set up with the commands of the README', async () => {
  const [tunnel, sftp] = [`127.0.0.1:${await freePort('127.0.0.1')}`, await freePort('127.0.0.1')];
  const ftps = ['--listen-ftps', '127.0.0.1:0', '--listen-ftps-implicit', '127.0.0.1:0'];
  await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(folder, 'inside/acme')]);
  const printed = { 'SPI-…': '', 'SPD-…': '', hostKey: '' };
  const steps = await stepsOfReadme();
  assert.equal(steps.length, 7);
  for (const { host, words } of steps) {
    const [program = '', ...rest] = words.map((word) =>
      word
        .replace('/etc/', `${folder}/${host}/`)
        .replace('dmz.example.com:8443', tunnel)
        .replace(/^SP[ID]-…$/, (name) => printed[name as keyof typeof printed]),
    );
    const command = programs[program];
    assert.ok(command, `README: ${words.join(' ')}`);
    const [node, ...main] = command;
    if (rest[0] === 'serve') {
      await serve(host, node, [...main, ...rest]);
      continue;
    }
    if (rest[0] === 'status') await untilUp(node, main);
    // The one thing that a machine with both hosts must do otherwise.
    const listens =
      host === 'dmz' && rest[0] === 'init' ? ['--listen-tunnel', tunnel, '--listen-sftp', `127.0.0.1:${sftp}`, ...ftps] : [];
    const { stdout } = await run(node, [...main, ...rest, ...listens], { env: environment(host), cwd: join(folder, host) });
    printed['SPI-…'] ||= /^ {2}(SPI-\S+)$/m.exec(stdout)?.[1] ?? '';
    printed['SPD-…'] ||= /^ {2}(SPD-\S+)$/m.exec(stdout)?.[1] ?? '';
    printed.hostKey ||= /^ {2}(ssh-ed25519 \S+)$/m.exec(stdout)?.[1] ?? '';
    if (rest[0] === 'status') assert.match(stdout, /^node/, 'nothing is wrong');
  }
  await logIn(sftp);
});

const untilUp = (node: string, main: readonly string[]): Promise<boolean> =>
  eventually('the tunnel is up', async () => {
    const { stdout } = await run(node, [...main, 'status', '--json'], { env: environment('inside') });
    return (JSON.parse(stdout) as { tunnel: { up: boolean } }).tunnel.up || undefined;
  });

async function logIn(port: number): Promise<void> {
  const options = ['BatchMode=yes', 'IdentitiesOnly=yes', 'StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null'];
  const args = ['-q', '-b', '-', '-P', String(port), '-i', join(folder, 'inside/acme')];
  const login = run('sftp', [...args, ...options.flatMap((option) => ['-o', option]), 'acme@127.0.0.1']);
  login.child.stdin?.end('ls -l\n');
  const { stdout } = await login;
  assert.match(stdout, /Inbox[\s\S]*Outbox/);
}

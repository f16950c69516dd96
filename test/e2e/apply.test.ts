/** A change of the configuration on a running pair: told before it happens, put in force, cut sessions, and back by itself. */
import assert from 'node:assert/strict';
import { appendFile, cp, mkdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { InternalStatus } from '../../internal-node/admin/api.ts';
import type { Ran } from '../../scripts/site/site.ts';
import { curlFtps, delivered, eventually, filesBelow, inside as insideOf, sftp } from '../../scripts/site/walk.ts';
import { AdminClient } from '../../shared/admin/client.ts';
import { type Pair, startPair } from '../fixtures/pair.ts';

let pair: Pair;
let scratch: string;
const local = (name: string): string => join(scratch, name);

before(async () => {
  pair = await startPair({}, undefined, async ({ dmz }) => {
    // Logins that are refused make the next answers wait.
    await appendFile(dmz.config, '\nlimits:\n  throttle: {exempt: [127.0.0.0/8]}\n');
  });
  scratch = join(pair.site.folder, 'scratch');
  await mkdir(scratch);
  await writeFile(local('small.csv'), 'small');
  await writeFile(local('large.bin'), '');
  await truncate(local('large.bin'), 256 * 1024 * 1024);
});
after(async () => {
  await pair?.[Symbol.asyncDispose]();
});

const inside = (...args: readonly string[]): Promise<Ran> => insideOf(pair.site, ...args);

async function succeeds(...args: readonly string[]): Promise<string> {
  const { code, out, error } = await inside(...args);
  assert.equal(code, 0, `${args.join(' ')}: ${out}${error}`);
  return out;
}

/** A copy of the configuration in use, with a change of its partners. */
async function planned(name: string, change: (partners: string) => string): Promise<string> {
  const folder = join(pair.site.folder, name);
  await cp(join(dirname(pair.site.internal.config), 'conf.d'), join(folder, 'conf.d'), { recursive: true });
  const file = join(folder, 'conf.d/partners.yaml');
  const before = await readFile(file, 'utf8');
  await writeFile(file, change(before));
  assert.notEqual(await readFile(file, 'utf8'), before);
  return folder;
}
const withoutAcme = (partners: string): string => partners.replace(/^ {2}acme:\n/m, '  acme:\n    disabled: true\n');

const statusOf = (): Promise<InternalStatus> =>
  new AdminClient({ socket: join(pair.site.internal.state, 'admin/socket') }).get<InternalStatus>(['v1', 'status']);
const logsIn = async (): Promise<boolean> => (await sftp(pair.site, pair.acme, ['ls /'])).code === 0;

type Audited = Readonly<Record<string, unknown>>;

/** Events of a node's audit trail with this name. */
async function audited(state: string, name: string): Promise<readonly Audited[]> {
  const trail = join(state, 'audit');
  const texts = await Promise.all((await filesBelow(trail)).map((file) => readFile(join(trail, file), 'utf8')));
  const lines = texts.flatMap((text) => text.trimEnd().split('\n'));
  return lines.map((line) => JSON.parse(line) as Audited).filter((event) => event.name === name);
}
const timeOf = (event: Audited | undefined): number => Date.parse(String(event?.time));

describe('plan and apply on a running pair', () => {
  it('past files are decided again under other rules, and differences name both lines', async () => {
    for (const name of ['one.csv', 'two.csv']) {
      assert.equal((await sftp(pair.site, pair.acme, [`put ${local('small.csv')} /Inbox/${name}`])).code, 0);
      await delivered(pair.site, `acme/${name}`);
    }
    const same = await inside('rules', 'test', '--from-history', '30d');
    assert.equal(same.code, 0, same.error);
    assert.match(same.out, /^2 past items decided again: 2 same, 0 differ, 0 unrouted, 0 refused/);
    await writeFile(
      local('rules.yaml'),
      'rules:\n  - {name: first, path: one*, hold: true}\n  - {name: rest, deliver: inside}\n',
    );
    const other = await inside('rules', 'test', '--from-history', '30d', '--with', local('rules.yaml'), '--diff');
    assert.equal(other.code, 5, other.error);
    const [difference] = other.out.split('\n');
    assert.deepEqual(difference?.split('\t'), [
      ...['acme', '/Inbox/one.csv', 'deliver inside acme/one.csv', 'everything else (conf.d/rules.yaml:6)'],
      ...['hold', `first (${local('rules.yaml')}:2)`],
    ]);
    const json = JSON.parse(
      (await inside('rules', 'test', '--from-history', '30d', '--with', local('rules.yaml'), '--json')).out,
    );
    assert.deepEqual([json.items, json.same, json.differ], [2, 1, 1]);
  });

  it('a plan names the change, the sessions that would end and what past files would meet, and changes nothing', async () => {
    const folder = await planned('new', withoutAcme);
    const plan = await succeeds('plan', folder);
    assert.match(plan, /^~\tpartner\tacme\tdisabled: false → true\tconf\.d\/partners\.yaml:\d+$/m);
    assert.match(plan, /^30d: 2 past items decided again: 0 same, 2 differ .*2 refused/m);
    assert.doesNotMatch(plan, /argon2|ssh-ed25519/);
    const { changes, ended, history } = JSON.parse(await succeeds('plan', folder, '--json'));
    assert.deepEqual([changes.length, ended, history.refused], [1, [{ partner: 'acme', sessions: 0 }], 2]);
    await writeFile(join(folder, 'conf.d/wrong.yaml'), 'partners: {x: {}}\n');
    assert.equal((await inside('plan', folder)).code, 2);
    assert.equal((await inside('apply', folder)).code, 2);
    assert.ok(await logsIn());
  });

  it('AC-20: disabling a partner cuts his live sessions over SFTP and FTPS, and what is not confirmed goes back', async (t) => {
    const folder = await planned('disabled', withoutAcme);
    const uploads = [
      sftp(pair.site, pair.acme, [`put ${local('large.bin')} /Inbox/slow-sftp`], ['-l', '8000']),
      curlFtps(pair.site, pair.acme, ['--limit-rate', '1M', '-T', local('large.bin')], '/Inbox/slow-ftps'),
    ];
    await eventually('both sessions', async () => {
      const { partners } = await statusOf();
      return partners.connected.some(({ partner, sessions }) => partner === 'acme' && sessions === 2) || undefined;
    });
    const plan = await succeeds('plan', folder);
    assert.match(plan, /^sessions of acme would end: 2$/m);
    const askedAtMs = Date.now();
    const applied = await succeeds('apply', folder, '--confirm-timeout', '1h');
    assert.match(applied, /^In place; the DMZ node holds policy \d+\.\nIt goes back at .* UTC/);
    const cut = await Promise.all(uploads);
    const ends = await eventually('the end of both', async () => {
      const found = (await audited(pair.site.dmz.state, 'session.ended')).filter(
        ({ reason }) => reason === 'revoked by the inside',
      );
      return found.length === 2 ? found : undefined;
    });
    const [applying] = (await audited(pair.site.internal.state, 'partner.changed')).slice(-1);
    const lastMs = Math.max(...ends.map(timeOf));
    const since = (atMs: number): string => `${Math.round(lastMs - atMs)} ms`;
    t.diagnostic(
      `both sessions ended ${since(askedAtMs)} after the command was typed, ${since(timeOf(applying))} after it was in force`,
    );
    for (const { code } of cut) assert.notEqual(code, 0);
    assert.equal(await logsIn(), false);
    assert.ok((await statusOf()).configUnconfirmedUntilMs);
    assert.equal((await inside('apply', folder)).code, 7);

    process.kill(pair.supervisor.pid('internal'), 'SIGKILL');
    await eventually(
      'the node is back, and the change still waits',
      async () => (await statusOf()).configUnconfirmedUntilMs ?? undefined,
    );
    await pair.supervisor.ready(AbortSignal.timeout(120_000));
    assert.equal(await logsIn(), false);
    await succeeds('apply', '--roll-back');
    await eventually('acme is back', async () => (await logsIn()) || undefined);
    assert.equal((await inside('apply', '--confirm')).code, 6);
  });

  it('a node that is killed takes back what was not confirmed in time', async () => {
    const folder = await planned('late', withoutAcme);
    await succeeds('apply', folder, '--confirm-timeout', '1s');
    await pair.supervisor.takeDown('internal', 0);
    await eventually('its time is over', async () => {
      const note = await readFile(join(pair.site.internal.state, 'apply/note.json'), 'utf8').catch(() => '{"deadlineMs":0}');
      return Date.now() > (JSON.parse(note) as { deadlineMs: number }).deadlineMs || undefined;
    });
    pair.supervisor.bringUp('internal');
    await eventually('acme is back', async () => (await logsIn()) || undefined);
    assert.doesNotMatch(await readFile(join(dirname(pair.site.internal.config), 'conf.d/partners.yaml'), 'utf8'), /disabled/);
    await eventually('the record of it', async () => {
      return (await audited(pair.site.internal.state, 'config.rolled-back')).length >= 2 || undefined;
    });
  });

  it('what is confirmed stays over a restart', async () => {
    const folder = await planned('wanted', (partners) => partners.replace(/^ {2}acme:\n/m, '  acme:\n    maxFileSize: 1KiB\n'));
    await succeeds('apply', folder, '--confirm-timeout', '1h');
    await succeeds('apply', '--confirm');
    await pair.supervisor.takeDown('internal', 0);
    pair.supervisor.bringUp('internal');
    await eventually('acme is served', async () => (await logsIn()) || undefined);
    const { code, output } = await sftp(pair.site, pair.acme, [`put ${local('large.bin')} /Inbox/too-large`]);
    assert.notEqual(code, 0, output);
    assert.equal((await statusOf()).configUnconfirmedUntilMs, null);
  });
});

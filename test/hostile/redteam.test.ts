/**
 * `sallyport redteam`: every row of the threat model (reliability.md §1.3) that messages over the tunnel can try, by the scripts that the
 * command plays, on a real internal node; what is left behind is looked at after each of them.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Exposed, InternalStatus } from '../../internal-node/admin/api.ts';
import { Observer } from '../../internal-node/redteam/observer.ts';
import { notTried, scripts, tryScript } from '../../internal-node/redteam/run.ts';
import { Stage } from '../../internal-node/redteam/stage.ts';
import { TakenOverDmz } from '../../internal-node/redteam/taken-over-dmz.ts';
import { commands, createSite, type Site } from '../../scripts/site/site.ts';
import { eventually } from '../../scripts/site/walk.ts';
import { AdminClient } from '../../shared/admin/client.ts';
import { firstBrokenLine } from '../../shared/events/audit-trail.ts';
import { newSessionId, newTraceId } from '../../shared/ids.ts';
import { loadNodeKeys } from '../../shared/pki/node-keys.ts';
import { handshakeWith, keyLogin, readKey } from '../fixtures/ssh-login.ts';

let folder: string;
let site: Site;
let node: ChildProcess;
let client: AdminClient;

/** The command, as a person calls it. */
function redteam(...options: string[]): Promise<{ readonly code: number; readonly out: string; readonly error: string }> {
  const { globex } = site.partners;
  const [program, main] = commands.internal;
  const keys = join(site.dmz.state, 'keys');
  const args = [
    'redteam',
    '-c',
    site.internal.config,
    '--dmz-keys',
    keys,
    '--partner',
    'globex',
    '--password-file',
    '-',
    ...options,
  ];
  return new Promise((resolve) => {
    const child = execFile(program, [main, ...args], (error, out, err) =>
      resolve({ code: error ? Number(error.code) : 0, out, error: err }),
    );
    child.stdin?.end(`${globex?.password}\n`);
  });
}

async function auditLines(): Promise<readonly string[]> {
  const audit = join(site.internal.state, 'audit');
  const days = (await readdir(audit)).sort();
  const texts = await Promise.all(days.map((day) => readFile(join(audit, day), 'utf8')));
  return texts.join('').split('\n').slice(0, -1);
}

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-redteam-'));
  site = await createSite({ folder });
  const quick = '\npull: {poll: 250ms, retryFirst: 100ms, retryMost: 1s}\nsessions: {grace: 1s}\n';
  await writeFile(site.internal.config, (await readFile(site.internal.config, 'utf8')) + quick);
  node = spawn(commands.internal[0], [commands.internal[1], 'serve', '-c', site.internal.config], { stdio: 'ignore' });
  client = new AdminClient({ socket: join(site.internal.state, 'admin/socket') });
  await eventually('the node runs', () => client.get<InternalStatus>(['v1', 'status']));
});
after(async () => {
  node.kill();
  if (node.exitCode === null) await once(node, 'exit');
  await rm(folder, { recursive: true, force: true });
});

it('refuses a node that does not call itself staging, and then tries nothing', async () => {
  const { code, error } = await redteam();
  assert.equal(code, 4);
  assert.match(error, /is not the configuration of a staging node; nothing was tried[\s\S]*purpose: staging/);
  assert.equal((await client.get<InternalStatus>(['v1', 'status'])).tunnel.up, false);
});

/** What `sallyport exposed` tells. */
const exposed = async (): Promise<Exposed['typed']> => (await client.get<Exposed>(['v1', 'exposed'], { since: '0' })).typed;

it('says of each row what stopped it, and exits with 0 when everything was stopped', async () => {
  await writeFile(site.internal.config, `${await readFile(site.internal.config, 'utf8')}\npurpose: staging\n`);
  assert.deepEqual(await exposed(), []);
  const { code, out, error } = await redteam('--only', 'd6,D9');
  assert.equal(code, 0, error + out + (await auditLines()).filter((line) => line.includes('auth.')).join('\n'));
  assert.match(out, /^D6 +stopped {2}items in the name of partners who are not connected\n +3 set aside/m);
  assert.match(out, /^2 of 2 stopped\.$/m);
  await eventually('the place of the DMZ node is free', async () => {
    const { tunnel } = await client.get<InternalStatus>(['v1', 'status']);
    return !tunnel.up || undefined;
  });
});

describe('a DMZ node that was taken over', () => {
  let edge: TakenOverDmz;
  let stage: Stage;

  before(async () => {
    const { internal, inside, dmz, partners } = site;
    const port = Number(/address: .*:(\d+)/.exec(await readFile(internal.config, 'utf8'))?.[1]);
    edge = await TakenOverDmz.start(await loadNodeKeys(join(dmz.state, 'keys'), 'dmz'), port);
    const key = await readKey(partners.acme?.keyFile ?? '');
    const seen = new Observer(
      { status: () => client.get<InternalStatus>(['v1', 'status']) },
      { auditFolder: join(internal.state, 'audit'), folders: [inside.delivered] },
    );
    stage = await Stage.open({
      edge,
      seen,
      login: async () => {
        const handshake = handshakeWith(await edge.cookie());
        return keyLogin(key, { user: 'acme', session: newSessionId(), trace: newTraceId(), handshake });
      },
      offer: async (name, content) => {
        const once = async function* () {
          yield content;
        };
        await client.put(['v1', 'outbox'], { partner: 'acme', path: name }, once());
      },
    });
  });
  after(() => edge?.[Symbol.asyncDispose]());

  for (const script of scripts) {
    it(`${script.row}: ${script.tries}`, async () => {
      const tried = await tryScript(script, stage);
      assert.equal(tried.outcome, 'stopped', tried.detail);
      assert.equal(firstBrokenLine(await auditLines()), undefined, 'the audit trail is whole');
    });
  }

  it('D10: who typed a password is known exactly: right, wrong, or never', async () => {
    const typed = await exposed();
    const audited = (await auditLines()).filter((line) => /"name":"auth\.(accepted|rejected)".*"method":"password"/.test(line));
    assert.equal(
      typed.reduce((sum, { times }) => sum + times, 0),
      audited.length,
    );
    assert.equal(typed.find(({ user }) => user === 'globex')?.accepted, true);
    // He came with his key, and the passwords tried in his name were wrong.
    assert.equal(typed.find(({ user }) => user === 'acme')?.accepted, false);
  });

  it('every row of the threat model is tried, or it is said why not', () => {
    const rows = new Set([...scripts.map(({ row }) => row), ...Object.keys(notTried)]);
    assert.deepEqual(
      Array.from({ length: 25 }, (_, n) => `D${n + 1}`).filter((row) => !rows.has(row)),
      [],
    );
  });
});

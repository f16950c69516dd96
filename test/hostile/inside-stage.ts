/**
 * The stage of the attacks on a real internal node: its site some folders deep in a watched one, the node as a process, and
 * in place of its DMZ node one that was taken over, with sessions of two partners who happen to be connected.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseDocument } from 'yaml';
import type { InternalStatus } from '../../internal-node/admin/api.ts';
import type { HostileLink } from '../../internal-node/redteam/hostile-dmz.ts';
import type { DoubleItem } from '../../internal-node/redteam/sealed-item.ts';
import { type StolenSession, TakenOverDmz } from '../../internal-node/redteam/taken-over-dmz.ts';
import { createSite, type Site } from '../../scripts/site/site.ts';
import { eventually, filesBelow, sha256 } from '../../scripts/site/walk.ts';
import { AdminClient } from '../../shared/admin/client.ts';
import { newSessionId, newTraceId } from '../../shared/ids.ts';
import { loadNodeKeys } from '../../shared/pki/node-keys.ts';
import { headerLength } from '../../shared/seal/header.ts';
import type { AuthCheck } from '../../shared/tunnel/messages.ts';
import { handshakeWith, keyLogin, readKey } from '../fixtures/ssh-login.ts';
import { type Mark, WatchedNode } from './watched-node.ts';

const mebibyte = 1024 * 1024;
/** As in internal-node/tunnel/link.ts, and a little more. */
const soundAfterMs = 5200;
const stagingMark = '.sallyport-staging/place';

/** In every file that must not come in. */
export const poison = `content of an attack ${randomBytes(8).toString('hex')}`;

/** A session that began with a key, for replays of the login. */
export interface KeySession extends StolenSession {
  readonly login: Extract<AuthCheck, { method: 'key' }>;
}

type Parts = Pick<InsideStage, 'site' | 'outer' | 'vault' | 'edge' | 'inside' | 'tunnelPort'>;

export class InsideStage implements AsyncDisposable {
  readonly site: Site;
  readonly outer: string;
  /** Reserved for another partner by the rules. */
  readonly vault: string;
  readonly edge: TakenOverDmz;
  readonly inside: WatchedNode;
  readonly tunnelPort: number;
  readonly acme: KeySession;
  readonly globex: KeySession;
  /** What has to be at the destination, with its digest. */
  readonly #expected = new Map<string, string>();
  #honest = 0;

  private constructor(parts: Parts, sessions: { readonly acme: KeySession; readonly globex: KeySession }) {
    this.site = parts.site;
    this.outer = parts.outer;
    this.vault = parts.vault;
    this.edge = parts.edge;
    this.inside = parts.inside;
    this.tunnelPort = parts.tunnelPort;
    this.acme = sessions.acme;
    this.globex = sessions.globex;
  }

  static async start(): Promise<InsideStage> {
    const outer = await mkdtemp(join(tmpdir(), 'sallyport-hostile-'));
    const folder = join(outer, 'a/b/site');
    await mkdir(folder, { recursive: true });
    const site = await createSite({ folder });
    const vault = join(folder, 'inside/vault');
    const tunnelPort = await prepare(site, vault);
    const edge = await TakenOverDmz.start(await loadNodeKeys(join(site.dmz.state, 'keys'), 'dmz'), tunnelPort);
    const own = ['inside/delivered/', 'internal/state/records.db', 'internal/state/audit/'].map((path) => `a/b/site/${path}`);
    const mayChange = (path: string): boolean => own.some((start) => path.startsWith(start));
    const inside = await WatchedNode.start({ site, kind: 'internal', outer, mayChange });
    const parts = { site, outer, vault, edge, inside, tunnelPort };
    try {
      await edge.link();
      const stage = new InsideStage(parts, { acme: await login(parts, 'acme'), globex: await login(parts, 'globex') });
      await stage.#settle();
      return stage;
    } catch (error) {
      await disposeOf(parts);
      throw error;
    }
  }

  /** A session of a partner who comes by: what the DMZ can always get. */
  login(partner: 'acme' | 'globex'): Promise<KeySession> {
    return login(this, partner);
  }

  async status(): Promise<InternalStatus> {
    const socket = join(this.site.internal.state, 'admin/socket');
    return await new AdminClient({ socket, signal: AbortSignal.timeout(5000) }).get<InternalStatus>(['v1', 'status']);
  }

  /** An item with poison in it. */
  make(path: string, session = this.acme, over: Parameters<TakenOverDmz['make']>[3] = {}): Promise<DoubleItem> {
    return this.edge.make(session, path, Buffer.from(`${poison}\n${'x'.repeat(3000)}`), over);
  }

  /** An item as an honest partner would send it; `expect` says where it must arrive. */
  makeHonest(path: string, session = this.acme, sizeBytes = 5000): Promise<DoubleItem> {
    return this.edge.make(session, path, randomBytes(sizeBytes));
  }

  /** The content of `item` may and must be at the destination under `file`. */
  async expectDelivered(item: DoubleItem, file: string): Promise<void> {
    const { id, sha256: digest } = item.description;
    this.#expected.set(file, digest ?? '');
    const path = join(this.site.inside.delivered, file);
    const content = await eventually(`${file} is delivered`, () => readFile(path));
    assert.equal(sha256(content), digest);
    await eventually(`${file} is confirmed`, async () => this.edge.confirmed.some((sent) => sent.id === id) || undefined);
  }

  /** What an honest DMZ does all day works. */
  async honestFile(session = this.acme, sizeBytes = 5000): Promise<DoubleItem> {
    this.#honest += 1;
    const name = `honest-${this.#honest}.bin`;
    const item = await this.makeHonest(`/Inbox/${name}`, session, sizeBytes);
    const { decision } = await this.edge.present(item);
    assert.ok(decision, 'an honest item is taken');
    await this.expectDelivered(item, `${session.partner}/${name}`);
    return item;
  }

  /** Asks for the file key of an item. */
  askKey(item: DoubleItem, token: string): Promise<Readonly<Record<string, unknown>>> {
    const headers = item.sealed.map((sealed) => sealed.subarray(0, headerLength(sealed)).toString('base64'));
    return this.edge.ask('key.release', { token, item: item.description.id, headers });
  }

  /** Waits until the link has lived so long that the inside will dial again at once: cutting it often costs less then. */
  async calm(): Promise<void> {
    const ups = (await this.inside.audit()).split('\n').filter((line) => line.includes('"name":"link.up"'));
    const upMs = Date.parse((JSON.parse(ups.at(-1) ?? '{}') as { time: string }).time);
    await sleep(Math.max(0, upMs + soundAfterMs - Date.now()));
  }

  /** Runs each on a link of its own and waits until the inside has cut it with an alarm. */
  async eachIsCut(mark: Mark, scripts: Readonly<Record<string, (link: HostileLink) => unknown>>): Promise<void> {
    let cut = (await this.inside.since(mark)).filter(({ name }) => name === 'link.violation').length;
    for (const [name, script] of Object.entries(scripts)) {
      const link = await this.edge.link();
      await script(link);
      const alarm = async (): Promise<true | undefined> => {
        const events = await this.inside.since(mark);
        return events.filter((event) => event.name === 'link.violation').length > cut || undefined;
      };
      await eventually(`an alarm for: ${name}`, alarm);
      await eventually(`the link is cut for: ${name}`, async () => link.ws.readyState === 3 || undefined);
      cut += 1;
    }
  }

  /** What holds after every attack, whatever it was. */
  async assertSound(mark: Mark): Promise<void> {
    await this.honestFile();
    await this.inside.assertUnharmed(mark);
    await eventually(
      'no draft is left',
      async () => (await this.#delivered()).size === this.#expected.size || undefined,
      3000,
    ).catch(() => undefined);
    assert.deepEqual(await this.#delivered(), new Map([...this.#expected].sort()), 'at the destination is what was honest');
    assert.deepEqual(await this.#poisoned(), [], 'no content of an attack lies anywhere');
    assert.equal((await this.status()).tunnel.up, true);
    const known = (call: string): boolean => this.#isTunnel(call) || isStaffDoor(call) || isSelfTest(call);
    assert.deepEqual(await this.inside.strangeCalls(known), [], 'no other connection, no program');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await disposeOf(this);
  }

  async #settle(): Promise<void> {
    await this.honestFile();
    await this.honestFile(this.globex, 96 * mebibyte);
    await this.inside.noteUsualMemory();
    const started = await this.inside.strangeCalls(() => false);
    assert.ok(
      started.some((call) => this.#isTunnel(call)),
      'the calls of the node are seen',
    );
  }

  #isTunnel(call: string): boolean {
    const { tunnelPort } = this;
    return call.includes(`connect(`) && call.includes(`sin_port=htons(${tunnelPort}), sin_addr=inet_addr("127.0.0.1")`);
  }

  /** Files at the destination, drafts too. */
  async #delivered(): Promise<Map<string, string>> {
    const root = this.site.inside.delivered;
    const files = (await filesBelow(root)).filter((file) => file !== stagingMark).sort();
    return new Map(await Promise.all(files.map(async (file) => [file, sha256(await readFile(join(root, file)))] as const)));
  }

  async #poisoned(): Promise<string[]> {
    const files = await filesBelow(this.outer);
    const contents = await Promise.all(files.map((file) => readFile(join(this.outer, file)).catch(() => Buffer.alloc(0))));
    return files.filter((_, index) => contents[index]?.includes(poison));
  }
}

/** The agent dials its staff door: a Unix socket. It never listens itself. */
const isStaffDoor = (call: string): boolean => /\bconnect\(.*sa_family=AF_UNIX, sun_path="[^"]*socket\.agent"/.test(call);

/** For its status it tries what cannot succeed, to see whether the kernel denies it. */
const isSelfTest = (call: string): boolean =>
  /\b(connect|bind)\(.*sa_family=AF_UNIX, sun_path="[^"]*nobody-is-here\/socket"\}.* = -1 /.test(call);

async function login({ site, edge }: Pick<Parts, 'site' | 'edge'>, partner: 'acme' | 'globex'): Promise<KeySession> {
  const facts = site.partners[partner];
  assert.ok(facts);
  const handshake = handshakeWith(await edge.cookie());
  const login = keyLogin(await readKey(facts.keyFile), {
    user: partner,
    session: newSessionId(),
    trace: newTraceId(),
    handshake,
  });
  return { ...(await edge.login(login)), login };
}

async function disposeOf({ inside, edge, outer }: Parts): Promise<void> {
  await inside[Symbol.asyncDispose]();
  await edge[Symbol.asyncDispose]();
  await rm(outer, { recursive: true, force: true });
}

/** Quick retries, a loud log, short memory of ended sessions, and a second destination. @returns the port the inside dials. */
async function prepare(site: Site, vault: string): Promise<number> {
  await mkdir(vault, { mode: 0o700 });
  const config = parseDocument(await readFile(site.internal.config, 'utf8'));
  config.setIn(['destinations', 'vault', 'folder'], vault);
  config.setIn(['pull'], { poll: '250ms', retryFirst: '100ms', retryMost: '1s' });
  config.setIn(['sessions'], { grace: '1s' });
  config.setIn(['log'], { level: 'debug' });
  await writeFile(site.internal.config, String(config), { mode: 0o600 });
  const rules = join(site.internal.config, '../conf.d/rules.yaml');
  const own = '  - name: payroll\n    partner: globex\n    path: "payroll/*"\n    deliver: vault\n';
  await writeFile(rules, (await readFile(rules, 'utf8')).replace('rules:\n', `rules:\n${own}`), { mode: 0o600 });
  return Number(String(config.getIn(['dmz', 'address'])).split(':')[1]);
}

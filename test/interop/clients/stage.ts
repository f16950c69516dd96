/**
 * Where the client matrix plays: a running pair, with a rule that keeps what goes to /Inbox/held in the DMZ (so that what
 * happens to a file before it is collected can be tried without a race), and folders with many entries.
 */
import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { appendFile, mkdir, mkdtemp, open, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { DmzNodeStatus } from '../../../dmz-node/admin/api.ts';
import { makeSelfSigned } from '../../../dmz-node/ftps/tls/certificate.ts';
import type { InternalStatus, ListedItem, Listing, TraceAnswer } from '../../../internal-node/admin/api.ts';
import { pullHeaders } from '../../../internal-node/admin/routes.ts';
import type { Site } from '../../../scripts/site/site.ts';
import { eventually, filesBelow } from '../../../scripts/site/walk.ts';
import { AdminClient } from '../../../shared/admin/client.ts';
import { Database } from '../../../shared/durable/database.ts';
import { SallyportError } from '../../../shared/errors.ts';
import type { EventName } from '../../../shared/events/catalogue.ts';
import { OpenSsh } from '../../fixtures/openssh.ts';
import { type Pair, startPair } from '../../fixtures/pair.ts';
import { RawSftp } from '../../fixtures/raw-sftp.ts';
import { TcpRelay } from '../../hostile/tcp-relay.ts';
import { type Client, type Door, ordinaryWay, type Way } from './client.ts';
import { RawPartner } from './raw-partner.ts';
import type { SeedOperations } from './seed-operations.ts';

/** Files that are waited for may be 5 GiB. */
const patienceMs = 300_000;

/** What the suite lists. */
export const suiteFolders = { many: 2000 } as const;
export const fullFolders = { ...suiteFolders, 'very-many': 100_000 } as const;

/** Beyond 2^32, where counts of 32 bits wrap. */
export const bigBytes = 5 * 2 ** 30;

export interface StageOptions {
  /** Folders of the Inbox that are there from the beginning, with how many entries. */
  readonly folders: Readonly<Record<string, number>>;
  readonly algorithms?: 'compatible';
}

export class Stage implements AsyncDisposable {
  readonly #pair: Pair;
  readonly #relay: TcpRelay;
  readonly #hostKeys: readonly string[];
  /** Of another server. */
  readonly #otherHostKeys: readonly string[];
  #offers = 0;
  #bigOffer: Promise<LocalFile & { readonly name: string }> | undefined;

  private constructor(pair: Pair, relay: TcpRelay, hostKeys: readonly string[], otherHostKeys: readonly string[]) {
    this.#pair = pair;
    this.#relay = relay;
    this.#hostKeys = hostKeys;
    this.#otherHostKeys = otherHostKeys;
  }

  static async start({ folders, algorithms }: StageOptions): Promise<Stage> {
    const pair = await startPair({}, undefined, async (site) => {
      await configure(site, algorithms);
      await seed(site, folders);
    });
    await mkdir(join(pair.site.folder, 'clients'));
    const known = await readFile(pair.site.knownHosts, 'utf8');
    const hostKeys = known
      .trimEnd()
      .split('\n')
      .map((line) => line.slice(line.indexOf(' ') + 1));
    const stage = new Stage(pair, await TcpRelay.start(pair.site.sftp.port), hostKeys, await otherHostKeys());
    await using raw = await stage.raw();
    for (const folder of ['/Inbox/held', '/Inbox/empty']) await raw.makeFolder(folder);
    return stage;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#relay.stop();
    await this.#pair[Symbol.asyncDispose]();
  }

  get relay(): TcpRelay {
    return this.#relay;
  }

  /** A new door for a run of a client. */
  async door(client: Client, wanted: DoorWishes): Promise<Door> {
    const { site, acme } = this.#pair;
    const { way = ordinaryWay } = wanted;
    const address = client.protocol === 'ftps' ? addressOf(site, way) : site.sftp;
    const port = wanted.relayed ? this.#relay.port : address.port;
    const scratch = await mkdtemp(join(site.folder, `clients/${client.id}-`));
    const hostKeys = wanted.wrongHostKey ? this.#otherHostKeys : this.#hostKeys;
    const knownHosts = join(scratch, 'known_hosts');
    await writeFile(knownHosts, hostKeys.map((line) => `[${site.sftp.host}]:${port} ${line}\n`).join(''));
    return {
      host: address.host,
      port,
      way,
      caFile: wanted.wrongHostKey ? await this.#otherCertificate(scratch) : site.ftps.caFile,
      user: acme.name,
      login: wanted.login ?? 'key',
      keyFile: acme.keyFile,
      password: wanted.password ?? acme.password,
      knownHosts,
      hostKeys,
      scratch,
      ...(wanted.rekeyBytes ? { rekeyBytes: wanted.rekeyBytes } : {}),
    };
  }

  /** Of another server with the same name. */
  async #otherCertificate(folder: string): Promise<string> {
    const files = { certificate: join(folder, 'other.crt'), key: join(folder, 'other.key') };
    await makeSelfSigned(files, ['localhost', '127.0.0.1', '::1'], Date.now());
    return files.certificate;
  }

  /** A client without manners, logged in. */
  async raw(): Promise<RawPartner> {
    const { site, acme } = this.#pair;
    return new RawPartner(await RawSftp.connect(site.sftp.port, { username: acme.name, password: acme.password }));
  }

  /** A folder for local files that outlives a run. */
  async folder(name: string): Promise<string> {
    const folder = join(this.#pair.site.folder, 'clients', name);
    await mkdir(folder, { recursive: true });
    return folder;
  }

  /** Offers a file in acme's Outbox; resolves when the DMZ has it. */
  async offer(name: string, path: string): Promise<void> {
    this.#offers += 1;
    await this.#inside().put(['v1', 'outbox'], { partner: 'acme', path: name }, createReadStream(path));
  }

  /** Waits for a file inside. @param below Path below the Inbox, as delivered. */
  async delivered(below: string): Promise<LocalFile> {
    const path = join(this.#pair.site.inside.delivered, 'acme', below);
    const { size } = await eventually(`${below} is delivered`, () => stat(path), patienceMs);
    return { path, size, sha256: await sha256Of(path) };
  }

  /** Names of everything that was delivered so far and begins so. */
  async deliveredNames(prefix: string): Promise<string[]> {
    const all = await filesBelow(join(this.#pair.site.inside.delivered, 'acme')).catch(() => []);
    return all.filter((name) => name.startsWith(prefix)).sort();
  }

  /** Waits until the trace of a path tells an event. @returns the names of all events. */
  async traced(path: string, event: EventName): Promise<string[]> {
    return eventually(`the trace of ${path} tells ${event}`, async () => {
      const { events } = await this.#inside().get<TraceAnswer>(['v1', 'trace'], { ref: `acme${path}` });
      const names = events.map(({ name }) => name);
      return names.includes(event) ? names : undefined;
    });
  }

  /** Waits until the node has noticed that every session is over. */
  async sessionsAreOver(): Promise<void> {
    const over = async () => (await this.#dmz().get<DmzNodeStatus>(['v1', 'status'])).sessions === 0 || undefined;
    await eventually('the sessions are over', over);
  }

  /** Of all files, also those that are still being received. */
  async storedBytes(): Promise<number> {
    const objects = join(this.#pair.site.dmz.state, 'objects');
    const names = await filesBelow(objects).catch(() => []);
    const sizes = names.map((name) =>
      stat(join(objects, name)).then(
        ({ size }) => size,
        () => 0,
      ),
    );
    return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
  }

  /** What the inside knows of items in the Inbox whose path begins so, oldest first. */
  async items(prefix: string): Promise<ListedItem[]> {
    const { items } = await this.#inside().get<Listing>(['v1', 'items'], { partner: 'acme', box: 'Inbox', limit: '1000' });
    return items.filter(({ path }) => path.startsWith(prefix)).reverse();
  }

  /** Pulls what is held under paths that begin so. @returns the SHA-256 of each, oldest first. */
  async pullHeld(prefix: string): Promise<string[]> {
    const digests: string[] = [];
    for (const { item, state } of await this.items(prefix)) {
      const digest = state === 'held' ? await this.#pull(item) : undefined;
      if (digest) digests.push(digest);
    }
    return digests;
  }

  /** @returns undefined when the partner took it back and the inside did not know yet. */
  async #pull(item: string): Promise<string | undefined> {
    try {
      const { headers, content } = await this.#inside().download(['v1', 'content'], { ref: item });
      const hash = createHash('sha256');
      for await (const chunk of content) hash.update(chunk);
      await this.#inside().post(['v1', 'pulls', headers[pullHeaders.ticket] ?? '', 'commit']);
      return hash.digest('hex');
    } catch (error) {
      if (error instanceof SallyportError && error.code === 'already-collected') return undefined;
      throw error;
    }
  }

  /** A file of 5 GiB in the Outbox, the same for all clients. */
  bigOffer(): Promise<LocalFile & { readonly name: string }> {
    this.#bigOffer ??= this.#offerBig();
    return this.#bigOffer;
  }

  async #offerBig(): Promise<LocalFile & { readonly name: string }> {
    const file = await sparseFile(join(await this.folder('local'), 'big-offer'), bigBytes);
    await this.offer('big.bin', file.path);
    await rm(file.path);
    return { ...file, name: 'big.bin' };
  }

  /** Waits until nothing of the clients' files is left in the DMZ or on its way inside. @throws Error with what is left. */
  async nothingLeft(): Promise<void> {
    let left: unknown;
    await eventually('nothing is left', async () => {
      const found = await this.#found();
      left = found;
      return Object.values(found).every((count) => count === 0) || undefined;
    }).catch((error: Error) => {
      throw new Error(`${error.message}: ${JSON.stringify(left)}`);
    });
  }

  async #found(): Promise<Readonly<Record<string, number>>> {
    const { site } = this.#pair;
    const { items: atDmz } = await this.#dmz().get<DmzNodeStatus>(['v1', 'status']);
    const { items: inside } = await this.#inside().get<InternalStatus>(['v1', 'status']);
    const objects = await filesBelow(join(site.dmz.state, 'objects')).catch(() => []);
    // The folder is marked with its place.
    const drafts = await filesBelow(join(site.inside.delivered, '.sallyport-staging')).catch(() => []);
    const { ready, held, unrouted, leased, partial } = atDmz;
    const { waiting, quarantined } = inside;
    // What was offered stays in the Outbox for its time.
    const strayObjects = Math.max(0, objects.length - this.#offers);
    return {
      ready,
      held,
      unrouted,
      leased,
      partial,
      waiting,
      quarantined,
      drafts: drafts.filter((name) => name !== 'place').length,
      strayObjects,
    };
  }

  #inside(): AdminClient {
    return new AdminClient({ socket: join(this.#pair.site.internal.state, 'admin/socket') });
  }

  #dmz(): AdminClient {
    return new AdminClient({ socket: join(this.#pair.site.dmz.state, 'admin/socket') });
  }
}

export interface DoorWishes {
  readonly login?: 'key' | 'password';
  readonly password?: string;
  /** The user was told another host key, or another certificate. */
  readonly wrongHostKey?: boolean;
  readonly rekeyBytes?: number;
  /** Of FTPS; the ordinary one when left out. */
  readonly way?: Way;
  /** Through the relay, which can cut it. */
  readonly relayed?: boolean;
}

export interface LocalFile {
  readonly path: string;
  readonly size: number;
  readonly sha256: string;
}

function addressOf({ ftps }: Site, { implicit, family }: Way): { readonly host: string; readonly port: number } {
  return { host: family === 4 ? '127.0.0.1' : '::1', port: implicit ? ftps.implicitPort : ftps.explicitPort };
}

async function configure({ dmz, internal, ftps }: Site, algorithms = 'strict'): Promise<void> {
  let settings = await readFile(dmz.config, 'utf8');
  settings = settings.replace(/^sftp:$/m, `sftp:\n  algorithms: ${algorithms}`);
  // Clients of FTPS come over IPv6 as well.
  for (const port of [ftps.explicitPort, ftps.implicitPort]) settings = settings.replace(`${ftps.host}:${port}`, `[::]:${port}`);
  await writeFile(dmz.config, settings);
  // Every client tries a wrong password, all from one address.
  await appendFile(dmz.config, '\nlimits:\n  throttle: {exempt: [127.0.0.0/8, "::1/128"]}\n');
  await appendFile(internal.config, '\nauthentication: {failuresPerAccount: 1000}\n');
  const rules = '  - name: kept\n    path: "held/*"\n    hold: true\n  - name: everything else\n    deliver: inside\n';
  await writeFile(join(dirname(internal.config), 'conf.d/rules.yaml'), `rules:\n${rules}`, { mode: 0o600 });
}

async function otherHostKeys(): Promise<string[]> {
  await using ssh = await OpenSsh.create(0);
  const types = ['ed25519', 'ecdsa', 'rsa'] as const;
  return await Promise.all(
    types.map(async (type) => {
      await ssh.makeKey(type, type);
      const [algorithm, blob] = (await readFile(ssh.path(`${type}.pub`), 'utf8')).split(' ');
      return `${algorithm} ${blob}`;
    }),
  );
}

/** Entries by the thousand, through the record layer of the node that will show them. */
async function seed({ dmz }: Site, folders: StageOptions['folders']): Promise<void> {
  const records = await Database.open<SeedOperations>({
    file: join(dmz.state, 'records.db'),
    operations: new URL('./seed-operations.ts', import.meta.url),
    audit: { folder: join(dmz.state, 'audit'), node: 'edge1' },
  });
  for (const [folder, entries] of Object.entries(folders)) {
    await records.call('seed.folder', { partner: 'acme', folder, entries, nowMs: Date.now() });
  }
  await records.close();
}

export async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path, { highWaterMark: 1024 * 1024 }), hash);
  return hash.digest('hex');
}

/** A file of zeros with some random blocks, among them where counts of 31 and 32 bits wrap. It takes no room on a disk. */
export async function sparseFile(path: string, size: number): Promise<LocalFile> {
  const file = await open(path, 'wx');
  const block = 65_536;
  for (const at of [0, 2 ** 31 - 1000, 2 ** 32 - 1000, size - block]) await file.write(randomBytes(block), 0, block, at);
  await file.close();
  return { path, size, sha256: await sha256Of(path) };
}

/** A stage for each setting of the node that clients need, made when the first of them comes. */
export class Stages implements AsyncDisposable {
  readonly #folders: StageOptions['folders'];
  readonly #made = new Map<string, Promise<Stage>>();

  constructor(folders: StageOptions['folders']) {
    this.#folders = folders;
  }

  for({ algorithms }: Pick<Client, 'algorithms'>): Promise<Stage> {
    const key = algorithms ?? '';
    const made = this.#made.get(key) ?? Stage.start({ folders: this.#folders, ...(algorithms && { algorithms }) });
    this.#made.set(key, made);
    return made;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const stage of this.#made.values()) await (await stage)[Symbol.asyncDispose]();
  }
}

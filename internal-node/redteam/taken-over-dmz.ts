/**
 * The cover of a taken-over DMZ node: it does all the duties of an honest one (takes the policy, lets partners log in, keeps
 * sealed items, lists, leases and serves them) so that an internal node works with it, and lets a script lie at any point.
 */
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { NodeKeys } from '../../shared/pki/node-keys.ts';
import type { PolicyBundle } from '../../shared/policy.ts';
import { SealWorkers } from '../../shared/seal/seal-workers.ts';
import { tokenHash } from '../../shared/secret.ts';
import type { AuthCheck, ItemDescription } from '../../shared/tunnel/messages.ts';
import { type HostileData, HostileDmz, type HostileLink } from './hostile-dmz.ts';
import { type DoubleItem, type ItemSpec, sealItem } from './sealed-item.ts';
import { until } from './until.ts';

/** A session that the inside really opened. */
export interface StolenSession {
  readonly partner: string;
  readonly token: string;
  readonly proof: string;
  /** The login as it went over the wire, for replays. */
  readonly login: AuthCheck;
}

/** What the inside wants to read. */
export interface ReadRequest {
  readonly id: string;
  readonly segment: number;
}

/** What the inside offered for a partner. */
export interface Offered {
  readonly params: { readonly id: string; readonly partner: string; readonly path: string };
  /** As far as it came. */
  readonly sealed: () => Buffer;
}

interface Confirmation {
  readonly id: string;
  readonly outcome: string;
}

const frameBytes = 128 * 1024;
/** So that a page stays below the largest message. */
const pageItems = 20;

export class TakenOverDmz implements AsyncDisposable {
  readonly wire: HostileDmz;
  readonly items = new Map<string, DoubleItem>();
  readonly confirmed: Confirmation[] = [];
  readonly offers: Offered[] = [];
  /** Items whose sealed bytes the inside asked for. */
  readonly read: string[] = [];
  /** What is sent for a segment instead of its bytes. */
  tamper: (sealed: Buffer, request: ReadRequest) => Buffer = (sealed) => sealed;
  /** Serves a stream of contents in another way; true when it did. */
  serve: (data: HostileData, request: ReadRequest) => boolean = () => false;
  /** Serves a stream of small items; by default none is to be had that way, so that each is leased and read by itself. */
  collect: (data: HostileData, ids: readonly string[]) => void = (data, ids) => {
    data.sendJson({ k: 'ok' });
    data.sendBinary(
      collectedBytes(
        60_000,
        ids.map(() => undefined),
      ),
    );
    data.sendJson({ k: 'end' });
  };
  /** Where an item goes, as this node claims. */
  policy: PolicyBundle | undefined;
  readonly #seal = new SealWorkers({ threads: 1 });
  readonly #folder: string;
  #eventStream: HostileData | undefined;
  readonly #told: string[] = [];
  #nextSeq = 1;
  /** Ids of the sessions that it says are alive: all that there ever were. */
  readonly #sessions: string[] = [];

  private constructor(wire: HostileDmz, folder: string) {
    this.wire = wire;
    this.#folder = folder;
    wire.onData = (data) => {
      data.onFrame = (frame) => this.#onFrame(data, frame);
    };
    wire.answer('policy.put', ({ bundle }) => {
      this.policy = JSON.parse(String(bundle)) as PolicyBundle;
      return { number: this.policy.number };
    });
    wire.answer('status.get', () => ({ ...this.status, lastEvent: this.#told.length }));
    wire.answer('session.list', () => ({ sessions: [...this.#sessions].sort(), more: false }));
    wire.answer('session.cut', () => ({ sessions: 0 }));
    wire.answer('session.revoke', () => ({ sessions: 0 }));
    this.restoreList();
    wire.answer('inbox.lease', ({ id }) => {
      this.#assertHeld(String(id));
      return { leaseMs: 60_000 };
    });
    wire.answer('inbox.release', () => ({}));
    wire.answer('inbox.confirm', ({ id, outcome }) => {
      this.confirmed.push({ id: String(id), outcome: String(outcome) });
      return { removed: this.items.delete(String(id)) };
    });
  }

  static async start(keys: NodeKeys, port: number, host = '127.0.0.1'): Promise<TakenOverDmz> {
    const folder = await mkdtemp(join(tmpdir(), 'sallyport-taken-over-'));
    const dmz = new TakenOverDmz(await HostileDmz.start({ keys, port, host }), folder);
    await dmz.#seal.start();
    return dmz;
  }

  /** The answer to `status.get`. */
  status: Readonly<Record<string, unknown>> = {
    version: 'test',
    startedAtMs: 1,
    policyNumber: 1,
    sessions: 1,
    items: { ready: 0, held: 0, unrouted: 0, leased: 0, offered: 0, partial: 0 },
    cacheBytes: 0,
    freeBytes: 1,
    oldestReadyMs: null,
    lastEvent: 0,
    rssBytes: 1,
  };

  /** Answers `inbox.list` as an honest DMZ does. */
  restoreList(): void {
    this.wire.answer('inbox.list', ({ after }) => this.#list(Number(after)));
  }

  /** The link that is up. */
  async link(): Promise<HostileLink> {
    const live = (): HostileLink | undefined => this.wire.links.findLast(({ ws, sent }) => ws.readyState === 1 && sent > 0);
    await until('the inside is connected', () => live() !== undefined && this.policy !== undefined);
    const link = live();
    if (!link) throw new Error('the link is gone again');
    return link;
  }

  /** Asks the inside as an honest DMZ would. @returns its answer, or `{ error: code }`. */
  async ask(method: string, params: unknown): Promise<Readonly<Record<string, unknown>>> {
    const link = await this.link();
    const id = link.ask(method, params);
    await until(`an answer to ${method}`, () => link.answerTo(id) !== undefined);
    return link.answerTo(id) as Record<string, unknown>;
  }

  /** For the handshake of a partner who comes now. */
  async cookie(): Promise<Buffer> {
    const { cookies } = await this.ask('auth.cookies', { count: 1 });
    return Buffer.from((cookies as string[])[0] ?? '', 'base64');
  }

  /** A partner comes, as he does every day, and what he shows is used. */
  async login(login: AuthCheck): Promise<StolenSession> {
    const { verdict, token } = await this.ask('auth.check', login);
    this.#sessions.push(login.session);
    if (verdict !== 'accepted') throw new Error(`the honest login was answered with ${String(verdict)}`);
    return { partner: login.user, token: String(token), proof: tokenHash(String(token)), login };
  }

  /** A sealed item that a session of a partner would have sent. Nobody hears of it yet. */
  async make(session: StolenSession, path: string, content: Buffer, over: Partial<ItemSpec> = {}): Promise<DoubleItem> {
    const recipient = this.policy?.recipients[0];
    if (!recipient || !this.policy) throw new Error('there is no policy yet');
    const item = await sealItem(this.#seal, this.#folder, recipient, {
      partner: session.partner,
      path,
      contents: [content],
      sessionProof: session.proof,
      decision: { route: { action: 'deliver', destination: 'inside' }, rule: 'everything else' },
      policyNumber: this.policy.number,
      ...over,
    });
    item.description = { ...item.description, seq: this.#nextSeq++ };
    return item;
  }

  /** Keeps it, so that it is listed and can be read. */
  list(item: DoubleItem): void {
    this.items.set(item.description.id, item);
  }

  /** Keeps it and tells of it. @returns the inside's answer. */
  async present(item: DoubleItem, over: Partial<ItemDescription> = {}): Promise<Readonly<Record<string, unknown>>> {
    this.list(item);
    return await this.ask('item.ready', { ...item.description, ...over });
  }

  /** Lines on the stream of events; they are numbered here. */
  async tell(...events: readonly Readonly<Record<string, unknown>>[]): Promise<void> {
    await until('the inside reads the events', () => this.#eventStream?.ws.readyState === 1);
    for (const event of events) {
      const line = `${JSON.stringify({ seq: this.#told.length + 1, ...event })}\n`;
      this.#told.push(line);
      this.#eventStream?.sendBinary(Buffer.from(line));
    }
  }

  /** As if the last event had never been told. */
  untell(): void {
    this.#told.pop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.wire.stop();
    await this.#seal.stop();
    await rm(this.#folder, { recursive: true, force: true });
  }

  #list(after: number): unknown {
    const waiting = [...this.items.values()].map(({ description }) => description).filter(({ seq }) => seq > after);
    waiting.sort((a, b) => a.seq - b.seq);
    return { items: waiting.slice(0, pageItems), more: waiting.length > pageItems };
  }

  #assertHeld(id: string): void {
    // The double's answers throw codes, which is all that goes over the wire.
    if (!this.items.has(id)) throw 'item-unknown';
  }

  #onFrame(data: HostileData, frame: Readonly<Record<string, unknown>>): void {
    if (frame.k !== 'open') {
      // The end of something that was sent here.
      if (frame.k === 'end') data.sendJson({ k: 'res', r: { stored: true } });
      return;
    }
    if (frame.m === 'events.read') {
      this.#eventStream = data;
      data.sendJson({ k: 'ok' });
      const before = this.#told.slice((frame.p as { after: number }).after);
      if (before.length > 0) data.sendBinary(Buffer.from(before.join('')));
    } else if (frame.m === 'outbox.offer') this.#take(data, frame.p as Offered['params']);
    else if (frame.m === 'inbox.collect') this.collect(data, (frame.p as { ids: string[] }).ids);
    else if (frame.m === 'inbox.read') this.#serve(data, frame.p as ReadRequest);
  }

  #take(data: HostileData, params: Offered['params']): void {
    const parts: Buffer[] = [];
    data.ws.on('message', (bytes, isBinary) => {
      if (isBinary) parts.push(bytes as Buffer);
    });
    this.offers.push({ params, sealed: () => Buffer.concat(parts) });
  }

  #serve(data: HostileData, request: ReadRequest): void {
    this.read.push(request.id);
    if (this.serve(data, request)) return;
    const sealed = this.items.get(request.id)?.sealed[request.segment];
    if (!sealed) {
      data.sendJson({ k: 'err', c: 'item-unknown' });
      return;
    }
    const bytes = this.tamper(sealed, request);
    data.sendJson({ k: 'ok' });
    for (let at = 0; at < bytes.length; at += frameBytes) data.sendBinary(bytes.subarray(at, at + frameBytes));
    data.sendJson({ k: 'end' });
  }
}

/** What an honest DMZ sends for `inbox.collect`. */
export function collectedBytes(leaseMs: number, items: readonly (Buffer | undefined)[]): Buffer {
  const number = (value: number): Buffer =>
    Buffer.from([value >>> 24, value >>> 16, value >>> 8, value].map((byte) => byte & 0xff));
  return Buffer.concat([number(leaseMs), ...items.flatMap((item) => [number(item?.length ?? 0), item ?? Buffer.alloc(0)])]);
}

export const sha256 = (bytes: Buffer | string): string => createHash('sha256').update(bytes).digest('hex');

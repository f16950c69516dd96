/**
 * The tunnel as the internal node sees it: `Link` is what every room asks, whether a connection is there or not;
 * `KeepConnected` dials for ever, with growing pauses, and replaces the connection behind it.
 */
import { X509Certificate } from 'node:crypto';
import { Backoff } from '../../shared/backoff.ts';
import type { EventSink } from '../../shared/durable/database.ts';
import { asSallyportError, SallyportError } from '../../shared/errors.ts';
import { event } from '../../shared/events/event.ts';
import { printable } from '../../shared/log.ts';
import { lifeOf, renewalDueMs } from '../../shared/pki/certificate-life.ts';
import { CertificateWatch } from '../../shared/pki/certificate-watch.ts';
import type { OwnIdentity } from '../../shared/pki/node-identity.ts';
import { PeerTrust } from '../../shared/pki/peer-trust.ts';
import type { Service } from '../../shared/service.ts';
import { type CloseReason, closeCodeOf, describeClose } from '../../shared/tunnel/close-reason.ts';
import type { InsideLink, NoteBy, RequestBy, StreamFrom, StreamTo } from '../../shared/tunnel/handlers.ts';
import type { NoteParams, RequestParams, RequestResult, StreamParams, StreamResult } from '../../shared/tunnel/messages.ts';
import { howToMend, isRefusalCheck, Refusals } from '../../shared/tunnel/refusals.ts';
import { tellTrust, withTrust } from '../../shared/tunnel/trust-exchange.ts';
import { connectOnce, type DialerDeps, type DialerOptions, type LinkFacts, type LiveLink } from './dialer.ts';

export interface LinkFailure {
  readonly atMs: number;
  /** An error code, or the code of a closed link. */
  readonly code: string;
  /** What failed and how to mend it. */
  readonly detail: string;
  /** Which check refused the connection, when one did. */
  readonly check?: string;
}

export interface LinkStatus {
  readonly connected: boolean;
  readonly facts?: LinkFacts;
  readonly rttMs?: number;
  readonly dataSockets?: { readonly idle: number; readonly inUse: number };
  readonly lastFailure?: LinkFailure;
  /** When the last connection was lost; missing when there is one, or never was. */
  readonly downSinceMs?: number;
}

/** Stable over all connections. Throws `tunnel-down` while there is none. */
export class Link implements InsideLink {
  #live: LiveLink | undefined;
  #lastFailure: LinkFailure | undefined;
  #downSinceMs: number | undefined;

  request<M extends RequestBy<'inside'>>(method: M, params: RequestParams<M>, signal?: AbortSignal): Promise<RequestResult<M>> {
    return this.#live ? this.#live.request(method, params, signal) : Promise.reject(this.#down());
  }

  note<N extends NoteBy<'inside'>>(name: N, params: NoteParams<N>): void {
    this.#live?.note(name, params);
  }

  openStream<M extends StreamTo>(method: M, params: StreamParams<M>, signal: AbortSignal): Promise<AsyncIterable<Buffer>> {
    return this.#live ? this.#live.openStream(method, params, signal) : Promise.reject(this.#down());
  }

  sendStream<M extends StreamFrom>(
    method: M,
    params: StreamParams<M>,
    source: AsyncIterable<Buffer>,
    signal: AbortSignal,
  ): Promise<StreamResult<M>> {
    return this.#live ? this.#live.sendStream(method, params, source, signal) : Promise.reject(this.#down());
  }

  status(): LinkStatus {
    const live = this.#live;
    const failure = this.#lastFailure === undefined ? {} : { lastFailure: this.#lastFailure };
    const since = this.#downSinceMs === undefined ? {} : { downSinceMs: this.#downSinceMs };
    if (!live) return { connected: false, ...failure, ...since };
    const rtt = live.rttMs === undefined ? {} : { rttMs: live.rttMs };
    return { connected: true, facts: live.facts, dataSockets: live.dataSockets, ...rtt, ...failure };
  }

  /** What the DMZ node showed on the live connection. */
  peerCertificate(): X509Certificate | undefined {
    return this.#live?.leaf;
  }

  /** The live connection's facts: its link id and lease epoch. */
  facts(): LinkFacts | undefined {
    return this.#live?.facts;
  }

  /** Ends the connection, with an alarm: a room found that the DMZ broke a rule which no schema can state. */
  violate(detail: string): void {
    this.#live?.violate(detail);
  }

  /** Called by `KeepConnected`. */
  set(live: LiveLink): void {
    this.#live = live;
  }

  /** Called by `KeepConnected`. */
  lost(atMs: number): void {
    this.#live = undefined;
    this.#downSinceMs = atMs;
  }

  /** Called by `KeepConnected`. */
  failed(failure: LinkFailure): void {
    this.#lastFailure = failure;
  }

  #down(): SallyportError {
    const why = this.#lastFailure ? `: ${this.#lastFailure.detail}` : '';
    return new SallyportError('tunnel-down', `the DMZ node is not connected${why}`);
  }
}

/** What other rooms do when the tunnel comes and goes; run one after the other, in the order given. */
export interface LinkHook {
  readonly name: string;
  /** @param signal Fires when this connection has ended. */
  onUp?(facts: LinkFacts, signal: AbortSignal): Promise<void>;
  onDown?(reason: string): Promise<void>;
}

export interface KeepConnectedDeps extends Omit<DialerDeps, 'trust'> {
  readonly link: Link;
  readonly hooks: readonly LinkHook[];
  readonly identity: OwnIdentity;
  readonly events: EventSink;
}

export interface KeepConnectedOptions extends Omit<DialerOptions, 'keys'> {
  /** `SPD-…`, as typed. */
  readonly dmzFingerprint: string;
  /** Where the keys and authorities of the DMZ node are recorded. */
  readonly peerRecordFile: string;
  /** Keys that are refused. */
  readonly denyFile: string;
  readonly firstRetryMs?: number;
  readonly maxRetryMs?: number;
  readonly recheckMs?: number;
}

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
/** For requests under way when a link is made anew. */
const drainMs = 15_000;
const endOf = (certificate: X509Certificate): number => lifeOf(certificate).endsMs;

/** A link that lived for so long is taken as a sign that the way is sound. */
const soundAfterMs = 5000;

export class KeepConnected implements Service {
  readonly name = 'tunnel';
  readonly #deps: KeepConnectedDeps;
  readonly #options: KeepConnectedOptions;
  readonly #trust: PeerTrust;
  readonly #watch: CertificateWatch;
  readonly #refusals: Refusals;
  readonly #backoff: Backoff;
  readonly #stopping = new AbortController();
  #live: LiveLink | undefined;
  #running: Promise<void> | undefined;

  constructor(deps: KeepConnectedDeps, options: KeepConnectedOptions) {
    this.#deps = deps;
    this.#options = Object.freeze({ ...options });
    const { dmzFingerprint: fingerprint, peerRecordFile: recordFile, denyFile } = options;
    this.#trust = new PeerTrust(deps, { role: 'dmz', fingerprint, recordFile, denyFile });
    this.#watch = new CertificateWatch(deps);
    deps.identity.onChange((exchanged) => this.#identityChanged(exchanged));
    this.#refusals = new Refusals(deps);
    this.#backoff = new Backoff({ firstMs: options.firstRetryMs ?? 200, maxMs: options.maxRetryMs ?? 5000 });
  }

  /** Begins to dial and returns at once. @throws SallyportError `config-invalid`, `key-file`. */
  async start(): Promise<void> {
    this.#trust.load();
    this.#running = this.#run();
  }

  /** Says goodbye, lets requests under way finish until `signal` fires, then cuts. */
  async stop(signal: AbortSignal): Promise<void> {
    this.#stopping.abort(new SallyportError('tunnel-down', 'this node stops'));
    await this.#live?.drain('the internal node stops', signal);
    await this.#running;
  }

  async #run(): Promise<void> {
    const { clock, log } = this.#deps;
    const stop = this.#stopping.signal;
    while (!stop.aborted) {
      const live = await this.#connect(stop);
      if (live) await this.#serve(live);
      if (stop.aborted) return;
      const waitMs = this.#backoff.nextMs();
      log.debug({ waitMs }, 'the tunnel is dialled again after a pause');
      await clock.sleep(waitMs, stop).catch(() => undefined);
    }
  }

  async #connect(stop: AbortSignal): Promise<LiveLink | undefined> {
    try {
      const { clock, log, identity } = this.#deps;
      const answering = withTrust(this.#deps.answering, this.#trust);
      return await connectOnce({ trust: this.#trust, clock, log, answering }, { ...this.#options, keys: identity.keys }, stop);
    } catch (cause) {
      if (!stop.aborted) this.#failed(asSallyportError(cause, 'tunnel-down'));
      return undefined;
    }
  }

  #failed(error: SallyportError): void {
    const { clock, link, log } = this.#deps;
    const check = String(error.fields.check ?? '');
    const named = isRefusalCheck(check);
    const detail = printable(error.message, 600);
    link.failed({ atMs: clock.nowMs(), code: error.code, detail, ...(named ? { check } : {}) });
    if (named) this.#refusals.report(check, error.message);
    else log.info({ code: error.code, detail }, 'the DMZ node could not be reached');
    if (error.code === 'protocol-violation') this.#emit(event('link.violation', clock.nowMs(), {}, { detail }));
  }

  /** From up to down. */
  async #serve(live: LiveLink): Promise<void> {
    const { clock, link } = this.#deps;
    const { peer, fingerprint, group } = live.facts;
    const upMs = clock.monotonicMs();
    const ended = new AbortController();
    let reason: CloseReason | undefined;
    const down = live.ended.then((why) => {
      reason = why;
      link.lost(clock.nowMs());
      ended.abort(new SallyportError('link-closed', `the link is closed: ${describeClose(why)}`));
    });
    this.#live = live;
    link.set(live);
    this.#emit(event('link.up', clock.nowMs(), {}, { peer, fingerprint, group }));
    const cancelRecheck = this.#recheck(live);
    if (this.#stopping.signal.aborted) live.close('stopped', 'this node stops');
    void this.#tell(live);
    for (const hook of this.#deps.hooks) await this.#hook(hook.name, () => hook.onUp?.(live.facts, ended.signal));
    await down;
    cancelRecheck();
    this.#live = undefined;
    if (reason) await this.#down(live, reason, clock.monotonicMs() - upMs);
  }

  async #down(live: LiveLink, reason: CloseReason, livedMs: number): Promise<void> {
    const { clock, link } = this.#deps;
    const nowMs = clock.nowMs();
    const detail = printable(describeClose(reason));
    // Two nodes with one key would otherwise push each other out as fast as they can.
    if (livedMs >= soundAfterMs && reason.code !== 'taken-over') this.#backoff.reset();
    if (!this.#stopping.signal.aborted) link.failed({ atMs: nowMs, code: reason.code, detail });
    if (reason.code === 'violation') this.#emit(event('link.violation', nowMs, {}, { detail }));
    this.#emit(event('link.down', nowMs, {}, { peer: live.facts.peer, reason: detail }));
    for (const hook of this.#deps.hooks) await this.#hook(hook.name, () => hook.onDown?.(detail));
  }

  async #hook(name: string, run: () => Promise<void> | undefined): Promise<void> {
    try {
      await run();
    } catch (error) {
      this.#deps.log.warn({ err: error, hook: name }, 'a part of this node could not follow the tunnel');
    }
  }

  /** What is recorded of the DMZ node. */
  get known(): Pick<PeerTrust, 'fingerprints' | 'authorities'> {
    return this.#trust;
  }

  /** Judges the live link anew: a certificate can end, a key can be refused while its connection lives (TLS looks at it once). */
  recheck(): void {
    const live = this.#live;
    if (!live) return;
    const verdict = this.#trust.judge({ leaf: live.leaf, authority: undefined });
    if (!verdict.ok) {
      this.#refusals.report(verdict.check, `live link: ${verdict.detail}; ${howToMend(verdict.check, 'inside')}`);
      live.close(closeCodeOf(verdict.check), verdict.detail);
      return;
    }
    if (!live.leaf) return;
    this.#watch.look(live.facts.peer, live.leaf);
    this.#refresh(live, live.leaf);
  }

  #recheck(live: LiveLink): () => void {
    let cancel = () => {};
    const again = () => {
      cancel = this.#deps.clock.after(this.#options.recheckMs ?? 60_000, () => {
        this.recheck();
        if (this.#live === live) again();
      });
    };
    again();
    return () => cancel();
  }

  /**
   * A link keeps the certificates with which it was made. It is made anew once there are younger ones: when nothing is being
   * transferred, or when its own end soon.
   */
  #refresh(live: LiveLink, leaf: X509Certificate): void {
    const nowMs = this.#deps.clock.nowMs();
    const usedOwn = live.ownCertificate !== this.#deps.identity.keys.tunnelCertificatePem;
    const dueMs = renewalDueMs(lifeOf(leaf));
    // The DMZ node gets an hour to renew its own, and a link with one that it did not renew is not made anew all the time.
    const usedPeer = nowMs > dueMs + hourMs && nowMs - live.facts.sinceMs > 6 * hourMs;
    if (!usedOwn && !usedPeer) return;
    const lastMs = Math.min(endOf(leaf), endOf(new X509Certificate(live.ownCertificate)));
    if (live.dataSockets.inUse > 0 && nowMs < lastMs - dayMs) return;
    void live.drain('certificates were renewed', AbortSignal.timeout(drainMs));
  }

  /** After an exchange of keys the link is made anew at once. */
  #identityChanged(exchanged: boolean): void {
    const live = this.#live;
    if (live && exchanged) void live.drain('keys were exchanged', AbortSignal.timeout(drainMs));
    else if (live) void this.#tell(live).then(() => this.recheck());
  }

  #tell(live: LiveLink): Promise<void> {
    const { identity, log } = this.#deps;
    return tellTrust(identity, (method, params) => live.request(method, params), log);
  }

  #emit(record: ReturnType<typeof event>): void {
    this.#deps.events.emit([record]).catch((error: unknown) => this.#deps.log.error({ err: error }, 'an event was not recorded'));
  }
}

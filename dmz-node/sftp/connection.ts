/**
 * One SSH connection from accept to close: grace time, login, SFTP channels, new keys, idling, the end.
 *
 * Whatever a stranger sends can end only his own connection. The first reason for closing wins. A login is over at the
 * latest when the grace time is; from then on the partner session lives exactly as long as the connection. Offered are
 * `sftp` channels and nothing else: no shell, no command, no forwarding, no agent.
 */

import type { Socket } from 'node:net';
import type { Clock } from '../../shared/clock.ts';
import type { EventRecord } from '../../shared/events/event.ts';
import { event } from '../../shared/events/event.ts';
import { type Logger, printable } from '../../shared/log.ts';
import type { Place, Refusal } from '../admission.ts';
import type { HandshakeCookieSource, LoginAttempt, LoginDesk, LoginOutcome, PartnerSession, Visitor } from '../partner-view.ts';
import type { StallRule } from '../progress.ts';
import type { AlgorithmOffer } from './algorithms.ts';
import { Channels, type ChannelsOptions } from './channels.ts';
import type { BlockPool } from './codec/block-pool.ts';
import { announcement, announceRequest, proofRequest, proofs } from './host-key-proof.ts';
import { LoginDialogue } from './login-dialogue.ts';
import { Rekeying } from './rekeying.ts';
import type { SharedMemory } from './shared-memory.ts';
import {
  type AuthContext,
  answerGlobalRequest,
  createSshClient,
  forgetTranscript,
  hostKeyAlgorithmOf,
  oweAnswer,
  owedAnswers,
  type ParsedKey,
  type SshClient,
  type SshSession,
  sendDisconnect,
  sendGlobalNotice,
  sessionIdOf,
  transcriptOf,
} from './ssh2-seam.ts';

export interface ConnectionDeps {
  readonly socket: Socket;
  readonly visitor: Visitor;
  readonly place: Place;
  readonly desk: LoginDesk;
  readonly cookies: HandshakeCookieSource;
  readonly pool: BlockPool;
  readonly memory: SharedMemory;
  readonly clock: Clock;
  readonly log: Logger;
  readonly record: (record: EventRecord) => void;
  /** There is no place for it beside those that speak already. */
  readonly onRefused: (reason: Refusal) => void;
  readonly onClosed: () => void;
}

export interface ConnectionOptions extends ChannelsOptions {
  /** By the algorithm that they sign with. */
  readonly hostKeys: Readonly<Record<string, ParsedKey>>;
  /** All keys of this server, in use or not. */
  readonly announcedKeys: readonly ParsedKey[];
  readonly offer: AlgorithmOffer;
  readonly banner: string;
  /** Programs that show questions ask for a one-time code too. */
  readonly askForCode: boolean;
  readonly loginGraceMs: number;
  readonly maxLoginAttempts: number;
  readonly idleMs: number;
  readonly keepAliveMs: number;
  readonly keepAliveMisses: number;
  readonly stall: StallRule;
  readonly rekeyBytes: number;
  readonly rekeyMs: number;
}

/** RFC 4253 §11.1 */
const disconnectReason = { protocolError: 2, unavailable: 7, byApplication: 11, noMoreMethods: 14 } as const;
const maxProofRequests = 2;
/** A handshake and a few logins need a small part of it. */
const maxBytesBeforeLogin = 256 * 1024;
/** The package keeps answers of its own without limit while keys are exchanged. */
const maxOwedAnswers = 1000;
/** An upload whose CLOSE has come may still be decided for so long after its client has gone. */
const maxDecisionMs = 30_000;
/** What a client may owe us in answers that are not SFTP's (it asks and does not read) before it is not read either. */
const maxUnreadBytes = 4 * 1024 * 1024;

export class Connection {
  readonly #deps: ConnectionDeps;
  readonly #options: ConnectionOptions;
  readonly #client: SshClient;
  readonly #dialogue: LoginDialogue;
  readonly #rekeying: Rekeying;
  readonly #leaving = new AbortController();
  #channels: Channels | undefined;
  #handshakes = 0;
  #ident = '';
  #announced = false;
  #partner: PartnerSession | undefined;
  #reason: string | undefined;
  #blame: 'no-attempt' | 'grace-exceeded' | 'broken-protocol' | 'nobody' = 'no-attempt';
  #gone: Promise<void> | undefined;
  #closed: Promise<void> | undefined;
  #cancelTimer: () => void = () => undefined;

  constructor(deps: ConnectionDeps, options: ConnectionOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#client = createSshClient({
      socket: deps.socket,
      hostKeys: options.hostKeys,
      offer: options.offer,
      banner: options.banner,
      keepAliveMs: options.keepAliveMs,
      keepAliveMisses: options.keepAliveMisses,
      cookie: () => deps.cookies.take(),
      onIdent: (ident) => this.#spoke(ident),
      onViolation: (what) => this.#violation(what),
    });
    this.#client.on('error', (error: Error & { level?: string; code?: unknown }) => this.#failed(error));
    this.#dialogue = new LoginDialogue(
      {
        login: (attempt) => this.#login(attempt),
        onAccepted: (session) => this.#accepted(session),
        transcript: () => transcriptOf(this.#client),
        asksForCode: () => options.askForCode,
        disconnect: (reason) => this.#refuseLogin(reason),
      },
      options.maxLoginAttempts,
    );
    this.#rekeying = new Rekeying({ client: this.#client, ...deps }, { ...options, exchangeMs: options.loginGraceMs });
  }

  start(): void {
    const { socket, clock } = this.#deps;
    const client = this.#client;
    client.on('authentication', (context: AuthContext) => this.#authenticate(context));
    client.on('handshake', () => this.#handshake());
    this.#announceHostKeys();
    client.on('session', (accept: () => SshSession, reject: () => void) => {
      if (this.#channels) this.#channels.open(accept, reject);
      else reject();
    });
    client.on('close', () => void this.#finish());
    socket.on('drain', () => this.#drained());
    socket.on('data', () => this.#received());
    this.#cancelTimer = clock.after(this.#options.loginGraceMs, () => {
      this.#blame = this.#dialogue.attempted ? 'nobody' : 'grace-exceeded';
      this.destroy('no login within the grace time');
    });
  }

  get quiet(): boolean {
    return this.#channels?.quiet ?? false;
  }

  /** Opens nothing more; transfers go on. */
  drain(): void {
    this.#channels?.drain();
    if (!this.#partner) this.disconnect('the server is stopping');
  }

  /** Says why, as far as the client may know, then closes. */
  disconnect(text: string, code: number = disconnectReason.byApplication, reason = text): void {
    if (this.#reason !== undefined) return;
    this.#blame = this.#partner ? this.#blame : 'nobody';
    try {
      sendDisconnect(this.#client, code, text);
    } catch {
      // The protocol is past sending; closing is all that is left.
    }
    this.#deps.socket.end();
    this.#leave(reason);
    // A client that does not close its side must not keep ours.
    this.#deps.clock.after(2000, () => this.#deps.socket.destroy());
  }

  destroy(reason: string): void {
    this.#leave(reason);
    this.#deps.socket.destroy();
  }

  /** Cuts it for a reason that is not the client's fault. */
  turnAway(reason: string): void {
    this.#blame = 'nobody';
    this.destroy(reason);
  }

  /** Resolves when the socket is closed and the partner session has ended. */
  async closed(): Promise<void> {
    // Asked again and again while the listener drains.
    const { socket } = this.#deps;
    this.#gone ??= socket.closed ? Promise.resolve() : new Promise<void>((done) => socket.once('close', () => done()));
    await this.#gone;
    await this.#finish();
  }

  #leave(reason: string): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.#cancelTimer();
    this.#dialogue.end();
    this.#leaving.abort(new Error(reason));
    void this.#endPartner();
  }

  #finish(): Promise<void> {
    this.#leave('the client left');
    this.#closed ??= this.#settle();
    return this.#closed;
  }

  async #settle(): Promise<void> {
    const { place, desk, visitor, onClosed } = this.#deps;
    place.leave();
    // Failed attempts were counted when they failed.
    const counted = this.#dialogue.attempted && this.#blame !== 'broken-protocol';
    if (!this.#partner && !counted && this.#blame !== 'nobody') desk.leftWithoutLogin(visitor, this.#blame);
    await this.#endPartner();
    onClosed();
  }

  /** Uploads that were being completed are decided first, then the rights of the session end. */
  async #endPartner(): Promise<void> {
    const reason = this.#reason ?? 'the client left';
    const decided = this.#channels?.end(reason);
    let giveUp = (): void => undefined;
    const enough = new Promise<void>((done) => {
      giveUp = this.#deps.clock.after(maxDecisionMs, done);
    });
    await Promise.race([decided, enough]);
    giveUp();
    try {
      await this.#partner?.end(reason);
    } catch (error) {
      this.#deps.log.error({ session: this.#deps.visitor.session, err: error }, 'ending a partner session failed');
    }
  }

  #announceHostKeys(): void {
    const client = this.#client;
    const keys = this.#options.announcedKeys;
    let answers = 0;
    client.once('ready', () => sendGlobalNotice(client, announceRequest, announcement(keys)));
    answerGlobalRequest(client, proofRequest, (wanted) => {
      // Signing costs; no honest client asks more often than it logs in.
      if (++answers > maxProofRequests) return undefined;
      const inUse = hostKeyAlgorithmOf(client);
      return proofs(wanted, keys, sessionIdOf(client), inUse.startsWith('rsa-') ? inUse : 'rsa-sha2-512');
    });
  }

  #failed(error: Error & { level?: string; code?: unknown }): void {
    // A client without an algorithm of ours, or one that says why it leaves, has attacked nobody.
    const honest = error.level === 'socket' || error.level === 'handshake' || typeof error.code === 'number';
    if (!honest && !this.#partner) this.#blame = 'broken-protocol';
    const facts = { session: this.#deps.visitor.session, err: printable(error.message) };
    if (error.level === 'handshake') this.#deps.log.info({ ...facts, client: this.#ident }, 'no key exchange with a client');
    else this.#deps.log.debug(facts, 'connection failed');
    this.destroy(error.level === 'client-timeout' ? 'no sign of life' : 'the connection failed');
  }

  #spoke(ident: string): void {
    this.#ident = printable(ident, 128);
    const refusal = this.#deps.place.spoke();
    if (!refusal) return;
    this.#deps.onRefused(refusal);
    this.#blame = 'nobody';
    // Not from within the package's parser, which would go on with what it has read.
    setImmediate(() => this.turnAway(refusal));
  }

  #violation(what: string): void {
    if (!this.#partner) this.#blame = 'broken-protocol';
    this.#deps.log.warn({ session: this.#deps.visitor.session, what: printable(what) }, 'a client broke the protocol');
    // Not from within the package's parser, which would go on with what it has read.
    setImmediate(() => this.destroy('the client broke the protocol'));
  }

  #handshake(): void {
    this.#handshakes++;
    if (!this.#partner && this.#handshakes > 2) {
      this.#violation('key exchanges before login');
      return;
    }
    this.#rekeying.finished();
    this.#channels?.pump();
  }

  #received(): void {
    const { socket } = this.#deps;
    if (!this.#partner && socket.bytesRead > maxBytesBeforeLogin) {
      this.#violation('too much before login');
      return;
    }
    if (owedAnswers(this.#client) > maxOwedAnswers) {
      this.#violation('a flood of requests while keys are exchanged');
      return;
    }
    if (socket.writableLength > maxUnreadBytes) socket.pause();
    if (this.#partner) this.#rekeying.check();
  }

  #drained(): void {
    const { socket } = this.#deps;
    if (socket.isPaused()) socket.resume();
    if (this.#partner) this.#rekeying.check();
    this.#channels?.pump();
  }

  #authenticate(context: AuthContext): void {
    if (!this.#announced) {
      this.#announced = true;
      const { visitor, record, clock } = this.#deps;
      const { session, trace, protocol, peer } = visitor;
      record(event('session.connected', clock.nowMs(), { session, trace }, { protocol, peer, client: this.#ident }));
    }
    oweAnswer(this.#client, context);
    this.#dialogue.handle(context);
  }

  async #login(attempt: LoginAttempt): Promise<LoginOutcome> {
    try {
      return await this.#deps.desk.login(this.#deps.visitor, attempt, this.#leaving.signal);
    } catch (error) {
      this.#deps.log.error({ session: this.#deps.visitor.session, err: error }, 'the login desk failed');
      return { outcome: 'unavailable' };
    }
  }

  #refuseLogin(reason: 'unavailable' | 'too-many-attempts' | 'broken-protocol'): void {
    if (reason === 'broken-protocol') {
      this.#violation('a second login while one is checked');
      return;
    }
    if (reason === 'unavailable') {
      this.disconnect('temporarily unavailable', disconnectReason.unavailable);
      return;
    }
    this.disconnect('too many attempts', disconnectReason.noMoreMethods);
  }

  #accepted(session: PartnerSession): void {
    this.#partner = session;
    forgetTranscript(this.#client);
    this.#deps.place.loggedIn();
    this.#cancelTimer();
    const leave = (): void => {
      const { reason } = session.signal;
      const why = reason instanceof Error ? reason.message : 'the session was ended';
      this.disconnect('the session was ended', disconnectReason.byApplication, why);
    };
    if (session.signal.aborted) setImmediate(leave);
    else session.signal.addEventListener('abort', leave, { once: true });
    const { socket, pool, memory, clock, log } = this.#deps;
    this.#channels = new Channels(
      {
        client: this.#client,
        socket,
        pool,
        memory,
        clock,
        view: session.view,
        log: log.child({ session: session.session }),
        onViolation: (what) => this.#violation(what),
      },
      this.#options,
    );
    this.#watch(this.#channels);
  }

  /** Looks after idling, stalling and the age of the keys. */
  #watch(channels: Channels): void {
    const { idleMs, stall, rekeyMs, loginGraceMs } = this.#options;
    const periodMs = Math.max(20, Math.min(15_000, idleMs / 4, stall.stallMs / 4, rekeyMs / 4, loginGraceMs / 4));
    this.#cancelTimer = this.#deps.clock.after(periodMs, () => {
      if (this.#reason !== undefined) return;
      if (this.#rekeying.overdue()) return this.destroy('new keys were not agreed in time');
      this.#rekeying.check();
      if (channels.isStalled) return this.destroy('the client stopped reading');
      const idleFor = this.#deps.clock.monotonicMs() - channels.lastActivityMs;
      if (idleFor > idleMs && !channels.busy) return this.disconnect('idle for too long');
      this.#watch(channels);
    });
  }
}

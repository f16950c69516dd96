/**
 * One control connection from accept to close: TLS, login, one command at a time, one transfer beside them, the end.
 *
 * Whatever a stranger sends can end only his own connection. The first reason for closing wins. Nothing that was sent before
 * TLS counts after it. From the login on the partner session lives exactly as long as the connection; a transfer whose control
 * connection is lost is given up, and completes nothing.
 */
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '../../shared/clock.ts';
import { asSallyportError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import type { VirtualPath } from '../../shared/paths/virtual-path.ts';
import type { Place, Refusal } from '../admission.ts';
import type { PartnerSession } from '../partner-view.ts';
import { peerAddress } from '../peer-address.ts';
import type { Conversation, ConversationSettings, SessionState, TransferPlan } from './commands/conversation.ts';
import { startFolder } from './commands/session-commands.ts';
import { commands, mayInterrupt } from './commands/table.ts';
import { ControlChannel } from './control/control-channel.ts';
import { Refused, type Reply, reply, replyTo } from './control/replies.ts';
import type { PassiveDoor } from './data/data-door.ts';
import { type DataEnds, DataWays, type DataWaysDeps, type DataWaysOptions } from './data/data-ways.ts';
import type { BlockStore } from './data/gatherer.ts';
import { TransferSlot } from './data/transfer-slot.ts';
import type { Frame, FrameServer, ReplySink } from './ftp-srv-seam.ts';
import { allFacts } from './listing.ts';
import { Login, type LoginDeps, type Speaking } from './login.ts';
import type { DoorTls, SessionTls } from './tls/door-tls.ts';
import { secureControl, spoke } from './tls/secure-control.ts';

export interface FtpsSessionDeps extends LoginDeps, DataWaysDeps {
  readonly socket: Socket;
  readonly blocks: BlockStore;
  readonly frame: Pick<FrameServer, 'talk'>;
  readonly place: Place;
  readonly tls: DoorTls;
  /** There is no place for it beside those that speak already. */
  readonly onRefused: (reason: Refusal | 'commands behind AUTH TLS') => void;
  readonly onClosed: () => void;
}

export interface FtpsSessionOptions extends ConversationSettings, DataWaysOptions {
  /** TLS from the first byte on. */
  readonly implicit: boolean;
  readonly banner: string;
  readonly loginGraceMs: number;
  readonly maxLoginAttempts: number;
  readonly idleMs: number;
  readonly requireBinding: boolean;
  readonly requireEndOfData: boolean;
}

/** RFC 959 sets no limit; no path and no password that we accept is longer. */
const maxLineBytes = 4096;
const maxWaitingLines = 32;

type Blame = 'no-attempt' | 'grace-exceeded' | 'broken-protocol' | 'nobody';

export class FtpsSession implements Conversation {
  readonly clock: Clock;
  readonly log: Logger;
  readonly blocks: BlockStore;
  readonly settings: ConversationSettings;
  readonly state: SessionState;
  readonly #deps: FtpsSessionDeps;
  readonly #options: FtpsSessionOptions;
  readonly #frame: Frame;
  readonly #login: Login;
  readonly #ways: DataWays;
  readonly #slot: TransferSlot;
  readonly #leaving = new AbortController();
  #control: ControlChannel | undefined;
  #tls: SessionTls | undefined;
  #secured: TLSSocket | undefined;
  #partner: PartnerSession | undefined;
  #draining = false;
  #quitting = false;
  #reason: string | undefined;
  #blame: Blame = 'no-attempt';
  #lastActivityMs: number;
  #cancelTimer: () => void = () => undefined;
  #closed: Promise<void> | undefined;

  constructor(deps: FtpsSessionDeps, options: FtpsSessionOptions) {
    this.#deps = deps;
    this.#options = options;
    this.settings = options;
    this.clock = deps.clock;
    this.blocks = deps.blocks;
    this.#login = new Login(deps, options.maxLoginAttempts);
    this.#ways = new DataWays(deps, options);
    this.log = deps.log.child({ session: this.#login.visitor.session });
    this.state = freshState(options.implicit);
    this.#frame = deps.frame.talk(this.#sink(), (verb, argument) => this.#carryOut(verb, argument));
    this.#lastActivityMs = deps.clock.monotonicMs();
    this.#slot = new TransferSlot({
      send: (answer) => this.#send(answer),
      log: this.log,
      onChange: () => this.#touch(),
    });
  }

  /** Resolves when the connection is closed and nothing of it is left. */
  run(): Promise<void> {
    this.#closed ??= this.#run();
    return this.#closed;
  }

  get secured(): boolean {
    return this.#secured !== undefined;
  }

  get loggedIn(): boolean {
    return this.#partner !== undefined;
  }

  get transferring(): boolean {
    return this.#slot.running;
  }

  get localAddress(): string {
    return peerAddress(this.#deps.socket.localAddress);
  }

  get peerAddress(): string {
    return this.#deps.peer;
  }

  describe(): readonly string[] {
    const { type, protection } = this.state;
    return [
      `Connected from ${this.#deps.peer}, ${this.#secured ? `secured with ${this.#secured.getProtocol()}` : 'not secured'}`,
      `Logged in as ${this.partner().partner}`,
      `TYPE: ${type === 'A' ? 'ASCII' : 'Image'}; STRU: File; MODE: Stream; PROT: ${protection}`,
      this.transferring ? 'A transfer is running' : 'No transfer is running',
    ];
  }

  isHost(name: string): boolean {
    return this.#deps.tls.serves(name) || name === this.localAddress;
  }

  setClient(name: string): void {
    this.#login.setClient(name);
  }

  /** Opens nothing more; a transfer goes on. Without one the connection ends. */
  drain(): void {
    this.#draining = true;
    if (!this.transferring) this.disconnect(reply(421, 'The server is stopping'), 'the server is stopping');
  }

  /** Says why, as far as the client may know, then closes. */
  disconnect(last: Reply, reason: string): void {
    if (this.#reason !== undefined) return;
    if (!this.#partner) this.#blame = 'nobody';
    void this.#send(last);
    this.#leave(reason);
  }

  /** Cuts it for a reason that is not the client's fault. */
  turnAway(reason: string): void {
    this.#blame = 'nobody';
    this.#leave(reason);
    this.#deps.socket.destroy();
  }

  destroy(reason: string): void {
    this.#leave(reason);
    this.#deps.socket.destroy();
  }

  partner(): PartnerSession {
    if (!this.#partner) throw new Refused(530, 'Please log in');
    return this.#partner;
  }

  path(argument: Buffer): VirtualPath {
    return this.partner().view.resolve(argument, this.state.folder);
  }

  get requireEndOfData(): boolean {
    return this.partner().grant.ftps?.requireEndOfData ?? this.#options.requireEndOfData;
  }

  get #speaking(): Speaking {
    const way = this.#secured ? `FTP over ${this.#secured.getProtocol()}` : 'plain FTP';
    return { way, certificates: this.#tls?.clientChain ?? [] };
  }

  async identify(user: string): Promise<Reply> {
    const outcome = await this.#login.identify(user, this.#speaking, this.#leaving.signal);
    if (outcome?.outcome !== 'accepted') return reply(331, 'Password required');
    return (await this.#letIn(outcome.session)) ? reply(232, 'Logged in by certificate') : reply(421, 'Goodbye');
  }

  async logIn(password: string): Promise<Reply> {
    const outcome = await this.#login.byPassword(password, this.#leaving.signal);
    if (!outcome) return reply(503, 'Use USER first');
    if (outcome.outcome !== 'accepted' && this.#reason !== undefined) return reply(421, 'Goodbye');
    switch (outcome.outcome) {
      case 'accepted':
        return (await this.#letIn(outcome.session)) ? reply(230, 'Logged in') : reply(421, 'Goodbye');
      case 'unavailable':
        await this.#lastWord(reply(421, 'Temporarily unavailable'), 'nobody could decide about the login');
        return reply(421, 'Temporarily unavailable');
      // FTP has no second step to ask for.
      case 'change':
        return reply(530, 'Your password must be changed first: log in over SFTP to do so');
      default:
        if (this.#login.exhausted) await this.#lastWord(reply(421, 'Too many attempts'), 'too many attempts');
        return reply(530, 'Login incorrect');
    }
  }

  async beginTls(): Promise<void> {
    const control = this.#control;
    if (!control) return;
    if (control.hasMore) {
      this.#deps.onRefused('commands behind AUTH TLS');
      return this.#violation('commands were sent behind AUTH TLS');
    }
    const socket = control.detach();
    await this.#send(reply(234, 'Begin TLS'));
    const secured = await this.#secure(socket as Socket);
    if (secured) control.attach(secured);
  }

  async reinitialise(): Promise<void> {
    const partner = this.#partner;
    this.#slot.forget();
    this.#partner = undefined;
    this.#frame.loggedIn = false;
    Object.assign(this.state, freshState(this.#options.implicit));
    this.#login.beginAnew();
    this.#cancelTimer();
    this.#graceBegins();
    await partner?.end('the client began anew');
  }

  protectData(protect: boolean): void {
    this.state.protection = protect ? 'P' : 'C';
    this.#slot.forget();
  }

  useActive(port: number): void {
    this.#slot.prepare(this.#ways.active(this.#dataEnds, port));
  }

  async openPassive(): Promise<PassiveDoor> {
    const door = await this.#ways.passive(this.#dataEnds).catch((error: unknown) => {
      this.#tell('EPSV', error);
      throw new Refused(425, 'No port for data is free, try again later');
    });
    if (this.#reason === undefined) this.#slot.prepare(door);
    else door.close();
    return door;
  }

  get #dataEnds(): DataEnds {
    const { sessionBinding } = this.partner().grant.ftps ?? {};
    const requireBinding = sessionBinding === undefined ? this.#options.requireBinding : sessionBinding === 'require';
    const tls = this.state.protection === 'P' ? this.#tls : undefined;
    return { localAddress: this.localAddress, peer: this.#deps.peer, tls, requireBinding };
  }

  checkTransfer(): void {
    if (this.state.protection !== 'P' && !this.settings.plainFtp) throw new Refused(521, 'Use PROT P first');
    if (this.#draining) throw new Refused(421, 'The server is stopping');
    if (!this.#slot.ready) throw new Refused(425, 'Use EPSV or PASV first');
  }

  begin(plan: TransferPlan): void {
    this.#slot.begin(plan);
  }

  abort(): Promise<void> {
    return this.#slot.abort('the client gave it up');
  }

  async leave(last: Reply): Promise<void> {
    this.#quitting = true;
    await this.#slot.idle();
    await this.#lastWord(last, 'the client left');
  }

  async #run(): Promise<void> {
    this.#graceBegins();
    try {
      await this.#converse();
    } catch (error) {
      this.#deps.log.error({ session: this.#login.visitor.session, err: error }, 'a control connection failed');
    }
    await this.#settle();
  }

  #graceBegins(): void {
    this.#cancelTimer = this.clock.after(this.#options.loginGraceMs, () => {
      this.#blame = this.#login.attempts > 0 ? 'nobody' : 'grace-exceeded';
      this.destroy('no login within the grace time');
    });
  }

  #sink(): ReplySink {
    const control = (): ControlChannel | undefined => this.#control;
    return {
      get writable() {
        return control()?.writable ?? false;
      },
      write: (text, done) => {
        const channel = control();
        if (channel) channel.write(text, done);
        else done();
      },
    };
  }

  async #converse(): Promise<void> {
    const { socket } = this.#deps;
    socket.on('error', () => undefined);
    let stream: Socket | TLSSocket | undefined = socket;
    if (this.#options.implicit) stream = await this.#secureFirst(socket);
    if (!stream) return;
    const control = new ControlChannel(stream, { maxLineBytes, maxWaitingLines }, () => this.#spoke());
    this.#control = control;
    void control.ended.then(() => this.#controlEnded());
    await this.#greet();
    for (let line = await control.nextLine(); line && this.#reason === undefined; line = await control.nextLine()) {
      this.#touch();
      await this.#answer(line);
    }
    if (this.#reason !== undefined) return;
    if ((await control.ended) !== 'a line that is too long') return;
    await this.#lastWord(reply(500, 'Line too long'), 'a line that is too long');
  }

  #greet(): Promise<void> {
    // What an operator wrote, one line at a time, without anything that is not text.
    const lines = this.#options.banner.split('\n').map((line) => line.replace(/\p{Cc}/gu, '').trimEnd());
    return this.#send(reply(220, ...lines.filter((line) => line !== ''), 'Ready'));
  }

  /** Admission is decided before the work of a handshake. */
  async #secureFirst(socket: Socket): Promise<TLSSocket | undefined> {
    if (!(await spoke(socket)) || this.#reason !== undefined) return undefined;
    this.#spoke();
    return this.#reason === undefined ? this.#secure(socket) : undefined;
  }

  async #secure(socket: Socket): Promise<TLSSocket | undefined> {
    try {
      const secured = await secureControl(socket, this.#deps, this.#options.handshakeMs, this.#leaving.signal);
      this.#tls = secured.tls;
      this.#secured = secured.socket;
      return secured.socket;
    } catch (error) {
      this.log.debug({ err: asSallyportError(error).message }, 'no TLS with a client');
      this.#violation('TLS could not be agreed on');
      return undefined;
    }
  }

  async #answer(line: Buffer): Promise<void> {
    const { verb, argument } = parseLine(line);
    if (!this.#partner && !this.#login.countCommand()) {
      return this.#violation('too many commands before the login');
    }
    if (this.transferring && !mayInterrupt(verb)) return this.#send(reply(450, 'A transfer is running'));
    const known = await this.#frame.carryOut(verb, argument);
    if (!known) await this.#send(reply(500, 'There is no such command'));
    if (verb !== 'RNFR') this.state.renameFrom = undefined;
  }

  /** One of our commands; called by the frame once it has seen that its session may give it. */
  async #carryOut(verb: string, argument: Buffer): Promise<Reply | undefined> {
    try {
      return await commands[verb]?.run(this, argument);
    } catch (error) {
      if (!(error instanceof Refused)) this.#tell(verb, error);
      return replyTo(error);
    }
  }

  #tell(verb: string, thrown: unknown): void {
    const error = asSallyportError(thrown);
    const level = error.code === 'internal' ? 'error' : 'debug';
    this.log[level]({ verb, code: error.code, ...error.fields, err: error.message }, 'command refused');
  }

  /** @returns false when the client has left meanwhile. */
  async #letIn(session: PartnerSession): Promise<boolean> {
    if (this.#reason === undefined) this.#accepted(session);
    else await session.end('the client left during login');
    return this.#reason === undefined;
  }

  #accepted(session: PartnerSession): void {
    this.#partner = session;
    this.state.folder = session.view.home;
    this.#frame.loggedIn = true;
    this.#deps.place.loggedIn();
    this.#cancelTimer();
    const cut = (): void => {
      if (this.#partner !== session) return;
      const { reason } = session.signal;
      this.disconnect(reply(421, 'The session was ended'), reason instanceof Error ? reason.message : 'the session was ended');
    };
    if (session.signal.aborted) setImmediate(cut);
    else session.signal.addEventListener('abort', cut, { once: true });
    this.#touch();
    this.#watch();
  }

  /** Ends a session that asks for nothing; a transfer is watched by itself. */
  #watch(): void {
    const { idleMs } = this.#options;
    this.#cancelTimer = this.clock.after(Math.max(20, Math.min(15_000, idleMs / 4)), () => {
      if (this.#reason !== undefined) return;
      if (!this.transferring && this.clock.monotonicMs() - this.#lastActivityMs > idleMs) {
        return this.disconnect(reply(421, 'Idle for too long'), 'idle for too long');
      }
      this.#watch();
    });
  }

  #touch(): void {
    this.#lastActivityMs = this.clock.monotonicMs();
    if (this.#draining && !this.transferring) this.drain();
  }

  #spoke(): void {
    const refusal = this.#deps.place.spoke();
    if (!refusal) return;
    this.#deps.onRefused(refusal);
    this.turnAway(refusal);
  }

  #controlEnded(): void {
    if (!this.#quitting) void this.#slot.abort('the control connection was lost');
  }

  #violation(what: string): void {
    if (!this.#partner) this.#blame = 'broken-protocol';
    this.#deps.log.debug({ session: this.#login.visitor.session, what }, 'a client broke the protocol');
    this.destroy(what);
  }

  async #lastWord(last: Reply, reason: string): Promise<void> {
    await this.#send(last);
    this.#leave(reason);
  }

  async #send(answer: Reply): Promise<void> {
    if (this.#reason === undefined) await this.#frame.reply(answer);
  }

  #leave(reason: string): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.#cancelTimer();
    this.#leaving.abort(new Error(reason));
    void this.#slot.abort(reason);
    void this.#frame.flushed().then(() => this.#control?.close());
    // A client that does not close its side must not keep ours.
    this.clock.after(2000, () => this.#deps.socket.destroy());
  }

  async #settle(): Promise<void> {
    const { place, desk, onClosed, socket } = this.#deps;
    this.#leave('the client left');
    place.leave();
    // Failed attempts were counted when they failed.
    const counted = this.#login.attempts > 0 && this.#blame !== 'broken-protocol';
    if (!this.#partner && !counted && this.#blame !== 'nobody') desk.leftWithoutLogin(this.#login.visitor, this.#blame);
    await this.#slot.idle();
    await this.#partner?.end(this.#reason ?? '').catch((error: unknown) => {
      this.#deps.log.error({ session: this.#login.visitor.session, err: error }, 'ending a partner session failed');
    });
    if (!socket.closed) await new Promise<void>((done) => socket.once('close', () => done()));
    onClosed();
  }
}

const freshState = (implicit: boolean): SessionState => ({
  folder: startFolder,
  type: 'I',
  // Clients of implicit FTPS from before RFC 4217 never ask for it.
  protection: implicit ? 'P' : 'C',
  bufferSizeAgreed: false,
  restart: 0,
  renameFrom: undefined,
  onlyExtendedPassive: false,
  announcedBytes: undefined,
  facts: new Set(allFacts),
});

/** The verb is what stands before the first space; the argument is all behind it, with every blank. */
function parseLine(line: Buffer): { verb: string; argument: Buffer } {
  const space = line.indexOf(0x20);
  const verb = line
    .subarray(0, space < 0 ? line.length : Math.min(space, 16))
    .toString('latin1')
    .toUpperCase();
  return { verb, argument: space < 0 ? Buffer.alloc(0) : line.subarray(space + 1) };
}

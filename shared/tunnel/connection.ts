/**
 * One control connection: requests, answers and notes between the two nodes, each side treating the other as hostile.
 *
 * Every message is checked for its form, its number, its direction and its schema before anything acts on it; whatever does
 * not fit ends the link with a coded reason and never has a partial effect. The first reason to close wins and shows in every
 * later failure. What a caller of this side wants to send is checked as well, and fails for that caller alone: a partner who
 * finds a text that does not fit must not be able to end the link.
 */
import type { Clock } from '../clock.ts';
import { asSallyportError, isErrorCode, SallyportError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { type CloseCode, type CloseReason, describeClose } from './close-reason.ts';
import { type Envelope, envelopeSchema, type Outgoing } from './envelope.ts';
import type { Answering, Asking, NoteBy, RequestBy, Side } from './handlers.ts';
import { Heartbeat } from './heartbeat.ts';
import type { MessageSocket } from './message-socket.ts';
import {
  limits,
  type NoteParams,
  notes,
  type RequestName,
  type RequestParams,
  type RequestResult,
  requests,
} from './messages.ts';
import { Pace } from './pace.ts';
import { PendingRequests } from './pending.ts';
import { decodeText, encodeText, parseBy, violation } from './wire.ts';

export type OtherSide<S extends Side> = S extends 'inside' ? 'dmz' : 'inside';

/** How the DMZ answers `link.hello`. */
export interface Greeting {
  readonly result: RequestResult<'link.hello'>;
  readonly answering: Answering<'inside'>;
  /** Called when the answer is on its way: from now on this side may ask. */
  up(): void;
}

export interface ConnectionDeps<S extends Side> {
  readonly socket: MessageSocket;
  readonly clock: Clock;
  readonly log: Logger;
  /** The inside answers from the start; the DMZ's answers come with its greeting. */
  readonly answering?: Answering<OtherSide<S>>;
  /** DMZ only. */
  readonly greet?: (params: RequestParams<'link.hello'>) => Promise<Greeting>;
  /** Called once. */
  readonly onClosed: (reason: CloseReason) => void;
}

export interface ConnectionOptions {
  readonly heartbeatMs?: number;
  readonly deadAfterMs?: number;
  readonly requestMs?: number;
  readonly helloMs?: number;
}

type Handler = (params: unknown, signal: AbortSignal) => Promise<unknown>;
type Phase = 'waiting' | 'greeting' | 'up' | 'draining' | 'closed';
interface HandlerTable {
  readonly requests: Readonly<Record<string, Handler>>;
  readonly notes: Readonly<Record<string, (params: unknown) => void>>;
}

/** Places that heartbeats may use when callers have filled the rest. */
const reserved = 8;
const pace = { perSecond: 10_000, burst: 20_000 };

export class Connection<S extends Side> implements Asking<S> {
  readonly #side: S;
  readonly #deps: ConnectionDeps<S>;
  readonly #options: Required<ConnectionOptions>;
  readonly #pending: PendingRequests;
  readonly #heartbeat: Heartbeat;
  readonly #pace: Pace;
  readonly #closing = new AbortController();
  #handlers: HandlerTable | undefined;
  #phase: Phase = 'waiting';
  #sent = 0;
  #received = 0;
  #lastRequestId = 0;
  #answeringNow = 0;
  #onIdle: (() => void) | undefined;
  #cancelTimer: (() => void) | undefined;
  #reason: CloseReason | undefined;

  constructor(side: S, deps: ConnectionDeps<S>, options: ConnectionOptions = {}) {
    this.#side = side;
    this.#deps = deps;
    this.#options = Object.freeze({
      heartbeatMs: limits.heartbeatMs,
      deadAfterMs: limits.deadAfterMs,
      requestMs: limits.requestMs,
      helloMs: 10_000,
      ...options,
    });
    this.#handlers = deps.answering as HandlerTable | undefined;
    this.#pending = new PendingRequests(deps.clock);
    this.#pace = new Pace(deps.clock, deps.socket, pace);
    this.#heartbeat = new Heartbeat(
      {
        clock: deps.clock,
        receivedBytes: () => deps.socket.receivedBytes,
        ping: async () => void (await this.#ask('link.ping', {}, undefined, this.#options.deadAfterMs * 20)),
        onSilent: (detail) => this.#close({ code: 'silent', by: 'us', detail }),
      },
      { everyMs: this.#options.heartbeatMs, deadAfterMs: this.#options.deadAfterMs },
    );
  }

  /** Fires when the link is closed. */
  get signal(): AbortSignal {
    return this.#closing.signal;
  }

  get closed(): CloseReason | undefined {
    return this.#reason;
  }

  get rttMs(): number | undefined {
    return this.#heartbeat.rttMs;
  }

  /** Begins to listen. The DMZ waits for `link.hello`, the inside must call `hello` next. */
  start(): void {
    const { socket, clock } = this.#deps;
    this.#cancelTimer = clock.after(this.#options.helloMs, () =>
      this.#close({ code: 'hello-timeout', by: 'us', detail: `no link.hello within ${this.#options.helloMs} ms` }),
    );
    socket.listen({
      onText: (text) => this.#onText(text),
      onBytes: () => this.#violate('a binary message on the control socket'),
      onViolation: (detail) => this.#violate(detail),
      onClosed: (code, detail) =>
        this.#close(
          code ? { code, by: 'peer', detail: 'the other side closed the link' } : { code: 'lost', by: 'network', detail },
        ),
    });
  }

  /** Inside only: introduces this node. @throws SallyportError `protocol-violation`, `link-closed`, `request-timeout`. */
  async hello(params: RequestParams<'link.hello'>, signal: AbortSignal): Promise<RequestResult<'link.hello'>> {
    this.#phase = 'greeting';
    return (await this.#ask('link.hello', params, signal, this.#options.helloMs)) as RequestResult<'link.hello'>;
  }

  request<M extends RequestBy<S>>(method: M, params: RequestParams<M>, signal?: AbortSignal): Promise<RequestResult<M>> {
    if (this.#phase !== 'up') return Promise.reject(this.#unusable());
    if (this.#pending.size >= limits.pendingRequests - reserved) {
      return Promise.reject(new SallyportError('limit-reached', 'too many requests wait for the other side', { method }));
    }
    return this.#ask(method, params, signal, this.#options.requestMs) as Promise<RequestResult<M>>;
  }

  note<N extends NoteBy<S>>(name: N, params: NoteParams<N>): void {
    if (this.#phase !== 'up') return;
    const parsed = notes[name].params.safeParse(params);
    if (parsed.success) this.#send({ k: 'note', m: name, p: parsed.data });
    else this.#deps.log.error({ note: name, issue: parsed.error.issues[0]?.path }, 'a note does not fit its schema');
  }

  /** Tells the other side that this one stops, lets what is under way finish until `signal` fires, then closes. */
  async drain(reason: string, signal: AbortSignal): Promise<void> {
    if (this.#phase === 'up') {
      this.note('link.bye' as NoteBy<S>, { reason: reason.slice(0, 256) } as NoteParams<NoteBy<S>>);
      this.#phase = 'draining';
      await this.#idle(signal);
    }
    this.#close({ code: 'bye', by: 'us', detail: reason });
  }

  /** Ends the link. The first reason wins. */
  close(code: CloseCode, detail: string): void {
    this.#close({ code, by: 'us', detail });
  }

  /** Ends the link because the other side broke a rule, on this socket or on one that belongs to the link. */
  violate(detail: string): void {
    this.#violate(detail);
  }

  #violate(detail: string): void {
    this.#close({ code: 'violation', by: 'us', detail });
  }

  #unusable(): SallyportError {
    if (this.#reason) return new SallyportError('link-closed', `the link is closed: ${describeClose(this.#reason)}`);
    return new SallyportError('link-closed', this.#phase === 'draining' ? 'the link is being closed' : 'the link is not up yet');
  }

  async #ask(method: RequestName, params: unknown, signal: AbortSignal | undefined, deadlineMs: number): Promise<unknown> {
    signal?.throwIfAborted();
    const parsed = requests[method].params.safeParse(params);
    if (!parsed.success) {
      const place = parsed.error.issues[0]?.path.map(String).join('.') ?? '';
      throw new SallyportError('internal', `the parameters of ${method} do not fit its schema at ${place}`, { method });
    }
    const { id, answer } = this.#pending.add(method, deadlineMs, signal);
    if (!this.#send({ k: 'req', id, m: method, p: parsed.data })) {
      this.#pending.settle(id, { error: new SallyportError('limit-reached', `the message ${method} is too large`, { method }) });
    }
    return answer.finally(() => this.#settled());
  }

  /** @returns false when the message is larger than the other side takes; nothing was sent then. */
  #send(message: Outgoing): boolean {
    const text = encodeText({ ...message, n: this.#sent + 1 });
    const limit = this.#side === 'inside' ? limits.controlToDmzBytes : limits.controlToInsideBytes;
    if (Buffer.byteLength(text) > limit) return false;
    this.#sent += 1;
    if (!this.#deps.socket.sendText(text)) this.#close({ code: 'backlog', by: 'us', detail: 'the other side does not read' });
    return true;
  }

  #onText(text: string): void {
    if (this.#phase === 'closed') return;
    try {
      const message = parseBy(envelopeSchema, decodeText(text), 'a message');
      if (message.n !== this.#received + 1) throw violation(`message number ${message.n} follows ${this.#received}`);
      this.#received = message.n;
      this.#onMessage(message);
    } catch (error) {
      this.#violate(asSallyportError(error).message);
    }
    this.#pace.take();
  }

  #onMessage(message: Envelope): void {
    if (message.k === 'req') this.#onRequest(message.id, message.m, message.p);
    else if (message.k === 'note') this.#onNote(message.m, message.p);
    else this.#onAnswer(message);
  }

  #onAnswer(message: Extract<Envelope, { k: 'res' | 'err' }>): void {
    const method = this.#pending.methodOf(message.id);
    if (!method) throw violation(`an answer to the unknown request ${message.id}`);
    if (message.k === 'err') {
      if (!isErrorCode(message.c)) throw violation(`an unknown error code as the answer to ${method}`);
      const detail = `the other side answered ${method} with ${message.c}`;
      this.#pending.settle(message.id, { error: new SallyportError(message.c, detail, { method, remote: true }) });
      return;
    }
    const result = parseBy(requests[method].result, message.r, `the answer to ${method}`);
    if (method === 'link.hello') this.#up();
    this.#pending.settle(message.id, { result });
  }

  #onRequest(id: number, method: string, params: unknown): void {
    if (!Object.hasOwn(requests, method)) throw violation('a request that does not exist');
    const name = method as RequestName;
    const by: string = requests[name].by;
    if (by === this.#side) throw violation(`the request ${name}, which the other side may not make`);
    if (id <= this.#lastRequestId) throw violation(`request id ${id} follows ${this.#lastRequestId}`);
    this.#lastRequestId = id;
    const parsed = parseBy(requests[name].params, params, name);
    if (name === 'link.hello') {
      if (!this.#deps.greet || this.#phase !== 'waiting') throw violation('a second link.hello');
      this.#phase = 'greeting';
      void this.#onHello(id, parsed as RequestParams<'link.hello'>, this.#deps.greet);
      return;
    }
    if (this.#phase === 'waiting' || this.#phase === 'greeting')
      throw violation(`the request ${name} before link.hello was answered`);
    if (name === 'link.ping' || this.#phase === 'draining') {
      this.#send(name === 'link.ping' ? { k: 'res', id, r: {} } : { k: 'err', id, c: 'link-closed' });
      return;
    }
    if (this.#answeringNow >= limits.pendingRequests) throw violation('too many requests at once');
    void this.#answer(id, name, parsed);
  }

  async #onHello(id: number, params: RequestParams<'link.hello'>, greet: NonNullable<ConnectionDeps<S>['greet']>): Promise<void> {
    try {
      const greeting = await greet(params);
      if (this.#phase === 'closed') return;
      this.#handlers = greeting.answering as HandlerTable;
      this.#send({ k: 'res', id, r: requests['link.hello'].result.parse(greeting.result) });
      this.#up();
      greeting.up();
    } catch (error) {
      this.#deps.log.error({ err: error }, 'a link could not be greeted');
      this.#close({ code: 'stopped', by: 'us', detail: asSallyportError(error).message });
    }
  }

  #up(): void {
    this.#phase = 'up';
    this.#cancelTimer?.();
    this.#heartbeat.start();
  }

  #onNote(name: string, params: unknown): void {
    if (!Object.hasOwn(notes, name)) throw violation('a note that does not exist');
    const known = name as keyof typeof notes;
    const by: string = notes[known].by;
    if (by === this.#side) throw violation(`the note ${known}, which the other side may not send`);
    if (this.#phase === 'waiting' || this.#phase === 'greeting')
      throw violation(`the note ${known} before link.hello was answered`);
    const parsed = parseBy(notes[known].params, params, known);
    if (known !== 'link.bye') this.#runNote(known, parsed);
    else this.#onBye();
  }

  /** The other side closes when it is done; if it does not, this side must not keep a link that takes no work. */
  #onBye(): void {
    this.#phase = 'draining';
    const close = () => this.#close({ code: 'bye', by: 'peer', detail: 'the other side said goodbye' });
    this.#cancelTimer = this.#deps.clock.after(2 * this.#options.requestMs, close);
  }

  #runNote(name: string, params: unknown): void {
    try {
      this.#handlers?.notes[name]?.(params);
    } catch (error) {
      this.#deps.log.error({ err: error, note: name }, 'a note could not be handled');
    }
  }

  async #answer(id: number, name: RequestName, params: unknown): Promise<void> {
    this.#answeringNow += 1;
    let answer: Outgoing;
    try {
      const handler = this.#handlers?.requests[name];
      if (!handler) throw new SallyportError('unsupported', `nothing here answers ${name}`);
      const result = await handler(params, this.#closing.signal);
      answer = { k: 'res', id, r: requests[name].result.parse(result) };
    } catch (error) {
      const known = error instanceof SallyportError;
      if (!known) this.#deps.log.error({ err: error, method: name }, 'a request of the other side could not be answered');
      answer = { k: 'err', id, c: known ? error.code : 'remote-failure' };
    }
    this.#answeringNow -= 1;
    if (this.#phase !== 'closed' && !this.#send(answer)) this.#send({ k: 'err', id, c: 'limit-reached' });
    this.#settled();
  }

  #settled(): void {
    if (this.#answeringNow === 0 && this.#pending.active === 0) this.#onIdle?.();
  }

  #idle(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      this.#onIdle = resolve;
      signal.addEventListener('abort', () => resolve(), { once: true });
      if (signal.aborted) resolve();
      this.#closing.signal.addEventListener('abort', () => resolve(), { once: true });
      this.#settled();
    });
  }

  #close(reason: CloseReason): void {
    if (this.#phase === 'closed') return;
    this.#phase = 'closed';
    this.#reason = reason;
    this.#cancelTimer?.();
    this.#heartbeat.stop();
    if (reason.code === 'silent') this.#deps.socket.destroy();
    else this.#deps.socket.close(reason.code);
    const error = this.#unusable();
    this.#pending.failAll(error);
    this.#closing.abort(error);
    this.#deps.onClosed(reason);
  }
}

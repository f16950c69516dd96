/** A visitor's way to a login on one control connection: his name, his attempts, and what the records say of him. */
import type { Clock } from '../../shared/clock.ts';
import { type EventRecord, event } from '../../shared/events/event.ts';
import { newSessionId, newTraceId } from '../../shared/ids.ts';
import { type Logger, printable } from '../../shared/log.ts';
import { Secret } from '../../shared/secret.ts';
import type { LoginAttempt, LoginDesk, LoginOutcome, Visitor } from '../partner-view.ts';

export interface LoginDeps {
  readonly desk: LoginDesk;
  readonly peer: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly record: (record: EventRecord) => void;
}

/** What is known of the connection that he speaks on. */
export interface Speaking {
  /** `FTP over TLSv1.3` or `plain FTP`. */
  readonly way: string;
  /** DER of the certificates he showed, his own first; empty for none. */
  readonly certificates: readonly Buffer[];
}

/** A login takes six. */
const maxCommandsBeforeLogin = 100;

export class Login {
  readonly #deps: LoginDeps;
  readonly #maxAttempts: number;
  #visitor: Visitor;
  #user: string | undefined;
  #client = '';
  #announced = false;
  #attempts = 0;
  #commands = 0;

  constructor(deps: LoginDeps, maxAttempts: number) {
    this.#deps = deps;
    this.#maxAttempts = maxAttempts;
    this.#visitor = newVisitor(deps.peer);
  }

  get visitor(): Visitor {
    return this.#visitor;
  }

  /** Passwords that were asked about, also those of visitors before REIN. */
  get attempts(): number {
    return this.#attempts;
  }

  get exhausted(): boolean {
    return this.#attempts >= this.#maxAttempts;
  }

  /** @returns false: too many commands without a login. */
  countCommand(): boolean {
    this.#commands += 1;
    return this.#commands <= maxCommandsBeforeLogin;
  }

  /** What the client says it is; for events. */
  setClient(name: string): void {
    this.#client = printable(name, 64);
    this.#deps.log.debug({ client: this.#client }, 'what a client says it is');
  }

  /** Keeps the name for the password, and asks whether his certificate suffices if there is one. */
  async identify(user: string, speaking: Speaking, signal: AbortSignal): Promise<LoginOutcome | undefined> {
    this.#announce(speaking.way);
    this.#user = user;
    const { certificates: chain } = speaking;
    if (chain.length === 0) return undefined;
    const outcome = await this.#ask({ method: 'certificate', user, chain }, signal);
    if (outcome.outcome === 'accepted') this.#user = undefined;
    return outcome;
  }

  /** The name is used up. @returns Undefined when none was given. */
  async byPassword(password: string, signal: AbortSignal): Promise<LoginOutcome | undefined> {
    const user = this.#user;
    if (user === undefined) return undefined;
    this.#user = undefined;
    this.#attempts += 1;
    return await this.#ask({ method: 'password', user, password: new Secret(password) }, signal);
  }

  /** Another visitor may log in on the same connection; the attempts still count. */
  beginAnew(): void {
    this.#visitor = newVisitor(this.#deps.peer);
    this.#announced = false;
    this.#commands = 0;
  }

  #announce(way: string): void {
    if (this.#announced) return;
    this.#announced = true;
    const { session, trace, protocol, peer } = this.#visitor;
    const client = this.#client === '' ? way : `${way}, ${this.#client}`;
    this.#deps.record(event('session.connected', this.#deps.clock.nowMs(), { session, trace }, { protocol, peer, client }));
  }

  async #ask(attempt: LoginAttempt, signal: AbortSignal): Promise<LoginOutcome> {
    try {
      return await this.#deps.desk.login(this.#visitor, attempt, signal);
    } catch (error) {
      this.#deps.log.error({ session: this.#visitor.session, err: error }, 'the login desk failed');
      return { outcome: 'unavailable' };
    }
  }
}

const newVisitor = (peer: string): Visitor => ({ session: newSessionId(), trace: newTraceId(), protocol: 'ftps', peer });

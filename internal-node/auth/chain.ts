/**
 * The methods of a service in their order. The first that accepts or rejects decides; unknown goes on to the next; a method
 * that is stopped is passed over; one that fails refuses, because whoever comes after it might not know of a user it would
 * have rejected. Nobody knows the user: refused.
 *
 * Every step is told with what it saw and how long it took.
 */
import type { Clock } from '../../shared/clock.ts';
import { asSallyportError } from '../../shared/errors.ts';
import type { AuthCheck } from '../../shared/tunnel/messages.ts';
import { type LoginMethod, ownAccounts, type PasswordLogin, type StepAnswer } from './login-method.ts';

export interface Step {
  readonly method: string;
  readonly outcome: StepAnswer['outcome'] | 'stopped';
  readonly detail: string;
  /** How long it took, milliseconds. */
  readonly ms: number;
}

export interface Walk {
  readonly steps: readonly Step[];
  /** The name of the method that decided; absent when none did. */
  readonly decidedBy?: string;
  readonly answer: StepAnswer;
  /** A method of the list is failing: to refuse as it would keeps secret which method knows the user. */
  readonly failing: boolean;
}

export interface ChainSettings {
  /** Names of methods in their order, for each service. */
  readonly orderOf: Readonly<Record<AuthCheck['protocol'], readonly string[]>>;
  /** User names that no method is ever asked about, in lower case. */
  readonly denied: ReadonlySet<string>;
}

export interface LoginChainDeps {
  /** As the configuration has them now. */
  readonly methods: () => ReadonlyMap<string, LoginMethod>;
  readonly settings: () => ChainSettings;
  readonly clock: Pick<Clock, 'monotonicMs'>;
}

export class LoginChain {
  readonly #deps: LoginChainDeps;

  constructor(deps: LoginChainDeps) {
    this.#deps = deps;
  }

  /** Whether own accounts may log in to a service: keys and certificates are theirs alone. */
  asksOwn(protocol: AuthCheck['protocol']): boolean {
    return this.#deps.settings().orderOf[protocol].includes(ownAccounts);
  }

  /** Whether the name is refused whatever else is right. Names differ in more than case only by intent, so case is ignored. */
  denies(user: string): boolean {
    return this.#deps.settings().denied.has(user.normalize('NFKC').trim().toLowerCase());
  }

  /** @param signal Rejects with its reason; all else is an answer. */
  async walk(login: PasswordLogin, signal: AbortSignal): Promise<Walk> {
    const steps: Step[] = [];
    const methods = this.#deps.methods();
    const order = this.#deps.settings().orderOf[login.protocol];
    const ended = (answer: StepAnswer, decidedBy?: string): Walk => ({
      steps,
      answer,
      failing: order.some((name) => methods.get(name)?.failing),
      ...(decidedBy === undefined ? {} : { decidedBy }),
    });
    if (this.denies(login.user)) {
      const detail = 'the name is in authentication.denyUsers';
      return ended({ outcome: 'reject', reason: 'denied user name', detail });
    }
    for (const name of order) {
      const method = methods.get(name);
      if (!method || method.stopped) {
        steps.push({ method: name, outcome: 'stopped', detail: 'the method is stopped', ms: 0 });
        continue;
      }
      const startedMs = this.#deps.clock.monotonicMs();
      const answer = await checked(method, login, signal);
      const ms = Math.round(this.#deps.clock.monotonicMs() - startedMs);
      steps.push({ method: name, outcome: answer.outcome, detail: answer.detail, ms });
      if (answer.outcome !== 'unknown') return ended(answer, name);
    }
    return ended({ outcome: 'unknown', detail: 'no method knows the user' });
  }
}

async function checked(method: LoginMethod, login: PasswordLogin, signal: AbortSignal): Promise<StepAnswer> {
  try {
    return await method.check(login, signal);
  } catch (error) {
    signal.throwIfAborted();
    const { code, message } = asSallyportError(error);
    return { outcome: 'failed', detail: `${code}: ${message}` };
  }
}

/**
 * Whether a one-time code is right, now, for the first time. Guesses have a budget of their own for each user, which only those
 * use up who know the password: six digits alone would be guessed in days.
 */
import type { Clock } from '../../../shared/clock.ts';
import type { Records } from '../../../shared/durable/database.ts';
import { TokenBucket } from '../../../shared/token-bucket.ts';
import type { RejectReason } from '../rejections.ts';
import type { CodeGenerator } from './one-time-code.ts';
import type { TotpOperations } from './totp-operations.ts';

export interface CodeGateDeps {
  readonly records: Pick<Records<TotpOperations>, 'call'>;
  readonly clock: Pick<Clock, 'nowMs' | 'monotonicMs'>;
}

export interface CodeGateOptions {
  /** Wrong codes of one user at once, and how many per minute come back. */
  readonly guesses: number;
  readonly guessesPerMinute: number;
}

export const codeGateDefaults: CodeGateOptions = { guesses: 5, guessesPerMinute: 1 / 6 };

export interface ShownCode {
  /** Who it is of, for all nodes and services: a partner, or an entry of a directory. */
  readonly subject: string;
  readonly generator: CodeGenerator;
  readonly code: string;
  /** Nothing is used up. */
  readonly rehearsal: boolean;
}

export class CodeGate {
  readonly #deps: CodeGateDeps;
  readonly #options: CodeGateOptions;
  readonly #guesses = new Map<string, TokenBucket>();

  constructor(deps: CodeGateDeps, options: CodeGateOptions = codeGateDefaults) {
    this.#deps = deps;
    this.#options = options;
  }

  /** Asked only after the password was found right. @returns why it is not accepted; undefined when it is. */
  async objection({ subject, generator, code, rehearsal }: ShownCode): Promise<RejectReason | undefined> {
    const bucket = this.#bucketOf(subject);
    if (!bucket.take()) return 'too many failures';
    const nowMs = Math.floor(this.#deps.clock.nowMs());
    const step = generator.stepOf(code, nowMs);
    if (step === undefined) return 'wrong code';
    if (!rehearsal && !(await this.#deps.records.call('totp.use', { subject, step, nowMs }))) return 'code used before';
    bucket.giveBack();
    return undefined;
  }

  #bucketOf(subject: string): TokenBucket {
    for (const [name, bucket] of this.#guesses) if (name !== subject && bucket.isFull) this.#guesses.delete(name);
    const { guesses: burst, guessesPerMinute: perMinute } = this.#options;
    const bucket = this.#guesses.get(subject) ?? new TokenBucket(this.#deps, { burst, perMinute });
    this.#guesses.set(subject, bucket);
    return bucket;
  }
}

/**
 * Second factors of own accounts: enrolment in two steps (nothing is valid before a code has proved that the app has the secret),
 * recovery codes, removal. Secrets are kept sealed with a key that lies beside the other keys of the node, so a copy of the
 * records alone gives none away.
 */
import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import type { Clock } from '../../../shared/clock.ts';
import type { Records } from '../../../shared/durable/database.ts';
import { SallyportError } from '../../../shared/errors.ts';
import { base32 } from '../../../shared/ids.ts';
import type { Service } from '../../../shared/service.ts';
import type { RejectReason } from '../rejections.ts';
import type { CodeGate } from './code-gate.ts';
import { CodeGenerator, recoveryForm, type TypedCode } from './one-time-code.ts';
import type { TotpOperations } from './totp-operations.ts';

export interface SecondFactorsDeps {
  readonly records: Pick<Records<TotpOperations>, 'call'>;
  readonly gate: Pick<CodeGate, 'objection'>;
  /** 32 bytes; made at the first enrolment. */
  readonly sealingKey: (make: boolean) => Promise<Buffer>;
  readonly clock: Pick<Clock, 'nowMs' | 'monotonicMs'>;
}

interface Pending {
  readonly generator: CodeGenerator;
  readonly untilMs: number;
  guesses: number;
}

const pendingMs = 15 * 60_000;
const mostGuesses = 5;
const recoveryCodes = 10;

export class SecondFactors implements Service {
  readonly name = 'second factors';
  readonly #deps: SecondFactorsDeps;
  readonly #generators = new Map<string, CodeGenerator>();
  readonly #pending = new Map<string, Pending>();

  constructor(deps: SecondFactorsDeps) {
    this.#deps = deps;
  }

  /** @throws SallyportError `key-file` when there are secrets but not their key. */
  async start(): Promise<void> {
    const rows = await this.#deps.records.call('totp.all', undefined);
    if (rows.length === 0) return;
    const key = await this.#deps.sealingKey(false);
    for (const { partner, sealed } of rows) this.#generators.set(partner, CodeGenerator.fromUri(open(key, partner, sealed)));
  }

  async stop(): Promise<void> {}

  isEnrolled(partner: string): boolean {
    return this.#generators.has(partner);
  }

  /** Asked only after the password, or the key, was found right. @returns why the code is not accepted; undefined when it is. */
  async objection(partner: string, { code }: Pick<TypedCode, 'code'>, rehearsal: boolean): Promise<RejectReason | undefined> {
    const generator = this.#generators.get(partner);
    if (!generator) return 'no second factor';
    if (!recoveryForm.test(code)) return this.#deps.gate.objection({ subject: partner, generator, code, rehearsal });
    if (rehearsal) return 'wrong code';
    const nowMs = Math.floor(this.#deps.clock.nowMs());
    const known = await this.#deps.records.call('totp.recover', { partner, digest: digestOf(code), nowMs });
    return known ? undefined : 'wrong code';
  }

  /** A new secret that is not valid yet; what was valid before stays so. @returns the URI for the authenticator app. */
  begin(partner: string): string {
    const generator = CodeGenerator.make('Sallyport', partner);
    this.#pending.set(partner, { generator, untilMs: this.#deps.clock.monotonicMs() + pendingMs, guesses: 0 });
    return generator.uri;
  }

  /**
   * From now on the new secret counts, and no other. @returns recovery codes, which are not told again.
   * @throws SallyportError `usage` when nothing was begun, or it was too long ago; `login-rejected` for a wrong code.
   */
  async confirm(partner: string, code: string): Promise<readonly string[]> {
    const pending = this.#pending.get(partner);
    if (!pending || pending.untilMs < this.#deps.clock.monotonicMs() || pending.guesses >= mostGuesses) {
      this.#pending.delete(partner);
      throw new SallyportError('usage', `no enrolment of ${partner} is under way any more: begin anew`);
    }
    const nowMs = Math.floor(this.#deps.clock.nowMs());
    const step = pending.generator.stepOf(code.trim(), nowMs);
    if (step === undefined) {
      pending.guesses += 1;
      throw new SallyportError('login-rejected', 'the code is not right; nothing has changed', {
        next: 'type the code that the app shows now; compare the clocks of the phone and of this host',
      });
    }
    const { generator } = pending;
    const codes = Array.from({ length: recoveryCodes }, newRecoveryCode);
    const sealed = seal(await this.#deps.sealingKey(true), partner, generator.uri);
    await this.#deps.records.call('totp.enrol', { partner, sealed, recovery: codes.map(digestOf), nowMs });
    await this.#deps.records.call('totp.use', { subject: partner, step, nowMs });
    this.#generators.set(partner, generator);
    this.#pending.delete(partner);
    return codes;
  }

  /** The password alone is enough again. @returns whether there was a second factor. */
  async remove(partner: string): Promise<boolean> {
    const removed = await this.#deps.records.call('totp.remove', { partner, nowMs: Math.floor(this.#deps.clock.nowMs()) });
    this.#generators.delete(partner);
    this.#pending.delete(partner);
    return removed;
  }
}

/** 50 random bits: what is stored of it needs no slow hash. */
function newRecoveryCode(): string {
  const text = base32(randomBytes(10)).slice(0, 10).toLowerCase();
  return `${text.slice(0, 5)}-${text.slice(5)}`;
}

const digestOf = (code: string): string => createHash('sha256').update(code).digest('hex');

/** AES-256-GCM: nonce, tag, text. Bound to the partner's name, so that rows cannot be swapped. */
function seal(key: Buffer, partner: string, text: string): Uint8Array {
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(partner));
  const sealed = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
  return Buffer.concat([nonce, cipher.getAuthTag(), sealed]);
}

function open(key: Buffer, partner: string, sealed: Uint8Array): string {
  const bytes = Buffer.from(sealed);
  const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, 12)).setAAD(Buffer.from(partner));
  decipher.setAuthTag(bytes.subarray(12, 28));
  try {
    return decipher.update(bytes.subarray(28), undefined, 'utf8') + decipher.final('utf8');
  } catch (cause) {
    throw new SallyportError('key-file', 'totp.key does not open the second factors in the records', {}, { cause });
  }
}

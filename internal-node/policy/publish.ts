/**
 * Tells the DMZ node what holds: builds the policy bundle from the configuration, numbers and signs it, and sends it when
 * the link comes up, when the configuration changes, and before the last one has lived half of its time.
 *
 * What cannot be sent now is sent when the link is up again. A DMZ node that holds a higher number than we know of (our
 * records were restored from a backup) is overtaken, but not by more than one leap at a time: the number it names is a
 * claim, and must not be able to use up all numbers.
 */
import { createHash } from 'node:crypto';
import { Backoff } from '../../shared/backoff.ts';
import type { Clock } from '../../shared/clock.ts';
import type { Records } from '../../shared/durable/database.ts';
import { asSallyportError, SallyportError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import type { PolicyBundle } from '../../shared/policy.ts';
import { canonicalJson, type SignedBundle, signBundle } from '../../shared/policy-signature.ts';
import type { Service } from '../../shared/service.ts';
import type { Asking } from '../../shared/tunnel/handlers.ts';
import { limits } from '../../shared/tunnel/messages.ts';
import type { PolicyOperations } from './policy-operations.ts';

/** Everything in a bundle but its number and its times. */
export type PolicyContents = Omit<PolicyBundle, 'format' | 'number' | 'issuedAtMs' | 'expiresAtMs'>;

export interface PolicySigner {
  readonly keyPem: string;
  readonly certificatePem: string;
}

interface Issued extends SignedBundle {
  readonly certificate: string;
}

export interface PolicyPublisherDeps {
  readonly records: Records<PolicyOperations>;
  readonly link: Pick<Asking<'inside'>, 'request'>;
  /** The contents as the configuration has them now. */
  readonly contents: () => PolicyContents;
  /** Its key and certificate as they are now: both are exchanged while the node runs. */
  readonly signer: () => PolicySigner;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface PolicyPublisherOptions {
  /** How long the DMZ node may go on without hearing from the inside. */
  readonly validMs: number;
}

const largestLeap = 1_000_000;
const dayMs = 86_400_000;
const retryBackoff = { firstMs: 1000, maxMs: 60_000 };

export class PolicyPublisher implements Service {
  readonly name = 'policy publisher';
  readonly #deps: PolicyPublisherDeps;
  readonly #options: PolicyPublisherOptions;
  readonly #backoff = new Backoff(retryBackoff);
  #linkIsUp = false;
  #cancelNext: (() => void) | undefined;
  #publishing: Promise<void> = Promise.resolve();
  #held = 0;
  /** The next number must be above this one. */
  #above = 0;

  constructor(deps: PolicyPublisherDeps, options: PolicyPublisherOptions = { validMs: 7 * dayMs }) {
    this.#deps = deps;
    this.#options = options;
  }

  /** Checks that a bundle can be made. @throws SallyportError `config-invalid` */
  async start(): Promise<void> {
    await this.#issue();
  }

  async stop(): Promise<void> {
    this.linkDown();
    await this.#publishing;
  }

  /** Whether a bundle could hold these contents. @throws SallyportError `config-invalid` */
  check(contents: PolicyContents): void {
    // The number and the times take less than a hundred bytes.
    refuseIfTooLarge(Buffer.byteLength(canonicalJson(contents)) + 200);
  }

  /** The number that the DMZ node was last known to hold; 0 before that. */
  get held(): number {
    return this.#held;
  }

  linkUp(): void {
    this.#linkIsUp = true;
    this.#backoff.reset();
    void this.publish();
  }

  linkDown(): void {
    this.#linkIsUp = false;
    this.#cancelNext?.();
  }

  /** After a change of the configuration. Resolves when the DMZ node has it, or when a later attempt is planned; never rejects. */
  publish(): Promise<void> {
    this.#publishing = this.#publishing.then(() => this.#publishOnce());
    return this.#publishing;
  }

  async #publishOnce(): Promise<void> {
    if (!this.#linkIsUp) return;
    this.#cancelNext?.();
    try {
      this.#held = await this.#put();
      this.#backoff.reset();
      this.#publishIn(Math.min(dayMs, this.#options.validMs / 2));
    } catch (error) {
      const { code, message } = asSallyportError(error);
      this.#deps.log.warn({ code, detail: message }, 'the policy was not taken by the DMZ node');
      this.#publishIn(this.#backoff.nextMs());
    }
  }

  #publishIn(delayMs: number): void {
    if (this.#linkIsUp) this.#cancelNext = this.#deps.clock.after(delayMs, () => void this.publish());
  }

  async #put(): Promise<number> {
    try {
      return await this.#send(await this.#issue());
    } catch (error) {
      if (asSallyportError(error).code !== 'policy-refused') throw error;
      const { policyNumber } = await this.#deps.link.request('status.get', {});
      if (policyNumber <= this.#above) throw error; // it was not refused for its number
      if (policyNumber - this.#above > largestLeap) {
        throw new SallyportError(
          'peer-refused',
          `the DMZ node claims to hold policy ${policyNumber}, which was never issued here`,
        );
      }
      this.#above = policyNumber;
      return this.#send(await this.#issue());
    }
  }

  async #send(issued: Issued): Promise<number> {
    const { number } = await this.#deps.link.request('policy.put', issued);
    return number;
  }

  async #issue(): Promise<Issued> {
    const contents = this.#deps.contents();
    const digest = createHash('sha256').update(canonicalJson(contents)).digest('hex');
    const nowMs = Math.floor(this.#deps.clock.nowMs());
    const { validMs } = this.#options;
    const issued = await this.#deps.records.call('policy.issue', { contents: digest, nowMs, validMs, above: this.#above });
    const { keyPem, certificatePem } = this.#deps.signer();
    const signed = signBundle({ format: 1, ...issued, ...contents }, keyPem);
    refuseIfTooLarge(Buffer.byteLength(signed.bundle));
    this.#above = Math.max(this.#above, issued.number - 1);
    return { ...signed, certificate: certificatePem };
  }
}

function refuseIfTooLarge(bytes: number): void {
  if (bytes <= limits.controlToDmzBytes / 2) return;
  throw new SallyportError('config-invalid', 'the policy is too large for the tunnel: fewer or shorter rules are needed');
}

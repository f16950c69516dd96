/**
 * The policy by which this DMZ node works. It takes only a bundle that the internal node's policy key has signed, under a
 * certificate of the recorded authority, with a number above the one held; so neither an old policy nor one made by whoever
 * holds the tunnel's key can be brought in.
 *
 * The bundle is on disk before it is answered, and holds over restarts until it expires: partners are served while the
 * tunnel is down, but not for ever. The number is remembered even when the bundle has expired.
 */
import type { KeyObject } from 'node:crypto';
import type { Clock } from '../shared/clock.ts';
import type { EventSink } from '../shared/durable/database.ts';
import { asSallyportError, SallyportError } from '../shared/errors.ts';
import { type EventRecord, event } from '../shared/events/event.ts';
import { type Logger, printable } from '../shared/log.ts';
import type { PolicyBundle } from '../shared/policy.ts';
import { verifyBundle } from '../shared/policy-signature.ts';
import type { Service } from '../shared/service.ts';
import { TokenBucket } from '../shared/token-bucket.ts';
import type { RequestParams, RequestResult } from '../shared/tunnel/messages.ts';
import { type KeptPolicy, keepPolicy, readKeptPolicy } from './policy-file.ts';

export interface PolicyHolderDeps {
  /** PEM of the recorded authorities of the inside; empty before the first contact. */
  readonly peerAuthorities: () => readonly string[];
  /** `verifyPolicyCertificate` of shared/pki/peer-check.ts. Throws `peer-refused`. */
  readonly verifyCertificate: (certificatePem: string, authorities: readonly string[], nowMs: number) => KeyObject;
  readonly events: EventSink;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface PolicyHolderOptions {
  /** The state folder. */
  readonly folder: string;
}

/** Undefined when the policy ran out. */
export type PolicyListener = (bundle: PolicyBundle | undefined) => void;

interface Held {
  readonly bundle: PolicyBundle;
  readonly text: string;
  readonly certificate: string;
}

const longestTimerMs = 86_400_000;
/** `policy.refused` events: the other node could make any number of them. */
const refusals = { burst: 60, perMinute: 60 };

export class PolicyHolder implements Service {
  readonly name = 'policy holder';
  readonly #deps: PolicyHolderDeps;
  readonly #options: PolicyHolderOptions;
  readonly #listeners: PolicyListener[] = [];
  readonly #refusals: TokenBucket;
  #held: Held | undefined;
  #expiredNumber = 0;
  #cancelExpiry: (() => void) | undefined;
  #putting: Promise<unknown> = Promise.resolve();

  constructor(deps: PolicyHolderDeps, options: PolicyHolderOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#refusals = new TokenBucket(deps, refusals);
  }

  /** Loads and verifies the kept bundle. One that does not verify is not used; the node then waits for the inside. */
  async start(): Promise<void> {
    try {
      const kept = await readKeptPolicy(this.#options.folder);
      if (!kept) return;
      const bundle = this.#verified(kept, kept.acceptedAtMs);
      this.#held = { bundle, text: kept.bundle, certificate: kept.certificate };
      this.#watchExpiry();
      if (this.current()) this.#announce(bundle);
    } catch (error) {
      if (!this.#refused(error)) throw error;
    }
  }

  async stop(): Promise<void> {
    this.#cancelExpiry?.();
    await this.#putting;
  }

  /** The policy in force; undefined when there is none or it has expired. */
  current(): PolicyBundle | undefined {
    const bundle = this.#held?.bundle;
    return bundle && this.#deps.clock.nowMs() < bundle.expiresAtMs ? bundle : undefined;
  }

  /** The highest number taken so far, whether or not that bundle is still in force; 0 when none was. */
  get number(): number {
    return this.#held?.bundle.number ?? 0;
  }

  /** Called with each policy that comes into force and with undefined when it expires. */
  onChange(listener: PolicyListener): void {
    this.#listeners.push(listener);
  }

  /**
   * Answers `policy.put`. The bundle that is held already is answered again without any effect.
   * @throws SallyportError `policy-refused`, after the event is recorded; nothing has changed then.
   */
  put(params: RequestParams<'policy.put'>): Promise<RequestResult<'policy.put'>> {
    const result = this.#putting.then(() => this.#put(params));
    this.#putting = result.catch(() => undefined);
    return result;
  }

  async #put({ bundle: text, signature, certificate }: RequestParams<'policy.put'>): Promise<RequestResult<'policy.put'>> {
    try {
      const nowMs = this.#deps.clock.nowMs();
      const kept: KeptPolicy = { bundle: text, signature, certificate, acceptedAtMs: Math.floor(nowMs) };
      const bundle = this.#verified(kept, nowMs);
      if (bundle.expiresAtMs <= nowMs) throw refusal('it has expired already');
      if (bundle.number < this.number || (bundle.number === this.number && text !== this.#held?.text)) {
        throw refusal(`its number is ${bundle.number}, held is ${this.number}`);
      }
      if (bundle.number > this.number) await this.#apply(bundle, kept);
      // The same policy under another key: the one on disk must stand when the old key is admitted no longer.
      else if (certificate !== this.#held?.certificate) await this.#rekeep(kept);
      return { number: this.number };
    } catch (error) {
      if (!this.#refused(error)) this.#deps.log.error({ err: error }, 'a policy bundle could not be kept');
      throw error;
    }
  }

  async #apply(bundle: PolicyBundle, kept: KeptPolicy): Promise<void> {
    await keepPolicy(this.#options.folder, kept);
    this.#held = { bundle, text: kept.bundle, certificate: kept.certificate };
    const { number, expiresAtMs } = bundle;
    this.#emit(event('policy.applied', this.#deps.clock.nowMs(), {}, { number, expiresAtMs }));
    this.#watchExpiry();
    this.#announce(bundle);
  }

  async #rekeep(kept: KeptPolicy): Promise<void> {
    await keepPolicy(this.#options.folder, kept);
    if (this.#held) this.#held = { ...this.#held, certificate: kept.certificate };
  }

  #verified(kept: KeptPolicy, atMs: number): PolicyBundle {
    const authorities = this.#deps.peerAuthorities();
    if (authorities.length === 0) throw refusal('the authority of the internal node is not known yet');
    let key: KeyObject;
    try {
      key = this.#deps.verifyCertificate(kept.certificate, authorities, atMs);
    } catch (error) {
      const { message } = asSallyportError(error);
      throw new SallyportError('policy-refused', `the policy bundle was refused: ${message}`, {}, { cause: error });
    }
    return verifyBundle(kept.bundle, kept.signature, key);
  }

  #watchExpiry(): void {
    this.#cancelExpiry?.();
    const bundle = this.#held?.bundle;
    if (!bundle) return;
    const nowMs = this.#deps.clock.nowMs();
    const leftMs = bundle.expiresAtMs - nowMs;
    if (leftMs > 0) {
      this.#cancelExpiry = this.#deps.clock.after(Math.min(leftMs, longestTimerMs), () => this.#watchExpiry());
    } else if (this.#expiredNumber !== bundle.number) {
      this.#expiredNumber = bundle.number;
      this.#emit(event('policy.expired', nowMs, {}, { number: bundle.number }));
      this.#announce(undefined);
    }
  }

  #announce(bundle: PolicyBundle | undefined): void {
    for (const listener of this.#listeners) listener(bundle);
  }

  /** Records a refusal. @returns false for any other fault: a full disk is no reason to suspect the inside. */
  #refused(error: unknown): boolean {
    const { code, message } = asSallyportError(error);
    if (code !== 'policy-refused') return false;
    const detail = printable(message, 512);
    if (this.#refusals.take()) this.#emit(event('policy.refused', this.#deps.clock.nowMs(), {}, { detail }));
    return true;
  }

  #emit(record: EventRecord): void {
    this.#deps.events.emit([record]).catch((error: unknown) => this.#deps.log.error({ err: error }, 'an event was not recorded'));
  }
}

const refusal = (why: string): SallyportError => new SallyportError('policy-refused', `the policy bundle was refused: ${why}`);

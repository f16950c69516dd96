/**
 * The right to take one item now. It ends by our own monotonic clock with a margin, and with the link it was given on; a
 * process that stood still too long finds it lost and must not publish.
 */
import type { Clock } from '../../shared/clock.ts';
import { SallyportError } from '../../shared/errors.ts';
import type { InsideLink } from '../../shared/tunnel/handlers.ts';

/** The link as this room uses it. */
export type InboxLink = Pick<InsideLink, 'request' | 'openStream'> & {
  /** Number of the present link; undefined when there is none. */
  epoch(): number | undefined;
};

/** Both clocks count on their own, and the answer took its time. */
const margin = 0.8;

export class Lease {
  readonly id: string;
  readonly epoch: number;
  readonly #link: InboxLink;
  readonly #clock: Clock;
  #untilMs = 0;
  #renewAtMs = 0;

  private constructor(id: string, epoch: number, link: InboxLink, clock: Clock) {
    this.id = id;
    this.epoch = epoch;
    this.#link = link;
    this.#clock = clock;
  }

  /** @throws SallyportError `tunnel-down`, or what the DMZ answers, for instance `item-unknown`. */
  static async take(id: string, link: InboxLink, clock: Clock, signal: AbortSignal): Promise<Lease> {
    const epoch = link.epoch();
    if (epoch === undefined) throw new SallyportError('tunnel-down', 'no link to lease from');
    const lease = new Lease(id, epoch, link, clock);
    await lease.#renew(signal);
    return lease;
  }

  /** A lease that was given together with its item. @param askedAtMs When it was asked for, by the monotonic clock. */
  static given(id: string, epoch: number, leaseMs: number, askedAtMs: number, link: InboxLink, clock: Clock): Lease {
    const lease = new Lease(id, epoch, link, clock);
    lease.#runs(askedAtMs, leaseMs);
    return lease;
  }

  held(): boolean {
    return this.#link.epoch() === this.epoch && this.#clock.monotonicMs() < this.#untilMs;
  }

  /** @throws SallyportError `lease-lost` */
  check(): void {
    if (!this.held()) throw new SallyportError('lease-lost', 'the lease ended before the step it was for', { item: this.id });
  }

  /** Renews when a third of the time is over. To be called while bytes flow. */
  async keep(signal: AbortSignal): Promise<void> {
    if (this.#clock.monotonicMs() >= this.#renewAtMs) await this.#renew(signal);
  }

  /** Gives the item back; best effort. */
  async release(signal: AbortSignal): Promise<void> {
    if (this.#link.epoch() !== this.epoch) return;
    await this.#link.request('inbox.release', { id: this.id, epoch: this.epoch }, signal).catch(() => undefined);
  }

  async #renew(signal: AbortSignal): Promise<void> {
    const askedAtMs = this.#clock.monotonicMs();
    const { leaseMs } = await this.#link.request('inbox.lease', { id: this.id, epoch: this.epoch }, signal);
    this.#runs(askedAtMs, leaseMs);
  }

  #runs(askedAtMs: number, leaseMs: number): void {
    this.#untilMs = askedAtMs + leaseMs * margin;
    this.#renewAtMs = askedAtMs + leaseMs / 3;
  }
}

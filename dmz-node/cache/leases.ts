/**
 * Which items the inside holds. In memory only: a restart, a new link and the loss of the link void them all, and the epoch
 * makes sure that what an earlier link still says is not taken for the current one (reliability.md §2.5).
 *
 * The inside may hear of the loss later than we do, and be giving a file its name at that very moment. So until it is back,
 * or their time is over, items that it had leased still count as taken for everybody else.
 */
import type { Clock } from '../../shared/clock.ts';
import { SallyportError } from '../../shared/errors.ts';

export interface LeaseOptions {
  readonly leaseMs: number;
  readonly maxLeases: number;
}

interface Lease {
  until: number;
}

export class Leases {
  readonly #clock: Clock;
  readonly #options: LeaseOptions;
  readonly #leases = new Map<string, Lease>();
  #epoch: number | undefined;

  constructor(deps: { readonly clock: Clock }, options: LeaseOptions) {
    this.#clock = deps.clock;
    this.#options = options;
  }

  get leaseMs(): number {
    return this.#options.leaseMs;
  }

  /** A new link: nothing of an earlier one counts any more. */
  begin(epoch: number): void {
    this.#leases.clear();
    this.#epoch = epoch;
  }

  /** The link of this epoch is gone: nothing can be done by its leases. A later link is not touched. */
  end(epoch: number): void {
    if (epoch === this.#epoch) this.#epoch = undefined;
  }

  /** @throws SallyportError `stale-epoch` */
  checkEpoch(epoch: number): void {
    if (epoch !== this.#epoch) {
      throw new SallyportError('stale-epoch', 'the epoch is not that of the current link', { epoch, current: this.#epoch });
    }
  }

  /** Takes or renews. @throws SallyportError `stale-epoch`, `limit-reached` */
  take(id: string, epoch: number): void {
    this.checkEpoch(epoch);
    if (!this.holds(id) && this.count() >= this.#options.maxLeases) {
      throw new SallyportError('limit-reached', 'too many leases', { maxLeases: this.#options.maxLeases });
    }
    this.#leases.set(id, { until: this.#clock.monotonicMs() + this.#options.leaseMs });
  }

  /** @throws SallyportError `stale-epoch`, `lease-lost` */
  check(id: string, epoch: number): void {
    this.checkEpoch(epoch);
    if (!this.holds(id)) throw new SallyportError('lease-lost', 'no lease for this item', { item: id });
  }

  /** Bytes flow: the lease lives on. */
  renew(id: string): void {
    const lease = this.#leases.get(id);
    if (lease) lease.until = this.#clock.monotonicMs() + this.#options.leaseMs;
  }

  release(id: string): void {
    this.#leases.delete(id);
  }

  /** By the present link. */
  holds(id: string): boolean {
    return this.#epoch !== undefined && this.mayBeTaken(id);
  }

  mayBeTaken(id: string): boolean {
    const lease = this.#leases.get(id);
    return lease !== undefined && lease.until > this.#clock.monotonicMs();
  }

  /** All that may be taken. */
  ids(): string[] {
    const now = this.#clock.monotonicMs();
    for (const [id, lease] of this.#leases) if (lease.until <= now) this.#leases.delete(id);
    return [...this.#leases.keys()];
  }

  count(): number {
    return this.ids().length;
  }
}

/** Work of many partners, taken in turns, so that a flood of one delays nobody else. */
interface Work {
  readonly id: string;
  readonly partner: string;
}

export class FairQueue<T extends Work> {
  /** In the order of turns. */
  readonly #lanes = new Map<string, T[]>();

  /** Replaces what is known of each partner in `work`; who had no work yet has his turn last. */
  refill(work: readonly T[]): void {
    const lanes = Map.groupBy(work, ({ partner }) => partner);
    for (const partner of [...this.#lanes.keys()]) if (!lanes.has(partner)) this.#lanes.delete(partner);
    for (const [partner, items] of lanes) this.#lanes.set(partner, items);
  }

  get empty(): boolean {
    return this.#lanes.size === 0;
  }

  /** The first piece that `may` be begun, of the partners in turns. */
  take(may: (next: T) => boolean): T | undefined {
    for (const [partner, items] of this.#lanes) {
      if (!items[0] || !may(items[0])) continue;
      const item = items.shift();
      this.#lanes.delete(partner);
      if (items.length > 0) this.#lanes.set(partner, items);
      if (item) return item;
    }
    return undefined;
  }
}

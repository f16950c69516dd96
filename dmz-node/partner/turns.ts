/**
 * Gives each partner so many turns at once at work that all partners share, such as the records and the flushes to disk. What
 * one asks beyond that waits in a line of his own, so that a flood of one partner never becomes the queue of the others.
 *
 * The lines need no limit here: what waits is a request that its session holds, and those are limited.
 */

interface Line {
  running: number;
  readonly waiting: (() => void)[];
}

export class Turns {
  readonly #atOnce: number;
  readonly #lines = new Map<string, Line>();

  /** @param atOnce Turns of one partner at the same time. */
  constructor(atOnce: number) {
    this.#atOnce = atOnce;
  }

  /** Runs `work` when it is the partner's turn. */
  async run<T>(partner: string, work: () => Promise<T>): Promise<T> {
    const line = this.#lines.get(partner) ?? { running: 0, waiting: [] };
    this.#lines.set(partner, line);
    if (line.running < this.#atOnce) line.running += 1;
    else await new Promise<void>((go) => line.waiting.push(go));
    try {
      return await work();
    } finally {
      // The turn passes on without being free in between.
      const next = line.waiting.shift();
      if (next) next();
      else if (--line.running === 0) this.#lines.delete(partner);
    }
  }

  /** Partners with a turn under way; for tests. */
  get partners(): number {
    return this.#lines.size;
  }
}

/** What is counted apart: a download that waits for a key must not hold up an upload. */
export interface PartnerTurns {
  /** Looking, naming, and the beginning of uploads. */
  readonly names: Turns;
  /** Pages of listings, each as much work as many looks. */
  readonly listings: Turns;
  /** The beginning of downloads. */
  readonly downloads: Turns;
  /** The end of uploads, each with a flush to disk. */
  readonly endings: Turns;
}

export const partnerTurns = (): PartnerTurns => ({
  names: new Turns(8),
  listings: new Turns(2),
  downloads: new Turns(8),
  endings: new Turns(16),
});

/** Growing waits with full jitter between attempts. */
export interface BackoffOptions {
  readonly firstMs: number;
  readonly maxMs: number;
}

export class Backoff {
  readonly #options: BackoffOptions;
  readonly #random: () => number;
  #attempt = 0;

  /** @param random Numbers in [0, 1); tests pass their own. */
  constructor(options: BackoffOptions, random: () => number = Math.random) {
    this.#options = options;
    this.#random = random;
  }

  /** The next wait in milliseconds: uniform between half of the current ceiling and the ceiling. */
  nextMs(): number {
    const { firstMs, maxMs } = this.#options;
    const ceiling = Math.min(maxMs, firstMs * 2 ** Math.min(this.#attempt, 30));
    this.#attempt += 1;
    return ceiling / 2 + (this.#random() * ceiling) / 2;
  }

  reset(): void {
    this.#attempt = 0;
  }
}

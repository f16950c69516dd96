/**
 * Keeps requests in the order in which the client sent them where the order can be seen: requests on one path run one after
 * the other, and a request that touches more than its own path waits for all before it and holds back all after it.
 * Everything else runs at the same time, so that many closes can share one flush to disk.
 */
export class Lanes {
  readonly #tails = new Map<string, Promise<void>>();
  #barrier: Promise<void> | undefined;

  /** Runs `work` after every earlier request on one of these paths. */
  onPaths<T>(paths: readonly string[], work: () => Promise<T>): Promise<T> {
    const before = paths.map((path) => this.#tails.get(path));
    const { result, settled } = this.#after([this.#barrier, ...before], work);
    for (const path of paths) {
      this.#tails.set(path, settled);
      void settled.then(() => {
        if (this.#tails.get(path) === settled) this.#tails.delete(path);
      });
    }
    return result;
  }

  /** Runs `work` after every earlier request, and before every later one. */
  alone<T>(work: () => Promise<T>): Promise<T> {
    const { result, settled } = this.#after([this.#barrier, ...this.#tails.values()], work);
    this.#tails.clear();
    this.#barrier = settled;
    void settled.then(() => {
      if (this.#barrier === settled) this.#barrier = undefined;
    });
    return result;
  }

  #after<T>(before: readonly (Promise<void> | undefined)[], work: () => Promise<T>) {
    const waits = before.filter((one) => one !== undefined);
    const result = waits.length === 0 ? work() : Promise.all(waits).then(work);
    return { result, settled: result.then(ignore, ignore) };
  }
}

const ignore = (): void => undefined;

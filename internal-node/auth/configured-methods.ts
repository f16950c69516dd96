/**
 * Methods that the configuration describes, of one kind. One whose settings changed is made anew, with the budgets of its users;
 * what runs on the old one ends by itself.
 */
import type { LoginMethod } from './login-method.ts';

interface Made {
  /** Its settings, as text. */
  readonly of: string;
  readonly name: string;
  readonly method: LoginMethod & { close(): Promise<void> };
}

export interface ConfiguredMethodsDeps<O extends { readonly name: string }> {
  /** As the configuration has them now. */
  readonly options: () => readonly O[];
  readonly make: (options: O) => Made['method'];
}

export class ConfiguredMethods<O extends { readonly name: string }> {
  readonly #deps: ConfiguredMethodsDeps<O>;
  #made: readonly Made[] = [];

  constructor(deps: ConfiguredMethodsDeps<O>) {
    this.#deps = deps;
  }

  /** By name. */
  methods(): ReadonlyMap<string, LoginMethod> {
    const before = this.#made;
    this.#made = this.#deps.options().map((options) => {
      const of = JSON.stringify(options);
      return before.find((made) => made.of === of) ?? { of, name: options.name, method: this.#deps.make(options) };
    });
    for (const old of before) if (!this.#made.includes(old)) void old.method.close();
    return new Map(this.#made.map(({ name, method }) => [name, method]));
  }

  async close(): Promise<void> {
    const all = this.#made;
    this.#made = [];
    await Promise.all(all.map(({ method }) => method.close()));
  }
}

/**
 * The directories of the configuration as methods. One whose settings changed is made anew, with the budgets of its users; what
 * runs on the old one ends by itself.
 */
import type { LoginMethod } from '../login-method.ts';
import { DirectoryLogins, type DirectoryLoginsDeps } from './directory-logins.ts';
import type { DirectoryOptions } from './directory-options.ts';

export class Directories {
  readonly #deps: DirectoryLoginsDeps & { readonly options: () => readonly DirectoryOptions[] };
  #made: { readonly of: string; readonly method: DirectoryLogins; readonly name: string }[] = [];

  constructor(deps: DirectoryLoginsDeps & { readonly options: () => readonly DirectoryOptions[] }) {
    this.#deps = deps;
  }

  /** By name, as the configuration has them now. */
  methods(): ReadonlyMap<string, LoginMethod> {
    const before = this.#made;
    this.#made = this.#deps.options().map((options) => {
      const of = JSON.stringify(options);
      const kept = before.find((made) => made.of === of);
      return kept ?? { of, name: options.name, method: new DirectoryLogins(this.#deps, options) };
    });
    for (const old of before) if (!this.#made.includes(old)) void old.method.close();
    return new Map(this.#made.map(({ name, method }) => [name, method]));
  }

  async close(): Promise<void> {
    await Promise.all(this.#made.splice(0).map(({ method }) => method.close()));
  }
}

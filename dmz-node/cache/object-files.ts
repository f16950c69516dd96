/**
 * Where the bytes are: `objects/<first two>/<object>.<segment>` under the state folder. Names are random ids of our own;
 * nothing a partner says is ever part of a path.
 */
import { constants } from 'node:fs';
import { mkdir, open, readdir, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { SallyportError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';

const letters = [...'abcdefghijklmnopqrstuvwxyz234567'];
export const objectFilePattern = /^([a-z2-7]{26})\.(\d{1,6})$/;

/** All first-two-letter folders. */
export const prefixes: readonly string[] = letters.flatMap((a) => letters.map((b) => a + b));

export class ObjectFiles {
  readonly #folder: string;
  readonly #log: Logger;
  readonly #unlinking = new Set<Promise<void>>();

  constructor(deps: { readonly log: Logger }, options: { readonly folder: string }) {
    this.#log = deps.log;
    this.#folder = options.folder;
  }

  /** Path of `<object>.<segment>`. */
  path(file: string): string {
    if (!objectFilePattern.test(file)) throw new SallyportError('internal', 'not the name of an object file');
    return join(this.#folder, 'objects', file.slice(0, 2), file);
  }

  folderOf(prefix: string): string {
    return join(this.#folder, 'objects', prefix);
  }

  /**
   * Makes all folders and tries whether a flush works, before anything is accepted.
   * @throws SallyportError `store-suspect`
   */
  async prepare(): Promise<void> {
    const objects = join(this.#folder, 'objects');
    await mkdir(objects, { recursive: true, mode: 0o700 });
    await mkdir(join(this.#folder, 'quarantine'), { recursive: true, mode: 0o700 });
    const present = new Set(await readdir(objects));
    for (const prefix of prefixes) if (!present.has(prefix)) await mkdir(join(objects, prefix), { mode: 0o700 });
    try {
      await flush(objects);
      await flush(this.#folder);
    } catch (cause) {
      throw new SallyportError('store-suspect', `the state folder ${this.#folder} cannot be flushed`, {}, { cause });
    }
  }

  /** Lets go of files whose removal is recorded. Recovery finishes what a stop leaves undone. */
  discard(files: readonly string[]): void {
    if (files.length === 0) return;
    const work: Promise<void> = this.#unlinkAll(files).finally(() => this.#unlinking.delete(work));
    this.#unlinking.add(work);
  }

  /** Resolves when everything discarded so far is unlinked. */
  async settled(): Promise<void> {
    await Promise.all(this.#unlinking);
  }

  async setAside(file: string): Promise<void> {
    await rename(this.path(file), join(this.#folder, 'quarantine', file));
    await flush(join(this.#folder, 'quarantine'));
  }

  async #unlinkAll(files: readonly string[]): Promise<void> {
    for (const file of files) {
      try {
        await unlink(this.path(file));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') this.#log.warn({ err: error, file }, 'a file was not unlinked');
      }
    }
  }
}

/** Flushes a folder or a file. */
export async function flush(path: string): Promise<void> {
  const handle = await open(path, constants.O_RDONLY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * A program as a destination: it gets the opened file, and has it when it ends with exit code 0. Off unless the main
 * configuration names it; rules choose among what is named there and bring no words of their own.
 *
 * The last argument is the path of the file, behind `--`. The file lies alone in a private folder, under the name that it
 * would have at a folder destination. A crash in the middle of a run runs the program again, with the same item in
 * `SALLYPORT_ITEM`: programs that may not do a thing twice must look.
 */
import { lstatSync } from 'node:fs';
import { type FileHandle, link, mkdir, rename, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../shared/clock.ts';
import { SallyportError } from '../../shared/errors.ts';
import { isId } from '../../shared/ids.ts';
import { printable } from '../../shared/log.ts';
import type { DeliveryTarget, Destination, DraftFacts, Published } from '../destination.ts';
import { entryOf, unavailable } from '../folder-walk.ts';
import { Drafts, proofOf, removeProof, standingOf } from './drafts.ts';
import { type ProgramResult, runProgram } from './run-program.ts';

export interface ProgramOptions {
  readonly name: string;
  /** Absolute path of the program, then its arguments. */
  readonly command: readonly string[];
  /** Absolute path of a folder for it alone; made when it is missing. */
  readonly folder: string;
  readonly timeoutMs: number;
  /** Runs at the same time; others wait for their turn. */
  readonly concurrent: number;
  /** Bytes of its output that are reported. */
  readonly outputBytes: number;
}

export const programDefaults = { timeoutMs: 30_000, concurrent: 2, outputBytes: 4096 } as const;

export interface ProgramReport extends ProgramResult {
  readonly program: string;
  readonly item: string;
  readonly ranMs: number;
}

export interface ProgramDeps {
  readonly clock: Clock;
  /** Told of every run, before its outcome counts. */
  readonly report: (run: ProgramReport) => Promise<void>;
}

const searchPath = '/usr/local/bin:/usr/bin:/bin';

export class ProgramDestination implements Destination {
  readonly name: string;
  readonly #deps: ProgramDeps;
  readonly #options: ProgramOptions;
  readonly #drafts: Drafts;
  /** Who waits for his turn, first come first served. */
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(deps: ProgramDeps, options: ProgramOptions) {
    this.name = options.name;
    this.#deps = deps;
    this.#options = options;
    this.#drafts = new Drafts(options.folder);
  }

  async space(): Promise<{ freeBytes: number; totalBytes: number }> {
    await this.#makeFolder();
    const { bavail, blocks, bsize } = await statfs(this.#options.folder).catch((cause: unknown) => {
      throw unavailable('the folder of the program cannot be looked at', cause);
    });
    return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
  }

  async stage(item: string): Promise<string> {
    await this.#makeFolder();
    return await this.#drafts.stage(item);
  }

  draftPath(item: string): string {
    return this.#drafts.path(item);
  }

  keep(item: string): Promise<DraftFacts> {
    return this.#drafts.keep(item);
  }

  async discard(item: string): Promise<void> {
    await rm(this.#runFolder(item), { recursive: true, force: true });
    await this.#drafts.discard(item);
  }

  forget(item: string): Promise<void> {
    return this.#drafts.forget(item);
  }

  drafts(): Promise<readonly string[]> {
    return this.#drafts.all();
  }

  async plan({ partner, components }: DeliveryTarget): Promise<string> {
    const all = [...(partner === undefined ? [] : [partner]), ...components];
    if (all.length === 0 || all.some((part) => part === '' || part === '.' || part === '..' || /[/\0]/.test(part))) {
      throw new SallyportError('internal', 'a component of a path must be one plain name');
    }
    return all.join('/');
  }

  /** Runs the program. @throws SallyportError `program-failed` unless it ends with exit code 0 in its time. */
  async publish(item: string, facts: DraftFacts, file: string, allowed: () => void): Promise<Published> {
    using _turn = await this.#turn();
    await using staging = await this.#drafts.enter();
    const draft = entryOf(staging.folder, item);
    const folder = this.#runFolder(item);
    const path = join(folder, file.slice(file.lastIndexOf('/') + 1));
    try {
      await this.#layOut(draft, path, folder, facts);
      allowed();
      await this.#run(item, file, path, folder);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
    try {
      await rename(draft, proofOf(staging.folder, item));
      await staging.sync();
    } catch (cause) {
      throw unavailable('the end of the program cannot be made durable', cause);
    }
    return 'published';
  }

  async standing(item: string, facts: DraftFacts): Promise<'draft' | 'published' | 'missing'> {
    await using staging = await this.#drafts.enter();
    const { draft, hasProof } = await standingOf(staging, item, facts);
    // A run that a crash cut short left its folder behind.
    await rm(this.#runFolder(item), { recursive: true, force: true });
    if (!draft) return hasProof ? 'published' : 'missing';
    await removeProof(staging.folder, item);
    return 'draft';
  }

  open(file: string): Promise<FileHandle> {
    return Promise.reject(new SallyportError('no-such-file', 'a program has the file', { file }));
  }

  async #layOut(draft: string, path: string, folder: string, { inode }: DraftFacts): Promise<void> {
    try {
      await rm(folder, { recursive: true, force: true });
      await mkdir(folder, { recursive: true, mode: 0o700 });
      await link(draft, path);
      if (String(lstatSync(path, { bigint: true }).ino) !== inode) throw unavailable('the draft is not ours any more');
    } catch (cause) {
      throw unavailable('the file cannot be given to the program', cause);
    }
  }

  async #run(item: string, file: string, path: string, folder: string): Promise<void> {
    const { clock, report } = this.#deps;
    const { name, command, timeoutMs, outputBytes } = this.#options;
    const environment = {
      ...{ PATH: searchPath, LANG: 'C.UTF-8', HOME: folder },
      ...{ SOURCE_PATH: path, SALLYPORT_FILE: file, SALLYPORT_ITEM: item },
    };
    const beganMs = clock.monotonicMs();
    const run = { command: [...command, '--', path], folder, environment, timeoutMs, outputBytes };
    const result = await runProgram(run, clock);
    await report({ ...result, program: name, item, ranMs: Math.round(clock.monotonicMs() - beganMs) });
    if (result.succeeded) return;
    const said = result.output.trim().split('\n').at(-1) ?? '';
    const detail = `the program ended with ${printable(result.outcome)}${said === '' ? '' : `: ${printable(said, 200)}`}`;
    throw new SallyportError('program-failed', detail, { program: name });
  }

  async #turn(): Promise<Disposable> {
    if (this.#running < this.#options.concurrent) this.#running += 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    // A turn that ends goes to the next in line without becoming free.
    const end = (): void => {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#running -= 1;
    };
    return { [Symbol.dispose]: end };
  }

  #runFolder(item: string): string {
    if (!isId(item)) throw new SallyportError('internal', 'runs are named after item ids');
    return join(this.#options.folder, 'run', item);
  }

  async #makeFolder(): Promise<void> {
    await mkdir(this.#options.folder, { recursive: true, mode: 0o700 }).catch((cause: unknown) => {
      throw unavailable('the folder of the program cannot be made', cause);
    });
  }
}

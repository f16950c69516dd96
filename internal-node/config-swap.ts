/**
 * Puts the files of another configuration in the place of those in use, and back. What was there before is kept on disk, and
 * noted before anything is changed, so that a crash at any moment leaves either the old files or the new ones with a way back.
 *
 * Nothing is checked or loaded here. `recover` has to run before the configuration is read at start-up.
 */
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { z } from 'zod';
import { flushFolder, replaceFile } from '../shared/config/write-file.ts';
import { SallyportError } from '../shared/errors.ts';

/** Paths are relative to the folder of the main file. */
const noteSchema = z.strictObject({
  format: z.literal(1),
  /** `copying`: the files may be a mix. `waiting`: the new ones are there until they are confirmed, or their time is over. */
  phase: z.enum(['copying', 'waiting']),
  appliedAtMs: z.number(),
  /** Null: they stay as soon as they are in force. */
  deadlineMs: z.number().nullable(),
  /** Files that are kept in `before`. */
  kept: z.array(z.string()),
  /** Files that were not there before. */
  made: z.array(z.string()),
});
type Note = z.infer<typeof noteSchema>;

/** A configuration that nobody has confirmed yet. */
export interface Unconfirmed {
  readonly appliedAtMs: number;
  readonly deadlineMs: number;
}

export interface SwapOptions {
  /** The main file, absolute. */
  readonly configFile: string;
  /** Of the node; `apply/` is made in it. */
  readonly stateFolder: string;
}

export class ConfigSwap {
  readonly #folder: string;
  readonly #own: string;

  constructor({ configFile, stateFolder }: SwapOptions) {
    this.#folder = dirname(configFile);
    this.#own = join(stateFolder, 'apply');
  }

  /** Where a configuration is gathered before it is put in place: what is checked is what is copied. */
  get gathered(): string {
    return join(this.#own, 'gathered');
  }

  /** Copies files of another folder together, in place of whatever was gathered before. What was put in place by halves goes back first. */
  async gather(from: string, files: readonly string[]): Promise<void> {
    if (!(await this.unconfirmed())) await this.rollBack();
    await rm(this.gathered, { recursive: true, force: true });
    await mkdir(this.gathered, { recursive: true, mode: 0o700 });
    for (const file of files) await this.#copy(join(from, file), join(this.gathered, file));
  }

  /** What was gathered is not wanted. */
  async discard(): Promise<void> {
    await rm(this.gathered, { recursive: true, force: true });
  }

  /**
   * Puts the gathered files in place.
   * @param files Of the new configuration. @param before Of the one in use; those that the new one lacks are removed.
   * @param deadlineMs When they go back unless they are confirmed; null: they stay once `keep` says so.
   * @throws SallyportError `already-exists` while another configuration waits to be confirmed; or why a file cannot be written:
   *   the files of before are in place then, or go back before the next ones are gathered.
   */
  async put(files: readonly string[], before: readonly string[], nowMs: number, deadlineMs: number | null): Promise<void> {
    if (await this.unconfirmed()) {
      throw new SallyportError('already-exists', 'a configuration waits to be confirmed', {
        next: 'sallyport apply --confirm keeps it, sallyport apply --roll-back takes it back',
      });
    }
    const kept = join(this.#own, 'before');
    await rm(kept, { recursive: true, force: true });
    const touched = [...new Set([...before, ...files])];
    const present = touched.filter((file) => before.includes(file));
    for (const file of present) await this.#copy(join(this.#folder, file), join(kept, file));
    const made = touched.filter((file) => !before.includes(file));
    const note: Note = { format: 1, phase: 'copying', appliedAtMs: nowMs, deadlineMs, kept: present, made };
    await this.#note(note);
    try {
      for (const file of files) await this.#copy(join(this.gathered, file), join(this.#folder, file));
      for (const file of before.filter((name) => !files.includes(name))) await remove(join(this.#folder, file));
      await this.#note({ ...note, phase: 'waiting' });
    } catch (error) {
      // What cannot be undone now keeps its note: it is undone before the next one, or at the next start.
      await this.rollBack().catch(() => false);
      throw error;
    }
  }

  /** What was put in place without a deadline is in force: it stays. */
  async keep(): Promise<void> {
    await this.#forget();
  }

  /** The configuration that waits to be confirmed, if there is one. */
  async unconfirmed(): Promise<Unconfirmed | undefined> {
    const note = await this.#read();
    if (note?.phase !== 'waiting' || note.deadlineMs === null) return undefined;
    return { appliedAtMs: note.appliedAtMs, deadlineMs: note.deadlineMs };
  }

  /** The files stay. @returns false when nothing waited. */
  async confirm(): Promise<boolean> {
    const waited = (await this.unconfirmed()) !== undefined;
    if (waited) await this.#forget();
    return waited;
  }

  /** The files of before are back when it resolves. @returns false when there is no way back any more. */
  async rollBack(): Promise<boolean> {
    const note = await this.#read();
    if (!note) return false;
    for (const file of note.kept) await this.#restore(join(this.#own, 'before', file), join(this.#folder, file));
    for (const file of note.made) await remove(join(this.#folder, file));
    await this.#forget();
    return true;
  }

  /** At start-up. @returns why the files of before were put back, if they were. */
  async recover(nowMs: number): Promise<string | undefined> {
    const note = await this.#read();
    if (!note || (note.phase === 'waiting' && note.deadlineMs !== null && nowMs < note.deadlineMs)) return undefined;
    await this.rollBack();
    return note.phase === 'copying' || note.deadlineMs === null
      ? 'the node stopped while it was put in place'
      : 'it was not confirmed in time';
  }

  async #read(): Promise<Note | undefined> {
    const text = await readFile(join(this.#own, 'note.json'), 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    });
    return text === undefined ? undefined : noteSchema.parse(JSON.parse(text));
  }

  async #note(note: Note): Promise<void> {
    await replaceFile(join(this.#own, 'note.json'), JSON.stringify(note));
  }

  async #forget(): Promise<void> {
    await rm(join(this.#own, 'note.json'), { force: true });
    await flushFolder(this.#own);
    // Hashes of passwords: no longer than they are needed.
    for (const name of ['before', 'gathered']) await rm(join(this.#own, name), { recursive: true, force: true });
  }

  /** A folder that cannot be written to must not keep back a file that was never changed. */
  async #restore(from: string, to: string): Promise<void> {
    const [before, now] = [await readFile(from), await readFile(to).catch(() => undefined)];
    if (now === undefined || !before.equals(now)) await this.#copy(from, to);
  }

  async #copy(from: string, to: string): Promise<void> {
    await mkdir(dirname(to), { recursive: true, mode: 0o700 });
    await replaceFile(to, await readFile(from, 'utf8'));
  }
}

async function remove(file: string): Promise<void> {
  await rm(file, { force: true });
  if (await readdir(dirname(file)).catch(() => undefined)) await flushFolder(dirname(file));
}

/** Paths of files below a folder, as they are named in it. @throws SallyportError `usage` for one that lies elsewhere. */
export function namesBelow(folder: string, files: readonly string[]): readonly string[] {
  return files.map((file) => {
    const name = relative(folder, file);
    if (name.startsWith('..')) throw new SallyportError('usage', `${file} is not below ${folder}`);
    return name;
  });
}

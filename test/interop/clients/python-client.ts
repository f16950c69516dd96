/**
 * Clients that are Python libraries: a small program of ours uses each as its manual says. It reads one job a line and
 * answers one line, so that a whole matrix costs one start of Python.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { createInterface, type Interface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { Client, Door, Outcome, Step } from './client.ts';

export interface PythonClient extends Pick<Client, 'name' | 'id' | 'packages' | 'lacks'> {
  /** Beside this file. */
  readonly program: string;
}

export function pythonClient({ program, ...client }: PythonClient): Client {
  let helper: Helper | undefined;
  const ask = (job: object): Promise<Outcome> => {
    helper ??= new Helper(program);
    return helper.ask(job);
  };
  return {
    ...client,
    protocol: 'sftp',
    run: (door: Door, steps: readonly Step[]) => ask({ door, steps, together: false }),
    together: (door: Door, steps: readonly Step[]) => ask({ door, steps, together: true }),
    close: async () => {
      await helper?.end();
      helper = undefined;
    },
  };
}

class Helper {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: Interface;
  readonly #waiting: ((line: string | undefined) => void)[] = [];

  constructor(program: string) {
    const file = fileURLToPath(new URL(program, import.meta.url));
    // Debian's own, which has the libraries, whatever stands first in the path.
    this.#child = spawn('/usr/bin/python3', ['-W', 'ignore', file], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#lines = createInterface({ input: this.#child.stdout });
    this.#lines.on('line', (line) => this.#waiting.shift()?.(line));
    this.#child.once('close', () => {
      for (const wait of this.#waiting.splice(0)) wait(undefined);
    });
    this.#child.stdin.on('error', () => undefined);
  }

  async ask(job: object): Promise<Outcome> {
    const line = await new Promise<string | undefined>((done) => {
      this.#waiting.push(done);
      this.#child.stdin.write(`${JSON.stringify(job)}\n`);
    });
    if (line === undefined) throw new Error('the Python program ended before its answer');
    return JSON.parse(line) as Outcome;
  }

  async end(): Promise<void> {
    const gone = new Promise((done) => this.#child.once('close', done));
    this.#child.stdin.end();
    await gone;
  }
}

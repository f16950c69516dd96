/**
 * A real node as a process, watched from outside while something hostile talks to it: every file around it, its memory, its
 * log and audit trail, every connection it opens and every program it starts (as the kernel saw them, by strace).
 */
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { lstat, mkdir, readdir, readFile, readlink, realpath, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { commands, type Site } from '../../scripts/site/site.ts';
import { eventually, sha256 } from '../../scripts/site/walk.ts';
import { firstBrokenLine } from '../../shared/events/audit-trail.ts';
import { StaffDoorProcess } from '../fixtures/staff-door-process.ts';

export interface AuditedEvent {
  readonly name: string;
  readonly item?: string;
  readonly [field: string]: unknown;
}

/** The state at one moment, to compare with. */
export interface Mark {
  readonly audit: string;
  readonly rssBytes: number;
  readonly files: ReadonlyMap<string, string>;
}

export interface WatchedOptions {
  readonly site: Site;
  readonly kind: 'dmz' | 'internal';
  /** Everything in here is compared, so the site should lie some folders deep in it. */
  readonly outer: string;
  /** Files that may come, go and change, as paths below `outer`; what is in them is for the test to judge. */
  readonly mayChange: (path: string) => boolean;
}

interface Running {
  readonly tracer: ChildProcess;
  readonly pid: number;
  readonly door: StaffDoorProcess | undefined;
}

const mebibyte = 1024 * 1024;
const most = 64 * mebibyte;
/** Everything that could drive a terminal or forge a line (the rule of `printable`). */
export const unprintable = /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/u;

export class WatchedNode implements AsyncDisposable {
  readonly pid: number;
  readonly #options: WatchedOptions;
  readonly #tracer: ChildProcess;
  readonly #door: StaffDoorProcess | undefined;
  readonly #traceFile: string;
  readonly #logFile: string;
  #traceRead = 0;
  #usualBytes = 0;

  private constructor(options: WatchedOptions, running: Running, files: { trace: string; log: string }) {
    this.#options = options;
    this.#tracer = running.tracer;
    this.#door = running.door;
    this.pid = running.pid;
    this.#traceFile = files.trace;
    this.#logFile = files.log;
  }

  static async start(options: WatchedOptions): Promise<WatchedNode> {
    const { site, kind, outer } = options;
    const files = { trace: join(outer, `${kind}.strace`), log: join(outer, `${kind}.log`) };
    const cwd = join(outer, 'cwd');
    await mkdir(cwd, { recursive: true });
    await writeFile(files.trace, '');
    const calls = 'trace=connect,bind,listen,execve,execveat';
    const strace = ['-f', '--seccomp-bpf', '-qq', '-e', calls, '-e', 'signal=none', '-s', '200', '-o', files.trace];
    const part = kind === 'internal' ? ['agent'] : [];
    const tracer = spawn('strace', [...strace, ...commands[kind], 'serve', ...part, '--config', site[kind].config], {
      cwd,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const door = kind === 'internal' ? await StaffDoorProcess.start(site) : undefined;
    const log = createWriteStream(files.log, { mode: 0o600 });
    tracer.stdout?.pipe(log, { end: false });
    tracer.stderr?.pipe(log, { end: false });
    const pid = await eventually('the node has a process', async () => {
      const children = await readFile(`/proc/${tracer.pid}/task/${tracer.pid}/children`, 'utf8');
      for (const child of children.trim().split(' ').map(Number)) {
        // strace forks for itself first, under its own command line.
        if ((await readlink(`/proc/${child}/exe`)) === (await realpath(process.execPath))) return child;
      }
      return undefined;
    });
    return new WatchedNode(options, { tracer, pid, door }, files);
  }

  get alive(): boolean {
    return this.#tracer.exitCode === null && this.#tracer.signalCode === null;
  }

  /** What to compare with after an attack. Peak memory is counted from here. */
  async mark(): Promise<Mark> {
    await writeFile(`/proc/${this.pid}/clear_refs`, '5');
    const rssBytes = Math.max(this.#usualBytes, await this.#memory('VmRSS'));
    return { audit: await this.audit(), rssBytes, files: await this.files() };
  }

  /** What was done so far was honest: the memory it took is what the node usually takes, garbage of its buffers included. */
  async noteUsualMemory(): Promise<void> {
    this.#usualBytes = await this.#memory('VmHWM');
  }

  /** Lines of the audit trail, oldest first, as one text. */
  async audit(): Promise<string> {
    const folder = join(this.#options.site[this.#options.kind].state, 'audit');
    const days = (await readdir(folder)).sort();
    return (await Promise.all(days.map((day) => readFile(join(folder, day), 'utf8')))).join('');
  }

  /** Events that were recorded after the mark. */
  async since(mark: Mark): Promise<AuditedEvent[]> {
    const lines = (await this.audit()).slice(mark.audit.length).split('\n').slice(0, -1);
    return lines.map((line) => JSON.parse(line) as AuditedEvent);
  }

  /** Waits for at least `count` events of a name after the mark that fit. */
  async heard(mark: Mark, name: string, count = 1, fits: (event: AuditedEvent) => boolean = () => true): Promise<AuditedEvent[]> {
    let found: AuditedEvent[] = [];
    const enough = async (): Promise<true | undefined> => {
      found = (await this.since(mark)).filter((event) => event.name === name && fits(event));
      return found.length >= count ? true : undefined;
    };
    await eventually(`${count} × ${name}`, enough).catch((error: unknown) => {
      throw new Error(`${String(error)}; there are ${found.length}`);
    });
    return found;
  }

  log(): Promise<string> {
    return readFile(this.#logFile, 'utf8');
  }

  /** Output of a command of this node, also when it fails. */
  ask(...args: readonly string[]): Promise<string> {
    const { site, kind } = this.#options;
    const [node, ...main] = commands[kind];
    return new Promise((resolve) => {
      execFile(node, [...main, ...args, '--config', site[kind].config], (_error, out, err) => resolve(out + err));
    });
  }

  /** Every file below `outer` that may not change, with its kind, mode and content. */
  async files(): Promise<Map<string, string>> {
    const { outer, mayChange } = this.#options;
    const found = new Map<string, string>();
    for (const entry of await readdir(outer, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      const name = path.slice(outer.length + 1);
      if (path === this.#traceFile || path === this.#logFile || mayChange(name)) continue;
      found.set(name, await describeFile(path));
    }
    return found;
  }

  /** What must hold after whatever was tried. */
  async assertUnharmed(mark: Mark): Promise<void> {
    assert.ok(this.alive, 'the same process runs');
    const peak = await this.#memory('VmHWM');
    assert.ok(peak - mark.rssBytes < most, `memory rose by ${Math.round((peak - mark.rssBytes) / mebibyte)} MiB`);
    assert.deepEqual(difference(mark.files, await this.files()), [], 'nothing was written where it does not belong');
    const audit = await this.audit();
    assert.ok(audit.startsWith(mark.audit), 'what was recorded stays recorded');
    assert.equal(firstBrokenLine(audit.split('\n').slice(0, -1)), undefined, 'the audit chain holds');
    for (const text of [audit, await this.log()]) {
      const bad = text.split('\n').find((line) => unprintable.test(line));
      assert.equal(bad, undefined, 'no control or bidi character in the log or the audit trail');
    }
  }

  /**
   * System calls since the last time that open a connection, listen or start a program.
   * @param known Those that belong to the node's work.
   */
  async strangeCalls(known: (call: string) => boolean): Promise<string[]> {
    const text = (await readFile(this.#traceFile, 'utf8')).slice(this.#traceRead);
    const whole = text.slice(0, text.lastIndexOf('\n') + 1);
    this.#traceRead += whole.length;
    const calls = whole.split('\n').filter((line) => /\b(connect|bind|listen|execve|execveat)\(/.test(line));
    return calls.filter((call) => !known(call));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#door?.[Symbol.asyncDispose]();
    if (!this.alive) return;
    const gone = new Promise((resolve) => this.#tracer.once('exit', resolve));
    const tell = (signal: NodeJS.Signals): void => {
      // strace is the parent and still there: the number cannot be another's.
      if (this.alive) process.kill(this.pid, signal);
    };
    tell('SIGTERM');
    const cut = setTimeout(() => tell('SIGKILL'), 5000);
    await gone;
    clearTimeout(cut);
  }

  async #memory(field: 'VmRSS' | 'VmHWM'): Promise<number> {
    const status = await readFile(`/proc/${this.pid}/status`, 'utf8');
    return Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(status)?.[1]) * 1024;
  }
}

async function describeFile(path: string): Promise<string> {
  const facts = await lstat(path);
  const mode = facts.mode.toString(8);
  if (facts.isSymbolicLink()) return `${mode} → ${await readlink(path)}`;
  return facts.isFile() ? `${mode} ${sha256(await readFile(path))}` : mode;
}

function difference(before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): string[] {
  const gone = [...before.keys()].filter((name) => !after.has(name)).map((name) => `- ${name}`);
  const changed = [...after].filter(([name, facts]) => before.get(name) !== facts).map(([name]) => `+ ${name}`);
  return [...gone, ...changed];
}

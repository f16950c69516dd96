/**
 * Runs one program: without a shell, with nothing of this process's environment, for a limited time. Whatever it started
 * ends with it, and of what it writes only the beginning is kept, however much it is.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Clock } from '../../shared/clock.ts';

export interface ProgramRun {
  /** Absolute path of the program, then its arguments. */
  readonly command: readonly string[];
  readonly folder: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  /** Bytes of its output that are kept. */
  readonly outputBytes: number;
}

export interface ProgramResult {
  /** `exit 0`, `signal SIGSEGV`, `timeout`, or why it could not be started. */
  readonly outcome: string;
  readonly succeeded: boolean;
  /** The beginning of what it wrote to both of its outputs. */
  readonly output: string;
}

/** Between asking the programs to end and ending them. */
const graceMs = 500;

/** @returns when the program ended, or was told to in a way that it cannot refuse; so was its process group. Never rejects. */
export async function runProgram(run: ProgramRun, clock: Clock): Promise<ProgramResult> {
  const [file = '', ...args] = run.command;
  const kept = new Kept(run.outputBytes);
  const ended = Promise.withResolvers<string>();
  let child: ChildProcess;
  try {
    child = spawn(file, args, {
      cwd: run.folder,
      env: run.environment,
      // Its own process group: a signal to it reaches whatever the program started.
      detached: true,
      shell: false,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  } catch (error) {
    return { outcome: `not started: ${String(error)}`, succeeded: false, output: '' };
  }
  child.on('error', (error) => ended.resolve(`not started: ${error.message}`));
  child.on('exit', (code, signal) => ended.resolve(signal === null ? `exit ${code}` : `signal ${signal}`));
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (bytes: Buffer) => kept.add(bytes));
    stream?.on('error', () => {});
  }
  const timer = Promise.withResolvers<'timeout'>();
  const cancel = clock.after(run.timeoutMs, () => timer.resolve('timeout'));
  const outcome = await Promise.race([ended.promise, timer.promise]);
  cancel();
  if (outcome === 'timeout' && child.exitCode === null && child.signalCode === null) {
    signalGroup(child, 'SIGTERM');
    const late = Promise.withResolvers<string>();
    const cancelGrace = clock.after(graceMs, () => late.resolve(''));
    await Promise.race([ended.promise, late.promise]);
    cancelGrace();
  }
  // Also after a good end: nothing that it started may go on.
  signalGroup(child, 'SIGKILL');
  child.stdout?.destroy();
  child.stderr?.destroy();
  return { outcome, succeeded: outcome === 'exit 0', output: kept.text() };
}

function signalGroup({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // Nobody is left in the group.
  }
}

/** The beginning of a flow of bytes. */
class Kept {
  readonly #most: number;
  readonly #parts: Buffer[] = [];
  #bytes = 0;

  constructor(most: number) {
    this.#most = most;
  }

  add(bytes: Buffer): void {
    const room = this.#most - this.#bytes;
    if (room <= 0) return;
    this.#parts.push(Buffer.from(bytes.subarray(0, room)));
    this.#bytes += Math.min(room, bytes.length);
  }

  text(): string {
    return Buffer.concat(this.#parts).toString('utf8');
  }
}

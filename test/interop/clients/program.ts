/** Runs a client program to its end, with a limit: one that hangs is killed and counts as failed. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { run } from '../../fixtures/openssh.ts';

export interface Ended {
  readonly ok: boolean;
  readonly out: string;
  /** Both streams, for people. */
  readonly output: string;
}

export interface ProgramOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
  /** 5 GiB at a slow client's pace, and more. */
  readonly seconds?: number;
}

export async function runProgram(program: string, args: readonly string[], options: ProgramOptions = {}): Promise<Ended> {
  const { env = {}, input = '', seconds = 900 } = options;
  const limited = ['--kill-after=5', String(seconds), program, ...args];
  const { code, out, err } = await run('timeout', limited, { LC_ALL: 'C.UTF-8', TZ: 'UTC', ...env }, input);
  return { ok: code === 0, out, output: out + err };
}

/** Runs a client program until `when` resolves, then ends it as its user does with ^C. */
export async function interrupted(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  when: () => Promise<void>,
): Promise<void> {
  const child = spawn(program, args, { env: { ...process.env, ...env }, stdio: 'ignore' });
  const ended = once(child, 'close');
  try {
    await when();
  } finally {
    child.kill('SIGINT');
    await ended;
  }
}

/**
 * Something that happens to the system calls of one thread of a running node: it is killed right before one, or the call fails.
 * strace counts calls for each thread apart; with one thread in the pool the N-th call of a thread is the same one each time.
 */
import { spawn } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { eventually } from '../../scripts/site/walk.ts';

/** `records`: SQLite and the audit trail · `seal`: contents · `libuv-worker`: other files · `MainThread`: the step that publishes. */
export const threads = ['records', 'seal', 'libuv-worker', 'MainThread'] as const;
export type Thread = (typeof threads)[number];

export const calls = [
  'fdatasync',
  'fsync',
  'pwrite64',
  'pwritev',
  'openat',
  'rename',
  'link',
  'unlink',
  'mkdir',
  'rmdir',
  'ftruncate',
] as const;
export type Call = (typeof calls)[number];

/** Prefix of the command of a node. */
export const onePoolThread = ['env', 'UV_THREADPOOL_SIZE=1'] as const;

export interface Injection {
  readonly thread: Thread;
  readonly call: Call;
  /** In the words of strace: `signal=KILL:when=2`, `error=EIO`. */
  readonly what: string;
}

/** Attaches to a thread of a process until it is disposed of, or the process is gone. */
export async function inject(pid: number, { thread, call, what }: Injection): Promise<AsyncDisposable> {
  const tid = await threadOf(pid, thread);
  const strace = spawn('strace', ['-qq', '-o', '/dev/null', '-p', tid, '-e', `trace=${call}`, '-e', `inject=${call}:${what}`], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const isOver = (): boolean => strace.exitCode !== null || strace.signalCode !== null;
  await eventually('strace is attached', async () => {
    // Something may have been under way: then the node is dead already.
    if (isOver()) return true;
    const status = await readFile(`/proc/${pid}/task/${tid}/status`, 'utf8');
    return /^TracerPid:\s+[1-9]/m.test(status) || undefined;
  });
  return {
    [Symbol.asyncDispose]: async () => {
      if (isOver()) return;
      const gone = new Promise((resolve) => strace.once('exit', resolve));
      strace.kill('SIGINT');
      await gone;
    },
  };
}

async function threadOf(pid: number, name: string): Promise<string> {
  return await eventually(`thread ${name} of ${pid}`, async () => {
    for (const tid of await readdir(`/proc/${pid}/task`)) {
      if ((await readFile(`/proc/${pid}/task/${tid}/comm`, 'utf8')).trim() === name) return tid;
    }
    return undefined;
  });
}

/** What the kernel holds a process to, from /proc: user, capabilities, seccomp, no-new-privileges; thread by thread. */
import { readdir, readFile, readlink } from 'node:fs/promises';

export interface ThreadFacts {
  readonly tid: number;
  readonly name: string;
  readonly uid: number;
  /** 0 none, 1 strict, 2 a filter is in force. */
  readonly seccomp: number;
  readonly noNewPrivileges: boolean;
}

export interface ProcessFacts {
  readonly pid: number;
  /** What it does: `node`, or the part of a node it is. */
  readonly part: string;
  readonly threads: readonly ThreadFacts[];
  /** `net:[4026531840]`: which network it lives in. */
  readonly network: string;
}

/** @throws when the process is gone or belongs to another user. */
export async function readProcess(pid: number, part: string): Promise<ProcessFacts> {
  const threads: ThreadFacts[] = [];
  for (const tid of await readdir(`/proc/${pid}/task`)) {
    const text = await readFile(`/proc/${pid}/task/${tid}/status`, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ESRCH') return undefined; // it ended meanwhile
      throw error;
    });
    if (text !== undefined) threads.push(parseStatus(text, Number(tid)));
  }
  if (threads.length === 0) throw new Error(`process ${pid} is gone`);
  return { pid, part, threads, network: await readlink(`/proc/${pid}/ns/net`) };
}

/** `/proc/PID/status` (proc_pid_status(5)). */
export function parseStatus(text: string, tid: number): ThreadFacts {
  const field = (name: string): string => new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(text)?.[1] ?? '';
  return {
    tid,
    name: field('Name'),
    uid: Number(field('Uid').split(/\s+/)[1]),
    seccomp: Number(field('Seccomp') || 0),
    noNewPrivileges: field('NoNewPrivs') === '1',
  };
}

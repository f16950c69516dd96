/** sshfs: the partner mounts us and copies with the tools of the system. For files that are read or written from end to end. */
import { execFile } from 'node:child_process';
import { mkdir, readdir, rename, rm, rmdir, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Client, type Door, nothingShown, type Outcome, oneByOne, type Step } from './client.ts';
import { sshOptions } from './openssh-sftp.ts';
import { type Ended, runProgram } from './program.ts';

const run = promisify(execFile);

/** What the tools of the system do, below the place where we are mounted. */
async function one(mounted: string, step: Step): Promise<Outcome> {
  switch (step.do) {
    case 'put':
      // Holes of the source written too: an upload that leaves some is refused as incomplete.
      return shell('cp', [
        '--sparse=never',
        ...(step.times ? ['--preserve=timestamps'] : []),
        '--',
        step.local,
        mounted + step.remote,
      ]);
    case 'get':
      return shell('cp', ['--', mounted + step.remote, step.local]);
    case 'rename':
      return call(() => rename(mounted + step.from, mounted + step.to));
    case 'remove':
      return call(() => unlink(mounted + step.path));
    case 'mkdir':
      return call(() => mkdir(mounted + step.path));
    case 'rmdir':
      return call(() => rmdir(mounted + step.path));
    case 'list':
      return call(async () => ({ listings: [await readdir(mounted + step.path)] }));
    case 'stat':
      return call(async () => {
        const { size, mtimeMs } = await stat(mounted + step.path);
        return { stats: [{ size, modifiedAtMs: mtimeMs }] };
      });
  }
}

const shell = async (program: string, args: readonly string[]): Promise<Outcome> => ({
  ...(await runProgram(program, args)),
  ...nothingShown,
});

async function call(work: () => Promise<unknown>): Promise<Outcome> {
  try {
    return { ok: true, output: '', ...nothingShown, ...((await work()) as Partial<Outcome> | undefined) };
  } catch (error) {
    return { ok: false, output: String(error), ...nothingShown };
  }
}

async function mount(door: Door, at: string): Promise<Ended> {
  const { args, env } = await sshOptions(door);
  await mkdir(at);
  const options = args.filter((arg) => arg !== '-F' && arg !== '/dev/null' && arg !== '-o').flatMap((arg) => ['-o', arg]);
  return runProgram('sshfs', ['-p', String(door.port), ...options, `${door.user}@${door.host}:/`, at], { env });
}

export const sshfs: Client = {
  name: 'sshfs, with cp',
  id: 'sshfs',
  protocol: 'sftp',
  packages: ['sshfs', 'openssh-client'],
  note: 'files are read and written from end to end, holes too (`cp --sparse=never`); anything else is refused',
  lacks: {
    'resume-put': 'cp begins anew',
    'resume-get': 'cp begins anew',
  },

  async run(door, steps): Promise<Outcome> {
    const at = join(door.scratch, 'mounted');
    const mounted = await mount(door, at);
    if (!mounted.ok) return { ...mounted, ...nothingShown };
    try {
      return await oneByOne(steps, (step) => one(at, step));
    } finally {
      // It has gone by itself when the connection was lost.
      await run('fusermount3', ['-u', '-z', at]).catch(() => undefined);
      await rm(at, { recursive: true, force: true });
    }
  },
};

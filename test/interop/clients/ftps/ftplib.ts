/** Python's `ftplib`, plain and in the variant that most scripts copy, whose data connections resume the TLS session. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Client, Door, GivenUp, Outcome, Step } from '../client.ts';
import { runProgram } from '../program.ts';

const program = fileURLToPath(new URL('./ftplib_steps.py', import.meta.url));
/** Debian's own, whatever stands first in the path. */
const python = ['/usr/bin/python3', '-W', 'ignore', program] as const;

async function run(door: Door, resumes: boolean, steps: readonly Step[]): Promise<Outcome> {
  const [command, ...words] = python;
  const { out, output } = await runProgram(command, words, { input: `${JSON.stringify({ door, resumes, steps })}\n` });
  try {
    return JSON.parse(out) as Outcome;
  } catch {
    return { ok: false, output, listings: [], stats: [] };
  }
}

/** `FTP.abort`, which says ABOR; it waits for a line before. */
async function giveUp(door: Door, resumes: boolean, { local, remote, begun, bytesPerSecond }: GivenUp): Promise<void> {
  const [command, ...words] = python;
  const child = spawn(command, words, { stdio: ['pipe', 'ignore', 'inherit'] });
  const ended = once(child, 'close');
  child.stdin.write(`${JSON.stringify({ door, resumes, steps: [], giveUp: { local, remote, bytesPerSecond } })}\n`);
  await begun();
  child.stdin.end('now\n');
  const [code] = await ended;
  if (code !== 0) throw new Error(`ftplib's abort ended with ${code}`);
}

const variant = (name: string, id: string, resumes: boolean): Client => ({
  name,
  id,
  protocol: 'ftps',
  packages: ['python3'],
  lacks: { times: 'it sends no times', mirror: 'it knows no folders' },
  run: (door, steps) => run(door, resumes, steps),
  giveUp: (door, upload) => giveUp(door, resumes, upload),
});

export const ftplib = variant('ftplib', 'ftplib', false);
export const ftplibResuming = variant('ftplib, TLS resumed', 'ftplib-resuming', true);

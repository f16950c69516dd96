/** Questions to the person at the terminal. Nothing is asked when there is no terminal: the caller says what to pass instead. */
import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { SallyportError } from '../errors.ts';
import { exitCodes } from '../exit-codes.ts';
import { Secret } from '../secret.ts';
import { EarlyExit } from './cli.ts';
import type { OutputTarget } from './output.ts';

export interface Terminal {
  readonly input: NodeJS.ReadStream;
  /** Questions go here, so that standard output holds only results. */
  readonly error: OutputTarget;
  readonly signal: AbortSignal;
}

export const isInteractive = ({ input, error }: Terminal): boolean => input.isTTY === true && error.isTTY === true;

/** @returns whether the answer was yes; Return alone is no. */
export async function confirm(terminal: Terminal, question: string): Promise<boolean> {
  const answer = await readLine(terminal, `${question} [y/N] `, true);
  return /^y(es)?$/i.test(answer.trim());
}

/** Asks twice, shows nothing. @throws SallyportError `usage` when the two differ or are empty. */
export async function askNewPassword(terminal: Terminal, whose: string): Promise<Secret> {
  if (!isInteractive(terminal))
    throw new SallyportError('usage', 'there is no terminal to ask for the password; use --password-file FILE (or -)');
  const answers: string[] = [];
  for (const question of [`Password for ${whose}: `, 'Again: ']) {
    answers.push(await readLine(terminal, question, false));
    terminal.error.write('\n');
  }
  const [first = '', second = ''] = answers;
  if (first === '') throw new SallyportError('usage', 'an empty password is not accepted');
  if (first !== second) throw new SallyportError('usage', 'the two passwords differ');
  return new Secret(first);
}

/** Asks for something that is not shown. @throws SallyportError `usage` when there is no terminal; `instead` says what to do then. */
export async function askSecret(terminal: Terminal, question: string, instead: string): Promise<Secret> {
  if (!isInteractive(terminal)) throw new SallyportError('usage', `there is no terminal to ask; ${instead}`);
  const answer = await readLine(terminal, question, false);
  terminal.error.write('\n');
  return new Secret(answer);
}

/** @param question Part of the line that is edited: written apart from it, the first redraw would wipe it out. */
async function readLine({ input, error, signal }: Terminal, question: string, echo: boolean): Promise<string> {
  const output = new Writable({
    write(chunk, _encoding, done) {
      if (echo) error.write(String(chunk));
      done();
    },
  });
  const lines = createInterface({ input, output, terminal: true });
  const left = Promise.withResolvers<never>();
  // The terminal is in raw mode: Ctrl-C comes as a key, Ctrl-D as an end, neither as a signal.
  lines.once('SIGINT', () => lines.close());
  lines.once('close', () => left.reject(new EarlyExit(exitCodes.interrupted)));
  // Only now: until the line is ours, the terminal itself shows what is typed.
  if (!echo) error.write(question);
  try {
    return await Promise.race([lines.question(echo ? question : '', { signal }), left.promise]);
  } catch (cause) {
    error.write('\n');
    throw cause;
  } finally {
    lines.close();
  }
}

/** All of a small text from a file, or from standard input for `-`. @throws SallyportError `usage`, `no-such-file`. */
export async function readInput(input: AsyncIterable<Buffer | string>, maxBytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of input) {
    const bytes = Buffer.from(chunk);
    length += bytes.length;
    if (length > maxBytes) throw new SallyportError('usage', `the input has more than ${maxBytes} bytes`);
    chunks.push(bytes);
  }
  return Buffer.concat(chunks).toString('utf8');
}

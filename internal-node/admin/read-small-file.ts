/** Small files that commands are given: keys, passwords, codes. `-` is standard input. */
import { readFile } from 'node:fs/promises';
import { readInput } from '../../shared/admin/ask.ts';
import type { VerbContext } from '../../shared/admin/cli.ts';
import { SallyportError } from '../../shared/errors.ts';

const maxBytes = 64 * 1024;

/** @throws SallyportError `usage` when the file cannot be read or is too large. */
export async function readSmallFile(file: string, { input }: Pick<VerbContext, 'input'>): Promise<string> {
  if (file === '-') return readInput(input, maxBytes);
  const text = await readFile(file, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    const why = cause.code === 'ENOENT' ? 'there is no such file' : cause.message;
    throw new SallyportError('usage', `${file} cannot be read: ${why}`, {}, { cause });
  });
  if (text.length > maxBytes) throw new SallyportError('usage', `${file} is too large for a key or a password`);
  return text;
}

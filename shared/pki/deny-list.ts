/**
 * Keys that are refused although everything else about them is right: one fingerprint a line, with `#` before a comment. The file is
 * read at each judgement and by each live link every minute, so whoever edits it needs no restart. One that cannot be read
 * refuses everybody: access fails closed.
 */
import { readFileSync, statSync } from 'node:fs';
import { replaceFile } from '../config/write-file.ts';
import { SallyportError } from '../errors.ts';
import { parseFingerprint } from './fingerprint.ts';

/** In the keys folder of a node. */
export const denyFileName = 'denied-keys';

const maxBytes = 256 * 1024;

const heading = '# Keys of tunnel nodes that are refused, one fingerprint (SPI-… or SPD-…) a line. Looked at every minute.\n';

/** Those in the file, canonical; none without a file. @throws SallyportError `key-file` naming the line. */
export function deniedKeys(file: string): ReadonlySet<string> {
  const denied = new Set<string>();
  for (const [index, line] of textOf(file).split('\n').entries()) {
    const typed = line.split('#')[0]?.trim() ?? '';
    if (typed === '') continue;
    try {
      denied.add(parseFingerprint(typed).canonical);
    } catch (cause) {
      throw new SallyportError('key-file', `${file}:${index + 1}: ${(cause as Error).message}`, { file }, { cause });
    }
  }
  return denied;
}

/** Adds a key. @returns false when it is there already. @throws SallyportError `key-file`, `usage`. */
export async function denyKey(file: string, fingerprint: string, comment: string): Promise<boolean> {
  const { canonical } = parseFingerprint(fingerprint);
  if (deniedKeys(file).has(canonical)) return false;
  const before = textOf(file) || heading;
  const text = before.endsWith('\n') ? before : `${before}\n`;
  await replaceFile(file, `${text}${canonical} # ${comment.replace(/[^\x20-\x7e]/g, '?').slice(0, 200)}\n`);
  return true;
}

function textOf(file: string): string {
  try {
    if (statSync(file).size > maxBytes) throw new Error(`it has more than ${maxBytes} bytes`);
    return readFileSync(file, 'utf8');
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT') return '';
    throw new SallyportError('key-file', `the list of refused keys, ${file}, cannot be used: ${message}`, { file }, { cause });
  }
}

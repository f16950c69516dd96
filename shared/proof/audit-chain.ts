/** Checks the whole audit trail of a folder: each line must carry the SHA-256 of the line before, through all its files. */
import { createReadStream } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { lineHash } from '../events/audit-trail.ts';

export interface AuditChain {
  readonly files: number;
  readonly lines: number;
  /** SHA-256 of the last line: whoever knows it can tell later whether the trail was rewritten. */
  readonly head: string;
  /** `2026-11-22.jsonl:17`: the first line that does not follow from the one before; absent when the chain holds. */
  readonly broken?: string;
}

const dayFile = /^\d{4}-\d{2}-\d{2}\.jsonl$/;

/**
 * @param wanted Also looks for a line with this hash.
 * @throws when the folder or a file of it cannot be read.
 */
export async function readAuditChain(folder: string, wanted?: string): Promise<AuditChain & { readonly found: boolean }> {
  const names = (await readdir(folder)).filter((name) => dayFile.test(name)).sort();
  let [lines, head, found] = [0, '', false];
  for (const name of names) {
    let number = 0;
    for await (const line of linesOf(join(folder, name))) {
      if (line === '') continue;
      number += 1;
      // The first line of all is taken as given: older files may have been moved to an archive.
      if (lines > 0 && previousOf(line) !== head) return { files: names.length, lines, head, broken: `${name}:${number}`, found };
      head = lineHash(line);
      if (head === wanted) found = true;
      lines += 1;
    }
  }
  return { files: names.length, lines, head, found };
}

/** A last line that is still being written is left out. */
async function* linesOf(file: string): AsyncIterable<string> {
  let rest = '';
  for await (const text of createReadStream(file, 'utf8') as AsyncIterable<string>) {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    yield* lines;
  }
}

function previousOf(line: string): unknown {
  try {
    return (JSON.parse(line) as { prev?: unknown }).prev;
  } catch {
    return undefined;
  }
}

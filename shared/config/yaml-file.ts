/**
 * One YAML file with the place of every value. Bounded: 1 MiB, few aliases, duplicate keys refused. Does not know what the
 * file should hold: `schema-check.ts` does.
 */
import { hash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { type Document, isMap, isPair, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml';
import type { ConfigProblem, Position } from './problems.ts';

export const maxFileBytes = 1024 * 1024;
const maxAliases = 50;

export interface YamlFile {
  /** The name used in messages. */
  readonly label: string;
  /** Of the text, in hex. */
  readonly sha256: string;
  readonly document: Document.Parsed;
  /** The plain value; undefined when the text is not valid YAML. An empty file is null. */
  readonly value: unknown;
  readonly problems: readonly ConfigProblem[];
  /** Where the value at a path stands; where nothing stands there, the nearest container. */
  at(path: readonly PropertyKey[]): Position;
  /** Where the key of the last component stands. */
  keyAt(path: readonly PropertyKey[]): Position;
}

/** Reads and parses; a file that cannot be read is a problem of line 1, not an exception. */
export async function readYamlFile(file: string, label: string = file): Promise<YamlFile> {
  try {
    return parseYaml(await readBounded(file), label);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const empty = parseYaml('', label);
    const problem = { file: label, line: 1, column: 1, path: '' };
    const missing = { message: 'there is no such file', next: 'name the file with --config, or make a new node with: init' };
    return { ...empty, value: undefined, problems: [{ ...problem, ...(code === 'ENOENT' ? missing : { message }) }] };
  }
}

async function readBounded(file: string): Promise<string> {
  const handle = await open(file, 'r');
  try {
    const { size } = await handle.stat();
    if (size > maxFileBytes) throw new Error(`the file has ${size} bytes, the most is ${maxFileBytes}`);
    const buffer = Buffer.alloc(maxFileBytes + 1);
    let length = 0;
    for (;;) {
      const { bytesRead } = await handle.read(buffer, length, buffer.length - length, length);
      if (bytesRead === 0) break;
      length += bytesRead;
      if (length > maxFileBytes) throw new Error(`the file has more than ${maxFileBytes} bytes`);
    }
    return new TextDecoder('utf-8', { fatal: true }).decode(buffer.subarray(0, length));
  } finally {
    await handle.close();
  }
}

export function parseYaml(text: string, label: string): YamlFile {
  const lines = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    uniqueKeys: true,
    strict: true,
    logLevel: 'silent',
  });
  const place = (offset: number): Position => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col) };
  };
  const problems: ConfigProblem[] = [...document.errors, ...document.warnings].map((error) => ({
    file: label,
    ...place(error.pos[0]),
    path: '',
    message: error.code === 'DUPLICATE_KEY' ? 'the key occurs twice in this map' : error.message,
  }));
  let value: unknown;
  if (problems.length === 0) {
    try {
      value = document.toJS({ maxAliasCount: maxAliases });
    } catch (error) {
      problems.push({ file: label, line: 1, column: 1, path: '', message: (error as Error).message });
    }
  }
  return {
    label,
    sha256: hash('sha256', text),
    document,
    value,
    problems,
    at: (path) => place(locate(document.contents, path).value),
    keyAt: (path) => place(locate(document.contents, path).key),
  };
}

interface Found {
  readonly key: number;
  readonly value: number;
}

const startOf = (node: Node | null | undefined, fallback: number): number => node?.range?.[0] ?? fallback;

function locate(contents: Node | null, path: readonly PropertyKey[]): Found {
  let node: Node | null | undefined = contents;
  let found: Found = { key: startOf(node, 0), value: startOf(node, 0) };
  for (const step of path) {
    if (isMap(node)) {
      const pair = node.items.find((item) => isPair(item) && isScalar(item.key) && String(item.key.value) === String(step));
      if (!pair) break;
      const key = startOf(pair.key as Node, found.value);
      node = pair.value as Node | null;
      found = { key, value: startOf(node, key) };
    } else if (isSeq(node) && typeof step === 'number') {
      node = node.items[step] as Node | undefined;
      if (!node) break;
      const start = startOf(node, found.value);
      found = { key: start, value: start };
    } else break;
  }
  return found;
}

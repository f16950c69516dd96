/**
 * Changes that commands make to configuration files: comments and order are kept, the result is checked before it replaces
 * the file, and the file is replaced whole. Two commands at the same moment: the later one wins, so take care by hand.
 */
import { readFile } from 'node:fs/promises';
import { type Document, isMap, parseDocument, type YAMLMap } from 'yaml';
import type { z } from 'zod';
import { type ConfigProblem, throwProblems } from '../../shared/config/problems.ts';
import { checkFile } from '../../shared/config/schema-check.ts';
import { replaceFile } from '../../shared/config/write-file.ts';
import { parseYaml } from '../../shared/config/yaml-file.ts';
import { SallyportError } from '../../shared/errors.ts';

const layout = { lineWidth: 0, flowCollectionPadding: false } as const;

/**
 * @param change Edits the document; returns false when there is nothing to change.
 * @throws ConfigError when the file is wrong before or after the change; then nothing is written.
 */
export async function editYaml(
  file: string,
  schema: z.ZodType,
  change: (document: Document.Parsed) => boolean,
): Promise<boolean> {
  const before = await readFile(file, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return '';
    throw new SallyportError('usage', `${file} cannot be read: ${cause.message}`, {}, { cause });
  });
  throwProblems(parseYaml(before, file).problems);
  const document = parseDocument(before);
  if (!change(document)) return false;
  const after = document.toString(layout);
  const problems: ConfigProblem[] = [];
  checkFile(parseYaml(after, file), schema, problems);
  throwProblems(problems);
  await replaceFile(file, after);
  return true;
}

/** The map at a key of the document, made when there is none; an empty flow map `{}` becomes a block. */
export function blockMapAt(document: Document.Parsed, key: string): YAMLMap {
  if (!isMap(document.contents)) document.contents = document.createNode({}) as unknown as typeof document.contents;
  const found = document.get(key, true);
  if (isMap(found)) {
    if (found.items.length === 0) found.flow = false;
    return found;
  }
  const made = document.createNode({}) as YAMLMap;
  document.set(key, made);
  return made;
}

/** Sets a key, right behind another one when it is new. */
export function setAfter(document: Document.Parsed, key: string, value: unknown, after: string): void {
  if (document.has(key) || !isMap(document.contents)) {
    document.set(key, document.createNode(value));
    return;
  }
  const { items } = document.contents;
  const place = items.findIndex((pair) => String(pair.key) === after);
  const pair = document.createPair(document.createNode(key), value);
  pair.key.spaceBefore = true;
  items.splice(place < 0 ? items.length : place + 1, 0, pair as (typeof items)[number]);
}

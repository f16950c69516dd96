/**
 * Loads a configuration: one main file, and the files it includes. Every problem of every file is found in one run.
 *
 * Nothing outside the files is looked at here; keys, folders and references between values are the node's own check.
 */
import { readdir } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import micromatch from 'micromatch';
import type { z } from 'zod';
import { ConfigError, type ConfigProblem, type Position, throwProblems } from './problems.ts';
import { checkFile } from './schema-check.ts';
import { readYamlFile, type YamlFile } from './yaml-file.ts';

/** A value with the place of each of its parts. */
export interface Loaded<T> {
  readonly value: T;
  /** As used in messages: the main file as it was named, an included one relative to the main file's folder. */
  readonly label: string;
  /** Absolute path. */
  readonly file: string;
  /** Of the file's text, in hex. */
  readonly sha256: string;
  /** Where the value at a path stands. */
  at(path: readonly PropertyKey[]): Position;
  /** Where the key of the last component of a path stands. */
  keyAt(path: readonly PropertyKey[]): Position;
}

export interface Include<P extends z.ZodType> {
  /** The key of the main file that lists globs relative to its folder. */
  readonly key: string;
  /** The globs when the key is not there. */
  readonly fallback: readonly string[];
  /** Where the globs begin; default: the folder of the main file. */
  readonly folder?: string | undefined;
  readonly schema: P;
}

export interface LoadedConfig<Main, Part> {
  readonly main: Loaded<Main>;
  /** In the order of their names. */
  readonly parts: readonly Loaded<Part>[];
}

/** The folders below the main file's are looked through for included files, this deep and up to this many entries. */
const listing = { depth: 6, entries: 10_000 } as const;
const maxParts = 1000;

/**
 * @param check Looks at all files together (references, duplicates); pushes what it finds.
 * @throws ConfigError (`config-invalid`) with all problems of all files.
 */
export async function loadConfig<M extends z.ZodType, P extends z.ZodType = z.ZodNever>(
  file: string,
  schema: M,
  options: {
    readonly include?: Include<P>;
    readonly check?: (config: LoadedConfig<z.output<M>, z.output<P>>, problems: ConfigProblem[]) => void;
  } = {},
): Promise<LoadedConfig<z.output<M>, z.output<P>>> {
  const problems: ConfigProblem[] = [];
  const yaml = await readYamlFile(file);
  const main = check(yaml, resolve(file), schema, problems);
  const parts: Loaded<z.output<P>>[] = [];
  if (options.include) {
    const folder = options.include.folder ?? dirname(resolve(file));
    for (const name of await includedFiles(folder, globsOf(yaml, options.include), yaml, problems)) {
      const path = join(folder, name);
      const part = check(await readYamlFile(path, name), path, options.include.schema, problems);
      if (part) parts.push(part);
    }
  }
  if (!main) throw new ConfigError(problems);
  const loaded = { main, parts };
  // A file that could not be read leaves references open that are right.
  if (problems.length === 0) options.check?.(loaded, problems);
  throwProblems(problems);
  return loaded;
}

function check<S extends z.ZodType>(
  yaml: YamlFile,
  file: string,
  schema: S,
  problems: ConfigProblem[],
): Loaded<z.output<S>> | undefined {
  const before = problems.length;
  const value = checkFile(yaml, schema, problems);
  if (problems.length > before || value === undefined) return undefined;
  return { value, label: yaml.label, file, sha256: yaml.sha256, at: yaml.at, keyAt: yaml.keyAt };
}

/** Read from the plain value, so that a main file with a mistake elsewhere still says what it includes. */
function globsOf(yaml: YamlFile, include: Include<z.ZodType>): readonly string[] {
  const given = (yaml.value as Record<string, unknown> | null | undefined)?.[include.key];
  if (yaml.value === undefined) return [];
  if (given === undefined) return include.fallback;
  return Array.isArray(given) ? given.filter((glob) => typeof glob === 'string').map((glob) => glob.replace(/^\.\//, '')) : [];
}

async function includedFiles(
  folder: string,
  globs: readonly string[],
  main: YamlFile,
  problems: ConfigProblem[],
): Promise<string[]> {
  if (globs.length === 0) return [];
  const problem = (message: string): void => {
    problems.push({ file: main.label, ...main.at(['include']), path: 'include', message });
  };
  const all: string[] = [];
  const complete = await listFiles(folder, globs, all);
  if (!complete) problem(`more than ${listing.entries} entries below ${folder}; move the configuration to a folder of its own`);
  const names = micromatch(all, [...globs], { noext: true }).sort();
  if (names.length > maxParts) problem(`${names.length} files match, the most is ${maxParts}`);
  return names.slice(0, maxParts);
}

/** Only folders that a glob can reach are entered. @returns false when the limit was reached. */
async function listFiles(folder: string, globs: readonly string[], found: string[]): Promise<boolean> {
  const bases = new Set(globs.map((glob) => micromatch.scan(glob).base.split('/')[0] ?? ''));
  let seen = 0;
  const queue: { name: string; depth: number }[] = [{ name: '', depth: 0 }];
  for (let next = queue.shift(); next; next = queue.shift()) {
    const { name, depth } = next;
    for (const entry of await readdir(join(folder, name), { withFileTypes: true })) {
      seen += 1;
      if (seen > listing.entries) return false;
      const path = name === '' ? entry.name : `${name}/${entry.name}`;
      const reachable = depth > 0 || bases.has('') || bases.has('.') || bases.has(entry.name);
      if (entry.isDirectory() && reachable && depth < listing.depth) queue.push({ name: path, depth: depth + 1 });
      else if (!entry.isDirectory()) found.push(path);
    }
  }
  return true;
}

/** One file of a configuration as it was read: what `sha256sum` says of it. */
export interface FileDigest {
  /** Absolute. */
  readonly file: string;
  readonly sha256: string;
}

export const digestOf = ({ file, sha256 }: Loaded<unknown>): FileDigest => ({ file, sha256 });

/** `conf.d/rules.yaml:8`: where a value came from, for people. */
export const sourceOf = (part: Loaded<unknown>, path: readonly PropertyKey[]): string => `${part.label}:${part.keyAt(path).line}`;

/** `sallyport.yaml:8`, without a folder; `sallyport.yaml (default)` for a key that is not in the file. */
export function lineOf(
  { file, at, keyAt }: Pick<Loaded<unknown>, 'file' | 'at' | 'keyAt'>,
  path: readonly PropertyKey[],
): string {
  // What is not there has the places of what it would be in.
  const outer = path.slice(0, -1);
  const missing = samePlace(keyAt(path), keyAt(outer)) && samePlace(at(path), at(outer));
  return missing ? `${basename(file)} (default)` : `${basename(file)}:${keyAt(path).line}`;
}

const samePlace = (a: Position, b: Position): boolean => a.line === b.line && a.column === b.column;

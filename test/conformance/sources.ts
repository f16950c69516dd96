/** The project's own files and the imports in them, read as text: what the tests of the layout look at. */
import { globSync, readFileSync, statSync } from 'node:fs';
import { posix } from 'node:path';
import { fileURLToPath } from 'node:url';

export const projectRoot = fileURLToPath(new URL('../../', import.meta.url));

export interface SourceFile {
  /** From the root of the project, with `/`. */
  readonly path: string;
  readonly text: string;
}

const isForeign = (name: string): boolean => /(^|\/)(node_modules|\.runtime|\.git|coverage|bench-results)$/.test(name);

/** Files of the checkout that match a glob, sorted; never those of packages or of the fetched runtime. */
export function filesLike(pattern: string): SourceFile[] {
  return globSync(pattern, { cwd: projectRoot, exclude: isForeign })
    .filter((path) => statSync(posix.join(projectRoot, path)).isFile())
    .sort()
    .map((path) => ({ path, text: readFileSync(posix.join(projectRoot, path), 'utf8') }));
}

const importForms = [
  /^\s*(?:import|export)\b[^'";]*?\bfrom\s*'([^']+)'/gm,
  /^\s*import\s*'([^']+)'/gm,
  /\bimport\(\s*'([^']+)'\s*\)/g,
  /\bnew URL\(\s*'(\.[^']+\.ts)'/g,
];

/** What a file imports: packages as they are named, own files as paths from the root. */
export function importsOf({ path, text }: SourceFile): string[] {
  const named = importForms.flatMap((form) => Array.from(text.matchAll(form), ([, name = '']) => name));
  return named.map((name) => (name.startsWith('.') ? posix.join(posix.dirname(path), name) : name));
}

/** `dmz-node`, `internal-node`, `shared`, `test`, `scripts`. */
export const layerOf = (path: string): string => path.split('/')[0] ?? '';

/** The folder of a node that a file lies in, or undefined for a file at the top of a node or of another layer. */
export function roomOf(path: string): string | undefined {
  const [layer, room, file] = path.split('/');
  return (layer === 'dmz-node' || layer === 'internal-node') && file !== undefined ? `${layer}/${room}` : undefined;
}

/** The text without comments and without the contents of strings; good enough for words that are no part of either. */
export function codeOnly(text: string): string {
  return text
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`/g, "''")
    .replace(/(^|\s)\/\/.*$/gm, '');
}

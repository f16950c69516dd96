/**
 * What a program can load: every file that its entry reaches by imports that stand in the text, own files and packages as they
 * lie in node_modules, with the built-in modules that each uses. Read from the sources, nothing is run.
 *
 * What cannot be told from the text (a module named by a variable, code made from text) is not followed but reported: a test
 * holds the list of such places, each with its reason.
 */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

export const projectRoot = fileURLToPath(new URL('../../', import.meta.url));

/** A place that text alone does not explain. */
export interface Oddity {
  /** From the root of the project. */
  readonly file: string;
  readonly kind: 'code from text' | 'module by variable';
  readonly text: string;
}

export interface LoadedPackage {
  readonly name: string;
  readonly version: string;
  /** Its folder, from the root of the project. */
  readonly folder: string;
  readonly files: Set<string>;
  readonly builtins: Set<string>;
  /** Names of the packages that it loads. */
  readonly loads: Set<string>;
}

export interface Closure {
  /** Own files, from the root of the project. */
  readonly files: Set<string>;
  /** By folder. */
  readonly packages: Map<string, LoadedPackage>;
  /** Built-in modules of own files, with the files that import them. */
  readonly builtins: Map<string, string[]>;
  readonly oddities: Oddity[];
  /** Modules that are named but not there: what a package can do without. */
  readonly missing: Set<string>;
}

const esmForms = [
  /^\s*(?:import|export)\s+(?!type\b)[^'";]*?\bfrom\s*['"]([^'"]+)['"]/gm,
  /^\s*import\s*['"]([^'"]+)['"]/gm,
  /\bimport\(\s*['"]([^'"]+)['"]\s*\)/g,
];
const workerForm = /\bnew URL\(\s*['"](\.[^'"]+\.ts)['"]/g;
const requireForm = /\brequire\(\s*['"]([^'"]+)['"]\s*\)/g;
const ownRequire = /\bconst (\w+) = createRequire\(/;
const oddForms: readonly (readonly [Oddity['kind'], RegExp])[] = [
  // Not a method of that name.
  ['code from text', /(?<![.\w])(?:eval|Function)\s*\((?![^)]*\)\s*\{)/g],
  ['module by variable', /(?<![.\w])(?:require|import)\(\s*[^'"\s)*][^)]*\)/g],
];

export function closureOf(entries: readonly string[]): Closure {
  const closure: Closure = { files: new Set(), packages: new Map(), builtins: new Map(), oddities: [], missing: new Set() };
  const seen = new Set<string>();
  const waiting = entries.map((entry) => join(projectRoot, entry));
  for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
    if (seen.has(file)) continue;
    seen.add(file);
    waiting.push(...readOne(closure, file));
  }
  return closure;
}

/** @returns the files that it loads. */
function readOne(closure: Closure, file: string): string[] {
  const path = relative(projectRoot, file).split(sep).join('/');
  const home = packageOf(file);
  const pack = home && noted(closure, home);
  if (pack) pack.files.add(path);
  else closure.files.add(path);
  if (!/\.(?:[cm]?[jt]s)$/.test(file)) return [];
  const text = withoutComments(readFileSync(file, 'utf8'));
  for (const [kind, form] of oddForms) {
    for (const [found] of text.matchAll(form)) closure.oddities.push({ file: path, kind, text: found });
  }
  const next: string[] = [];
  for (const name of namesIn(text, file)) {
    if (isBuiltin(name)) {
      const builtin = name.replace(/^node:/, '');
      if (pack) pack.builtins.add(builtin);
      else closure.builtins.set(builtin, [...(closure.builtins.get(builtin) ?? []), path]);
      continue;
    }
    const found = resolveFrom(file, name);
    if (found === undefined) closure.missing.add(name);
    else {
      next.push(found);
      const other = packageOf(found);
      if (pack && other !== undefined && other !== home) pack.loads.add(noted(closure, other).name);
    }
  }
  return next;
}

function namesIn(text: string, file: string): string[] {
  const forms = [...esmForms, requireForm];
  if (file.endsWith('.ts')) forms.push(workerForm);
  const alias = ownRequire.exec(text)?.[1];
  if (alias !== undefined) forms.push(new RegExp(`\\b${alias}\\(\\s*['"]([^'"]+)['"]\\s*\\)`, 'g'));
  return [...new Set(forms.flatMap((form) => Array.from(text.matchAll(form), ([, name = '']) => name)))];
}

const withoutComments = (text: string): string => text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|[\s;{}(,])\/\/.*$/gm, '$1');

/** The folder of the package that a file lies in; undefined for own files. */
function packageOf(file: string): string | undefined {
  const inside = file.lastIndexOf(`${sep}node_modules${sep}`);
  if (inside < 0) return undefined;
  const [first = '', second = ''] = file.slice(inside + 14).split(sep);
  return join(file.slice(0, inside + 14), first.startsWith('@') ? join(first, second) : first);
}

function noted({ packages }: Closure, folder: string): LoadedPackage {
  const key = relative(projectRoot, folder).split(sep).join('/');
  const known = packages.get(key);
  if (known) return known;
  const { name, version } = manifestOf(folder);
  const made = {
    name: String(name),
    version: String(version),
    folder: key,
    files: new Set<string>(),
    builtins: new Set<string>(),
    loads: new Set<string>(),
  };
  packages.set(key, made);
  return made;
}

interface Manifest {
  readonly name?: string;
  readonly version?: string;
  readonly main?: string;
  readonly type?: string;
  readonly exports?: unknown;
}

const manifestOf = (folder: string): Manifest => JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest;

/** As Node resolves it (nodejs.org/api/esm.html#resolution-algorithm, modules.html#all-together), for files that are there. */
function resolveFrom(importer: string, name: string): string | undefined {
  if (name.startsWith('.')) return asFile(resolve(dirname(importer), name));
  const [first = '', second = ''] = name.split('/');
  const packageName = first.startsWith('@') ? `${first}/${second}` : first;
  const rest = `.${name.slice(packageName.length)}`;
  for (let folder = dirname(importer); ; folder = dirname(folder)) {
    const candidate = join(folder, 'node_modules', packageName);
    if (existsSync(join(candidate, 'package.json'))) return inPackage(candidate, rest, isModule(importer) ? 'import' : 'require');
    if (dirname(folder) === folder) return undefined;
  }
}

function inPackage(folder: string, rest: string, condition: 'import' | 'require'): string | undefined {
  const { exports, main } = manifestOf(folder);
  if (exports === undefined || exports === null)
    return asFile(rest === '.' ? join(folder, main ?? 'index.js') : join(folder, rest));
  const isMap = typeof exports === 'object' && Object.keys(exports).some((key) => key.startsWith('.'));
  const table = (isMap ? exports : { '.': exports }) as Readonly<Record<string, unknown>>;
  for (const [key, target] of Object.entries(table)) {
    const [before = '', after] = key.split('*');
    const fits = after === undefined ? key === rest : rest.startsWith(before) && rest.endsWith(after);
    if (!fits) continue;
    const chosen = byCondition(target, condition);
    if (chosen === undefined) return undefined;
    return asFile(
      join(folder, after === undefined ? chosen : chosen.replaceAll('*', rest.slice(before.length, rest.length - after.length))),
    );
  }
  return undefined;
}

function byCondition(target: unknown, condition: 'import' | 'require'): string | undefined {
  if (typeof target === 'string') return target;
  if (Array.isArray(target)) return target.map((one) => byCondition(one, condition)).find((one) => one !== undefined);
  if (typeof target !== 'object' || target === null) return undefined;
  for (const [key, value] of Object.entries(target)) {
    if (![condition, 'node', 'default', 'module-sync'].includes(key)) continue;
    const found = byCondition(value, condition);
    if (found !== undefined) return found;
  }
  return undefined;
}

function isModule(file: string): boolean {
  if (/\.(mjs|ts|mts)$/.test(file)) return true;
  if (file.endsWith('.cjs')) return false;
  for (let folder = dirname(file); dirname(folder) !== folder; folder = dirname(folder)) {
    if (existsSync(join(folder, 'package.json'))) return manifestOf(folder).type === 'module';
  }
  return false;
}

function asFile(path: string): string | undefined {
  for (const candidate of [path, `${path}.js`, `${path}.json`, `${path}.node`, join(path, 'index.js')]) {
    if (existsSync(candidate) && statSync(candidate).isFile()) return candidate;
  }
  if (existsSync(join(path, 'package.json'))) return asFile(join(path, manifestOf(path).main ?? 'index.js'));
  return undefined;
}

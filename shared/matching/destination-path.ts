/**
 * The `as:` of a rule: the path below a destination that a file gets, with what the expression found and what is known of
 * the file put in. Whatever a partner names, the path stays below the destination: it is made of harmless components
 * (shared/paths/delivery-name.ts), and what would lead elsewhere becomes an underscore.
 *
 * A path that ends with a slash is a folder, and the file keeps its name. `\` is a separator in the text of the rule, and a
 * plain character in what is put in.
 */
import { didYouMean } from '../config/suggest.ts';
import { deliveryComponents } from '../paths/delivery-name.ts';
import { placeholders, type ZoneClock } from './dates.ts';
import { expressionFault } from './fault.ts';

/** What is known of a file. */
export interface PathFacts {
  readonly partner: string;
  /** Below the Inbox. */
  readonly path: string;
  readonly atMs: number;
}

type Value = (facts: PathFacts, groups: readonly string[], clock: ZoneClock) => string;

const nameOf = (path: string): string => path.slice(path.lastIndexOf('/') + 1);
const folderOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf('/')));
const basic = (atMs: number): string => `${new Date(atMs).toISOString().slice(0, 19).replace(/[-:]/g, '')}Z`;

const variables: Readonly<Record<string, Value>> = {
  'account.name': ({ partner }) => partner,
  'data.file_name': ({ path }) => nameOf(path),
  'data.directory_name': ({ path }) => folderOf(path),
  'data.path': ({ path }) => path,
  'timestamp.timestamp': ({ atMs }) => String(Math.floor(atMs / 1000)),
  'timestamp.iso_8601_basic': ({ atMs }) => basic(atMs),
  ...Object.fromEntries(
    Object.entries(placeholders).map(([name, show]): [string, Value] => [
      name,
      ({ atMs }, _groups, clock) => show(clock.at(atMs, { days: 0, seconds: 0 })),
    ]),
  ),
};
export const variableNames: readonly string[] = Object.keys(variables);

export class DestinationPath {
  readonly #parts: readonly (string | Value)[];
  readonly #isFolder: boolean;
  readonly #clock: ZoneClock;

  /**
   * @param groups How many groups the expression of the rule has.
   * @throws SallyportError `config-invalid` with the column of a variable that is not known, or of a group that is not there.
   */
  constructor(text: string, groups: number, clock: ZoneClock) {
    this.#clock = clock;
    this.#isFolder = /[\\/]$/.test(text);
    const parts: (string | Value)[] = [];
    let end = 0;
    for (const found of text.matchAll(/\{([^{}]*)\}/g)) {
      parts.push(text.slice(end, found.index).replaceAll('\\', '/'), variableIn(found[1] ?? '', found.index + 1, groups));
      end = found.index + found[0].length;
    }
    parts.push(text.slice(end).replaceAll('\\', '/'));
    this.#parts = parts;
  }

  /** @returns the components, with `/` between them. @throws SallyportError `bad-name` when they are too long or too many. */
  render(facts: PathFacts, groups: readonly string[]): string {
    const text = this.#parts.map((part) => (typeof part === 'string' ? part : part(facts, groups, this.#clock))).join('');
    const named = this.#isFolder ? `${text}/${nameOf(facts.path)}` : text;
    const components = named
      .split('/')
      .filter((component) => component !== '')
      .map((component) => (component === '.' || component === '..' ? '_' : component));
    return deliveryComponents(components.length === 0 ? nameOf(facts.path) : components.join('/')).join('/');
  }
}

function variableIn(given: string, column: number, groups: number): Value {
  const [, name = '', change] = /^(.*?)(?:_(upper|lower))?$/.exec(given.toLowerCase()) ?? [];
  const value = named(name, column, groups);
  if (change === undefined) return value;
  return (...args) => (change === 'upper' ? value(...args).toUpperCase() : value(...args).toLowerCase());
}

function named(name: string, column: number, groups: number): Value {
  if (/^[1-9]\d?$/.test(name)) {
    const index = Number(name);
    if (index <= groups) return (_facts, found) => found[index] ?? '';
    const why = groups === 0 ? 'groups need path: m/…/ with parentheses' : `the expression has ${groups}`;
    throw expressionFault(column, `there is no group {${name}}: ${why}`);
  }
  const value = Object.hasOwn(variables, name) ? variables[name] : undefined;
  if (value) return value;
  throw expressionFault(column, `there is no variable {${name}}${didYouMean(name, variableNames)}`);
}

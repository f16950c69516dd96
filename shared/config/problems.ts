/** What is wrong with a configuration, each with its place. All problems of a run are shown at once. */
import { SallyportError } from '../errors.ts';
import { printable } from '../log.ts';

export interface Position {
  /** From 1. */
  readonly line: number;
  /** From 1. */
  readonly column: number;
}

export interface ConfigProblem extends Position {
  /** As the operator named it, or relative to the main file. */
  readonly file: string;
  /** `tunnel.listen`; empty for the file as a whole. */
  readonly path: string;
  readonly message: string;
  /** What to do, when it is not "correct it". */
  readonly next?: string;
}

/** `dmz.yaml:4:11 sftp.listen: expected host:port`. */
export const formatProblem = ({ file, line, column, path, message }: ConfigProblem): string =>
  `${printable(file)}:${line}:${column} ${path === '' ? '' : `${printable(path)}: `}${printable(message, 1000)}`;

const byPlace = (a: ConfigProblem, b: ConfigProblem): number =>
  (a.file < b.file ? -1 : a.file > b.file ? 1 : 0) || a.line - b.line || a.column - b.column;

const shown = 50;

export class ConfigError extends SallyportError {
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[]) {
    const sorted = [...problems].sort(byPlace);
    const lines = sorted.slice(0, shown).map(formatProblem);
    if (sorted.length > shown) lines.push(`and ${sorted.length - shown} more`);
    const next = sorted[0]?.next;
    super('config-invalid', lines.join('\n'), { problems: sorted.length, ...(next === undefined ? {} : { next }) });
    this.problems = sorted;
  }
}

/** @throws ConfigError when there is a problem. */
export function throwProblems(problems: readonly ConfigProblem[]): void {
  if (problems.length > 0) throw new ConfigError(problems);
}

/** `partners.acme.keys[0]` */
export function pathText(path: readonly PropertyKey[]): string {
  let text = '';
  for (const key of path) {
    if (typeof key === 'number') text += `[${key}]`;
    else text += text === '' ? String(key) : `.${String(key)}`;
  }
  return text;
}

/** `results.json`: what the client matrix found, and when. docs/clients.md is written from it alone. */
import { readFileSync, writeFileSync } from 'node:fs';
import type { Verdict } from './matrix.ts';

const file = new URL('./results.json', import.meta.url);

/** Of a cell that only `scripts/clients --full` fills, the day and how long it took are kept. */
export type Cell = Verdict & { readonly on?: string; readonly seconds?: number };

export interface ClientResults {
  readonly id: string;
  readonly name: string;
  readonly protocol: 'sftp' | 'ftps';
  readonly note: string;
  /** Packages, with their versions. */
  readonly packages: Readonly<Record<string, string>>;
  /** Day of the last run, `2026-11-22`. */
  readonly on: string;
  readonly cells: Readonly<Record<string, Cell>>;
}

/** A case without protocol is for all clients. */
export interface CaseTitle {
  readonly id: string;
  readonly title: string;
  readonly protocol?: ClientResults['protocol'];
}

export const titlesOf = (cases: readonly CaseTitle[]): readonly CaseTitle[] =>
  cases.map(({ id, title, protocol }) => ({ id, title, ...(protocol && { protocol }) }));

export interface ResultsDocument {
  readonly cases: readonly CaseTitle[];
  readonly clients: readonly ClientResults[];
}

export interface Results extends ResultsDocument {
  verdictOf(client: string, one: string): Verdict | undefined;
}

export function readResults(): Results {
  const document = readDocument();
  return {
    ...document,
    verdictOf: (client, one) => {
      const cell = document.clients.find(({ id }) => id === client)?.cells[one];
      return cell && kept(cell);
    },
  };
}

/** What two runs must agree on: the text of a deviation holds names that differ each time. */
export const kept = (verdict: Verdict): Verdict => {
  const { verdict: kind } = verdict;
  return kind === 'lacks'
    ? { verdict: kind, why: verdict.why }
    : kind === 'works'
      ? { verdict: kind }
      : { verdict: kind, why: '' };
};

export function writeResults(document: ResultsDocument): void {
  writeFileSync(file, `${JSON.stringify(document, undefined, 2)}\n`);
}

function readDocument(): ResultsDocument {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as ResultsDocument;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { cases: [], clients: [] };
    throw error;
  }
}

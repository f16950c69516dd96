/**
 * What the commands print: a table for people on a terminal, tab-separated lines when piped, one JSON document with
 * `--json`. Colours only on a terminal and without NO_COLOR. Everything that partners named is escaped.
 */
import { stripVTControlCharacters, styleText } from 'node:util';
import { printable } from '../log.ts';
import { printableJson } from '../printable-json.ts';

export interface OutputTarget {
  readonly isTTY?: boolean | undefined;
  write(text: string): unknown;
}

export interface OutputOptions {
  readonly json: boolean;
  /** NO_COLOR is set (no-color.org). */
  readonly noColor: boolean;
}

export type Style = 'bold' | 'dim' | 'red' | 'yellow' | 'green';

export class Output {
  readonly json: boolean;
  readonly isTerminal: boolean;
  readonly #out: OutputTarget;
  readonly #error: OutputTarget;
  readonly #colours: boolean;

  constructor(targets: { readonly out: OutputTarget; readonly error: OutputTarget }, options: OutputOptions) {
    this.#out = targets.out;
    this.#error = targets.error;
    this.json = options.json;
    this.isTerminal = targets.out.isTTY === true;
    this.#colours = this.isTerminal && !options.noColor && !options.json;
  }

  line(text = ''): void {
    this.#out.write(`${text}\n`);
  }

  /** For people beside the result: never on standard output, nothing with `--json`. */
  note(text: string): void {
    if (!this.json) this.#error.write(`${text}\n`);
  }

  document(value: unknown): void {
    this.#out.write(`${printableJson(value, 2)}\n`);
  }

  style(style: Style, text: string): string {
    return this.#colours ? styleText(style, text, { validateStream: false }) : text;
  }

  /** The rows as a table or as tab-separated lines without a heading. Cells are escaped here. */
  table(heading: readonly string[], rows: readonly (readonly string[])[]): void {
    const cells = rows.map((row) => row.map((cell) => printable(cell, 1024)));
    if (!this.isTerminal) {
      for (const row of cells) this.line(row.join('\t'));
      return;
    }
    for (const [index, row] of aligned([heading, ...cells]).entries()) {
      this.line(index === 0 ? this.style('dim', row) : row);
    }
  }

  /** What was refused, by which line, and what to do: one line each. */
  failure(lines: { readonly error: string; readonly rule?: string | undefined; readonly next?: string | undefined }): void {
    this.#error.write(`${lines.error}\n`);
    if (lines.rule) this.#error.write(`  by: ${lines.rule}\n`);
    if (lines.next) this.#error.write(`  next: ${lines.next}\n`);
  }
}

const width = (text: string): number => [...stripVTControlCharacters(text)].length;

/** Columns padded to the widest cell, two spaces apart. */
export function aligned(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, width(cell));
  }
  return rows.map((row) =>
    row
      .map((cell, column) => cell + ' '.repeat((widths[column] ?? 0) - width(cell)))
      .join('  ')
      .trimEnd(),
  );
}

/** `2026-11-21 09:12:04` in UTC. */
export const formatTime = (atMs: number): string => new Date(atMs).toISOString().slice(0, 19).replace('T', ' ');

/** `09:12:04.377` in UTC. */
export const formatTimeOfDay = (atMs: number): string => new Date(atMs).toISOString().slice(11, 23);

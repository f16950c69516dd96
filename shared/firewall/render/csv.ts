/** The rule base as CSV (RFC 4180) with every column. A cell that a spreadsheet would take for a formula begins with an apostrophe. */
import type { RuleBase } from '../flows.ts';
import { headings, type Row, rowsOf } from './words.ts';

export function renderCsv(base: RuleBase): string {
  const columns = Object.keys(headings) as (keyof Row)[];
  const lines = [columns.map((column) => headings[column]), ...rowsOf(base).map((row) => columns.map((column) => row[column]))];
  return lines.map((cells) => `${cells.map(cell).join(',')}\r\n`).join('');
}

function cell(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

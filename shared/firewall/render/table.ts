/** The rule base as a table for a terminal: what somebody opens first, what nobody opens last. */
import { aligned } from '../../admin/output.ts';
import { printable } from '../../log.ts';
import type { RuleBase } from '../flows.ts';
import { headings, type Row, rowsOf } from './words.ts';

const columns = ['from', 'to', 'port', 'protocol', 'opened', 'purpose', 'line'] as const satisfies (keyof Row)[];

export function renderTable(base: RuleBase): string {
  const rows = rowsOf(base).map((row) => columns.map((column) => printable(row[column], 200)));
  const lines = aligned([columns.map((column) => headings[column].toUpperCase()), ...rows]);
  const twice = base.flows.flatMap(({ id, exception }) =>
    exception === null ? [] : [`look twice: ${id}: ${printable(exception, 400)}`],
  );
  return `${[...lines, ...twice].join('\n')}\n`;
}

/** The rule base as a page for a review: every row with its reason, owner and dates, and what is to be looked at twice. */
import type { RuleBase } from '../flows.ts';
import { headings, type Row, rowsOf } from './words.ts';

const columns = [
  'from',
  'to',
  'port',
  'protocol',
  'family',
  'opened',
  'purpose',
  'line',
  'owner',
  'reviewed',
  'reviewBy',
] as const satisfies (keyof Row)[];

export function renderMarkdown(base: RuleBase): string {
  const { dmz, inside, findings } = base;
  const line = (cells: readonly string[]): string => `| ${cells.map(cell).join(' | ')} |`;
  const exceptions = base.flows.flatMap(({ id, exception }) => (exception === null ? [] : [`- **${id}**: ${cell(exception)}`]));
  return [
    `# Firewall rules of Sallyport: DMZ node ${dmz ?? '(not known here)'}, internal node ${inside ?? '(not known here)'}`,
    '',
    'Everything that is not in this table is dropped, in both directions, over IPv4 and IPv6. Rows say who *opens* a connection;',
    'replies follow it. No row lets anything be opened from the DMZ inward.',
    '',
    line(columns.map((column) => headings[column])),
    line(columns.map(() => '---')),
    ...rowsOf(base).map((row) => line(columns.map((column) => row[column]))),
    ...(exceptions.length > 0 ? ['', '## To be looked at twice', '', ...exceptions] : []),
    ...(findings.length > 0
      ? ['', '## Not as it should be, or not known', '', ...findings.map((finding) => `- ${cell(finding)}`)]
      : []),
    '',
  ].join('\n');
}

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('<', '&lt;').replace(/\s+/g, ' ');

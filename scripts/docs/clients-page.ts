/** docs/clients.md: which clients were played against a running pair, in which cases, and what was found. */
import { type Cell, type ClientResults, readResults } from '../../test/interop/clients/results.ts';
import { generatedFrom, table } from './markdown.ts';

/** Numbered remarks below the table; the same text has one number. */
class Remarks {
  readonly #texts: string[] = [];

  mark(text: string): string {
    if (!this.#texts.includes(text)) this.#texts.push(text);
    return `[${this.#texts.indexOf(text) + 1}]`;
  }

  list(): string {
    return this.#texts.map((text, n) => `${n + 1}. ${text}`).join('\n');
  }
}

const minutes = (seconds: number): string => (seconds < 100 ? `${seconds} s` : `${Math.round(seconds / 60)} min`);

function shown(cell: Cell | undefined, remarks: Remarks): string {
  if (!cell) return 'not played';
  if (cell.verdict === 'lacks') return `– ${remarks.mark(cell.why)}`;
  if (cell.verdict === 'deviates') return `**no** ${remarks.mark(cell.why)}`;
  return cell.on === undefined ? 'yes' : `yes, ${minutes(cell.seconds ?? 0)}, ${cell.on}`;
}

const clientRow = ({ name, protocol, packages, on, note }: ClientResults): string[] => [
  name,
  protocol.toUpperCase(),
  Object.entries(packages)
    .map(([name, version]) => `${name} ${version}`)
    .join(', ') || 'none: emulated',
  on,
  note,
];

export function clientsPage(): string {
  const { cases, clients } = readResults();
  const remarks = new Remarks();
  const rows = cases.map(({ id, title }) => [title, ...clients.map(({ cells }) => shown(cells[id], remarks))]);
  return `${generatedFrom('test/interop/clients/results.json')}

# Clients

Programs that partners use, played against a running pair of nodes. Each case asserts what is true afterwards: the digest of the
file inside, its trace on both nodes, and that nothing is left over. \`scripts/clients --full\` plays them all and writes this page;
the tests play those that take moments, and fail when a cell says something else than here.

${table(['Client', 'Protocol', 'Debian package', 'Played on', 'Remark'], clients.map(clientRow))}

**yes**: as it should be · **–**: the client has no way to do it · **no**: it does not work as it should

${table(['Case', ...clients.map(({ name }) => name)], rows)}

${remarks.list()}
`;
}

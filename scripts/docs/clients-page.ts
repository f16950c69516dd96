/** docs/clients.md: which clients were played against a running pair, in which cases, and what was found. */
import { type Cell, type ClientResults, type ResultsDocument, readResults } from '../../test/interop/clients/results.ts';
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

function resultsOf(protocol: ClientResults['protocol'], { cases, clients }: ResultsDocument, remarks: Remarks): string {
  const own = clients.filter((client) => client.protocol === protocol);
  const rows = cases
    .filter((one) => (one.protocol ?? protocol) === protocol)
    .map(({ id, title }) => [title, ...own.map(({ cells }) => shown(cells[id], remarks))]);
  return table(['Case', ...own.map(({ name }) => name)], rows);
}

export function clientsPage(): string {
  const results = readResults();
  const remarks = new Remarks();
  const [sftp, ftps] = (['sftp', 'ftps'] as const).map((protocol) => resultsOf(protocol, results, remarks));
  return `${generatedFrom('test/interop/clients/results.json')}

# Clients

Programs that partners use, played against a running pair of nodes. Each case asserts what is true afterwards: the digest of the
file inside, its trace on both nodes, and that nothing is left over. \`scripts/clients --full\` plays them all and writes this page,
\`scripts/clients --ftps\` those of FTPS without the cases of 5 GiB; the tests play those that take moments, and fail when a cell says
something else than here.

${table(['Client', 'Protocol', 'Package', 'Played on', 'Remark'], results.clients.map(clientRow))}

**yes**: as it should be · **–**: the client has no way to do it · **no**: it does not work as it should

## SFTP

Logged in with a key where nothing else is said.

${sftp}

## FTPS

Explicit, TLS 1.3, EPSV and IPv4 where nothing else is said. Over IPv6 there is no PASV.

${ftps}

## Remarks

${remarks.list()}
`;
}

/** The report as Markdown, for a repository or a ticket. The same contents as the HTML, without the drawing. */
import { type Claim, countClaims } from '../../../shared/proof/claim.ts';
import type { Report } from './document.ts';
import { cell, codeCell } from './markup.ts';

const marks = { yes: '✔', no: '**✘**', unknown: '**?**' } as const;

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string[] => [
  `| ${head.join(' | ')} |`,
  `|${' --- |'.repeat(head.length)}`,
  ...rows.map((row) => `| ${row.join(' | ')} |`),
  '',
];

const claimRow = ({ holds, kind, id, statement, evidence, offending, command }: Claim): string[] => [
  marks[holds],
  kind,
  codeCell(id),
  [cell(statement), ...offending.map((line) => `**${cell(line)}**`), ...evidence.slice(0, 4).map(cell)].join('<br>'),
  codeCell(command),
];

export function reportMarkdown(report: Report): string {
  const { inside, dmz, groups, flows, inventory, transfers, requirements, notCovered, madeAt, version } = report;
  const claims = groups.flatMap((group) => group.claims);
  const { yes } = countClaims(claims);
  return [
    `# Proof report: ${cell(inside.node)} and ${cell(dmz?.node ?? 'DMZ node')}`,
    '',
    `${madeAt} · Sallyport ${cell(version)} · **${yes} of ${claims.length} claims hold**`,
    '',
    ...groups.flatMap(({ title, claims: own }) => [
      `## ${cell(title)}`,
      '',
      ...table(['', 'evidence', 'id', 'claim', 'look yourself'], own.map(claimRow)),
    ]),
    '## Connections',
    '',
    ...table(
      ['', 'from', 'to', 'port', 'why', 'line', 'owner', 'reviewed'],
      flows.map(({ verdict, from, to, protocol, ports, purpose, source, owner, reviewed, exception }) =>
        [
          verdict,
          from,
          to,
          `${protocol} ${ports}`,
          exception === '' ? purpose : `${purpose}; ${exception}`,
          source,
          owner,
          reviewed,
        ].map(cell),
      ),
    ),
    '## Keys and certificates',
    '',
    ...table(
      ['node', 'file', 'kind', 'algorithm', 'for', 'until', 'fingerprint'],
      inventory.map(({ node, file, kind, algorithm, use, notAfterMs, fingerprint }) =>
        [
          node,
          file,
          kind,
          algorithm,
          use,
          notAfterMs === undefined ? '' : new Date(notAfterMs).toISOString().slice(0, 10),
          fingerprint,
        ].map(cell),
      ),
    ),
    '## Transfers, from end to end',
    '',
    ...transfers.flatMap(({ partner, path, size, sha256, end, steps }) => [
      `### ${cell(`${partner}${path}`)}`,
      '',
      `${size} bytes, SHA-256 ${sha256 || 'not told'}: ${cell(end)}`,
      '',
      ...table(
        ['time (UTC)', 'node', 'event', ''],
        steps.map(({ at, node, event, says }) => [at, node, event, says].map(cell)),
      ),
    ]),
    '## What it is evidence for',
    '',
    ...table(
      ['', 'item', 'asks for', 'shown by'],
      requirements.map(({ source, item, asks, claims: ids, section, holds, failing }) => [
        marks[holds],
        cell(`${source} ${item}`),
        cell(asks),
        [
          ...(section === undefined ? [] : [`section “${section}”`]),
          ...ids.map((id) => (failing.includes(id) ? `**${cell(id)}**` : cell(id))),
        ].join(', '),
      ]),
    ),
    '## What this report does not show',
    '',
    ...notCovered.map((line) => `- ${cell(line)}`),
    '',
  ].join('\n');
}

/** The report as one HTML file, for somebody who never saw the product: what it is, what was checked, what came of it. */
import { type Claim, type ClaimKind, claimKinds, countClaims, type Holds } from '../../../shared/proof/claim.ts';
import { dataFlow } from './diagram.ts';
import type { Report, TracedTransfer } from './document.ts';
import { html } from './markup.ts';
import { reportStyle } from './style.ts';

const marks: Readonly<Record<Holds, string>> = { yes: '✔', no: '✘', unknown: '?' };

export function reportHtml(report: Report): string {
  const claims = report.groups.flatMap((group) => group.claims);
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${html(`Proof report ${report.madeAt.slice(0, 10)}: ${report.inside.node}`)}</title>
<style>${reportStyle}</style></head>
<body><main>
${heading(report, claims)}
${kindTiles(claims)}
${failing(claims)}
<h2>Data flow</h2>
<figure>${dataFlow(report)}
<figcaption>An arrow shows who opens a connection. Drawn from the configuration that is in force.</figcaption></figure>
<h2>Claims</h2>
<p>Each can be checked without Sallyport: the command stands beside it. What could not be found out counts as not holding.</p>
${report.groups.map(({ title, claims: own }) => `<h3>${html(title)}</h3>${claimTable(own)}`).join('\n')}
${connections(report)}
${inventory(report)}
${transfers(report.transfers)}
${requirementTable(report)}
<h2>What this report does not show</h2>
<ul class="plain">${report.notCovered.map((line) => `<li>${html(line)}</li>`).join('')}</ul>
${howToCheck(report)}
</main></body></html>
`;
}

function heading(report: Report, claims: readonly Claim[]): string {
  const { yes, no, unknown } = countClaims(claims);
  const good = no + unknown === 0;
  const { inside, dmz, version, madeAt } = report;
  return `<div class="top"><div><h1>Can anything get in?</h1>
<p class="sub">Proof report of the relay ${html(inside.node)} ↔ ${html(dmz?.node ?? 'DMZ node')} · ${html(madeAt.replace('T', ' ').slice(0, 16))} UTC · Sallyport ${html(version)}</p>
<p>Sallyport relays files between business partners and the company. Partners reach only its <b>DMZ node</b>, which stores what they
send in sealed form and can neither open it nor decide anything. The <b>internal node</b> dials out to it, fetches, opens and
delivers. No connection is ever opened from the DMZ inward. This report says how that was checked, and what came of it.</p></div>
<div class="verdict ${good ? 'yes' : 'no'}"><b>${good ? `${yes} of ${claims.length}` : `${no + unknown} of ${claims.length}`}</b>${good ? 'claims hold' : `claims do not hold${unknown > 0 ? `<br>(${unknown} not found out)` : ''}`}</div></div>`;
}

function kindTiles(claims: readonly Claim[]): string {
  const tiles = (Object.entries(claimKinds) as [ClaimKind, string][]).map(([kind, meaning]) => {
    const own = claims.filter((claim) => claim.kind === kind);
    const { yes } = countClaims(own);
    return `<div><i class="${yes === own.length ? 'yes' : 'no'}">${yes}/${own.length}</i><b>${kind}</b><span>${html(meaning)}</span></div>`;
  });
  return `<div class="kinds">${tiles.join('')}</div>`;
}

function failing(claims: readonly Claim[]): string {
  const bad = claims.filter(({ holds }) => holds !== 'yes');
  return bad.length === 0 ? '' : `<h2>What does not hold</h2>${claimTable(bad)}`;
}

const list = (name: string, lines: readonly string[]): string =>
  lines.length === 0 ? '' : `<ul class="${name}">${lines.map((line) => `<li>${html(line)}</li>`).join('')}</ul>`;

function claimTable(claims: readonly Claim[]): string {
  const rows = claims.map(
    ({ holds, kind, statement, evidence, offending, command }) =>
      `<tr><td class="mark ${holds}">${marks[holds]}</td><td class="kind">${kind}</td><td>${html(statement)}${list('offending', offending)}${list('evidence', evidence.slice(0, 8))}</td><td class="check"><code>${html(command)}</code></td></tr>`,
  );
  return `<table><thead><tr><th></th><th>Evidence</th><th>Claim</th><th>Look yourself</th></tr></thead><tbody>${rows.join('\n')}</tbody></table>`;
}

const table = (head: readonly string[], rows: readonly string[]): string =>
  `<table><thead><tr>${head.map((name) => `<th>${html(name)}</th>`).join('')}</tr></thead><tbody>${rows.join('\n')}</tbody></table>`;
const cells = (values: readonly string[]): string => values.map((value) => `<td>${html(value)}</td>`).join('');

function connections({ flows }: Report): string {
  if (flows.length === 0) return '';
  const rows = flows.map(
    ({ verdict, from, to, protocol, ports, purpose, source, owner, reviewed, exception }) =>
      `<tr class="${verdict}">${cells([verdict === 'accept' ? 'allow' : 'deny', from, to, `${protocol} ${ports}`, purpose + (exception === '' ? '' : ` — ${exception}`), source, owner, reviewed])}</tr>`,
  );
  return `<h2>Connections</h2><p>All that the pair needs, and what nobody may open. "From" is who opens the connection.</p>${table(['', 'From', 'To', 'Port', 'Why', 'Line', 'Owner', 'Reviewed'], rows)}`;
}

function inventory({ inventory: entries, madeAt }: Report): string {
  const left = (atMs: number): string => `${Math.floor((atMs - Date.parse(madeAt)) / 86_400_000)} days`;
  const rows = entries.map(
    ({ node, file, kind, algorithm, use, fingerprint, notAfterMs, mode }) =>
      `<tr>${cells([node, file, kind, algorithm, use])}<td>${notAfterMs === undefined ? '' : html(`${new Date(notAfterMs).toISOString().slice(0, 10)} (${left(notAfterMs)})`)}</td>${cells([fingerprint.slice(0, 16), (mode & 0o777).toString(8).padStart(4, '0')])}</tr>`,
  );
  return `<h2>Keys and certificates</h2><p>Private parts stay where they were made and were not read out for this report.</p>${table(['Node', 'File', 'Kind', 'Algorithm', 'For', 'Until', 'Fingerprint', 'Mode'], rows)}`;
}

function transfers(all: readonly TracedTransfer[]): string {
  if (all.length === 0) return '<h2>Transfers, from end to end</h2><p>There was none yet.</p>';
  const one = ({ item, partner, path, size, sha256, end, steps }: TracedTransfer): string =>
    `<h3>${html(`${partner}${path}`)}</h3><p class="sub">${html(`${size} bytes · SHA-256 ${sha256 || 'not told'} · item ${item} · ${end}`)}</p>${table(
      ['Time (UTC)', 'Node', 'Event', ''],
      steps.map(({ at, node, event, says }) => `<tr>${cells([at, node, event, says])}</tr>`),
    )}`;
  return `<h2>Transfers, from end to end</h2>${all.map(one).join('\n')}`;
}

function requirementTable({ requirements }: Report): string {
  const rows = requirements.map(
    ({ source, item, asks, claims, section, holds, failing: bad }) =>
      `<tr><td class="mark ${holds}">${marks[holds]}</td><td>${html(`${source} ${item}`)}</td><td>${html(asks)}</td><td>${html([section === undefined ? '' : `section “${section}”`, ...claims].filter((part) => part !== '').join(', '))}${list('offending', bad)}</td></tr>`,
  );
  return `<h2>What it is evidence for</h2><p>Items of frameworks, in our words. Evidence supports an assessment; it does not replace the assessor.</p>${table(['', 'Item', 'Asks for', 'Shown by'], rows)}`;
}

function howToCheck({ inside, configuration, auditHeads, policyNumber }: Report): string {
  return `<h2>How to check this report</h2>
<p>It is signed with the tunnel key of the internal node, <code>${html(inside.fingerprint)}</code>; <code>sallyport fingerprint</code> there prints the same.
<code>sallyport prove verify FOLDER</code> also says whether it is still true: whether the configuration and the audit trail are those of the day. Without Sallyport:</p>
<p><code>openssl dgst -sha256 -verify signer.pem -signature SHA256SUMS.sig SHA256SUMS &amp;&amp; sha256sum -c SHA256SUMS</code></p>
${table(
  ['State of the pair when it was made', ''],
  [
    ...configuration.map(({ node, file, sha256 }) => `<tr>${cells([`${node}: ${file}`, sha256])}</tr>`),
    `<tr>${cells(['policy of the DMZ node', `number ${policyNumber}`])}</tr>`,
    `<tr>${cells(['head of the audit trail, inside', auditHeads.inside])}</tr>`,
    `<tr>${cells(['head of the audit trail, DMZ', auditHeads.dmz])}</tr>`,
  ],
)}`;
}

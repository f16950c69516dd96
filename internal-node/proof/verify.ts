/** Whether a report is what was signed, and whether it is still true. */
import { hash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { formatDuration } from '../../shared/config/units.ts';
import { readAuditChain } from '../../shared/proof/audit-chain.ts';
import { about, allHold, type Claim, type ClaimText, factOf, judged, unknown } from '../../shared/proof/claim.ts';
import type { InternalSettings } from '../config.ts';
import type { Report } from './report/document.ts';
import { openReport } from './report/folder.ts';

export interface VerifyOptions {
  /** `SPI-…` that must have signed; absent: the node of the configuration. */
  readonly signer: string;
  readonly maxAgeMs: number;
  readonly nowMs: number;
  /** The configuration of the internal node, when it is on this host: then what the report rests on is compared, too. */
  readonly here: Pick<InternalSettings, 'files' | 'state'> | undefined;
}

const report = (id: string, statement: string, command: string): ClaimText => ({
  id: `report.${id}`,
  kind: 'observed',
  statement,
  command,
});

const openssl = 'openssl dgst -sha256 -verify signer.pem -signature SHA256SUMS.sig SHA256SUMS && sha256sum -c SHA256SUMS';

/** Everything about a report folder that can be said; nothing is thrown for a bad one. */
export async function verifyReport(folder: string, { signer, maxAgeMs, nowMs, here }: VerifyOptions): Promise<Claim[]> {
  const unchanged = report('unchanged', 'No file of the report was changed, added or removed since it was signed.', openssl);
  const opened = await factOf(() => openReport(folder));
  if ('missing' in opened) return [judged(unchanged, [opened.missing], [])];
  const { report: read, files } = opened.value;
  const ageMs = nowMs - Date.parse(read.madeAt);
  const claims = read.groups.flatMap((group) => group.claims);
  return [
    judged(unchanged, [], files),
    judged(
      report(
        'signer',
        'It was signed by the internal node that is expected.',
        'openssl pkey -pubin -in signer.pem -outform DER | sha256sum',
      ),
      opened.value.signer === signer ? [] : [`${folder}: signed by ${opened.value.signer}, expected ${signer}`],
      [opened.value.signer],
    ),
    judged(
      report('fresh', `It is not older than ${formatDuration(maxAgeMs)}.`, 'head -n 3 report.json'),
      ageMs > maxAgeMs || ageMs < 0
        ? [`${folder}: made ${read.madeAt}, ${ageMs < 0 ? 'in the future' : `${formatDuration(ageMs)} ago`}`]
        : [],
      [read.madeAt],
    ),
    judged(
      report('holds', 'Every claim held when it was made.', 'jq \'.groups[].claims[] | select(.holds != "yes")\' report.json'),
      allHold(claims) ? [] : claims.filter(({ holds }) => holds !== 'yes').map(({ id, holds }) => `${id}: ${holds}`),
      [`${claims.length} claims`],
    ),
    ...(here ? [await sameConfiguration(read, here), await sameTrail(read, here)] : []),
  ];
}

async function sameConfiguration({ configuration, inside }: Report, { files }: Pick<InternalSettings, 'files'>): Promise<Claim> {
  const text = report(
    'configuration',
    'The configuration of the internal node is still that of the report.',
    `sha256sum ${files.join(' ')}`,
  );
  const now = await factOf(() => Promise.all(files.map(async (file) => [file, hash('sha256', await readFile(file))] as const)));
  return about(text, now, (digests) => {
    const own = configuration.filter(({ node }) => node === inside.node);
    const then = new Map(own.map(({ file, sha256 }) => [file, sha256]));
    const gone = [...then.keys()].filter((file) => !files.includes(file));
    return {
      offending: [
        ...digests
          .filter(([file, sha256]) => then.get(file) !== sha256)
          .map(([file]) => `${file}: ${then.has(file) ? 'changed' : 'new'} since the report`),
        ...gone.map((file) => `${file}: gone since the report`),
      ],
      evidence: digests.map(([file, sha256]) => `${sha256}  ${file}`),
    };
  });
}

/** The trail has grown since; the line that was its last then must still be in it. */
async function sameTrail({ auditHeads }: Report, { state }: Pick<InternalSettings, 'state'>): Promise<Claim> {
  const text = report(
    'audit',
    'The audit trail of the internal node goes on from where the report saw its end.',
    `sha256sum of each line of ${state}/audit/*.jsonl`,
  );
  if (auditHeads.inside === '') return unknown(text, 'the report names no end of the trail');
  const chain = await factOf(() => readAuditChain(join(state, 'audit'), auditHeads.inside));
  return about(text, chain, ({ found, broken, lines }) => ({
    offending: [
      ...(broken === undefined ? [] : [`${state}/audit/${broken}: does not follow from the line before`]),
      ...(found || broken !== undefined ? [] : [`${state}/audit: no line is ${auditHeads.inside}: the trail was written anew`]),
    ],
    evidence: [`${lines} lines, ${auditHeads.inside} is one of them`],
  }));
}

/** Makes the report of a check, in all its forms. */
import { formatAddress } from '../../../shared/config/units.ts';
import { programVersion } from '../../../shared/version.ts';
import { type Check, claimsOf } from '../check.ts';
import type { Report, ReportedFlow, TracedTransfer } from './document.ts';
import type { ReportFile } from './folder.ts';
import { reportHtml } from './html.ts';
import { reportMarkdown } from './markdown.ts';
import { metRequirements, notCovered } from './requirements.ts';

export interface ReportParts {
  /** `SPI-…` of the internal node. */
  readonly fingerprint: string;
  readonly transfers: readonly TracedTransfer[];
  readonly flows: readonly ReportedFlow[];
}

export function reportOf(check: Check, { fingerprint, transfers, flows }: ReportParts): Report {
  const { config, statement, running, audit, inventory, onDisk, host, nowMs } = check.facts;
  const told = 'value' in statement ? statement.value : undefined;
  const own = 'value' in inventory ? inventory.value : [];
  return {
    schema: 'sallyport-report-1',
    madeAt: new Date(nowMs).toISOString(),
    version: programVersion,
    inside: { node: config.name, host, fingerprint },
    dmz: told
      ? { node: told.document.node, host: told.document.host, fingerprint: told.signer, doors: told.document.doors }
      : null,
    tunnel: {
      address: config.dmz ? formatAddress(config.dmz.address) : '',
      keyExchange: ('value' in running ? running.value.tunnel.group : null) ?? '',
    },
    configuration: [...('value' in onDisk ? onDisk.value : []), ...(told?.document.configuration ?? [])],
    policyNumber: told?.document.policyNumber ?? 0,
    auditHeads: { inside: 'value' in audit ? audit.value.head : '', dmz: told?.document.auditHead ?? '' },
    groups: check.groups.map(({ title, claims }) => ({
      title,
      claims: claims.map((claim) => ({ ...claim, evidence: [...claim.evidence], offending: [...claim.offending] })),
    })),
    flows: [...flows],
    inventory: [...own, ...(told?.document.inventory ?? [])],
    transfers: [...transfers],
    requirements: metRequirements(claimsOf(check)).map(({ claims, failing, section, ...rest }) => ({
      ...rest,
      claims: [...claims],
      failing: [...failing],
      ...(section === undefined ? {} : { section }),
    })),
    notCovered: [...notCovered],
  };
}

export const reportFiles = (report: Report): ReportFile[] => [
  { name: 'report.json', bytes: `${JSON.stringify(report, null, 2)}\n` },
  { name: 'report.html', bytes: reportHtml(report) },
  { name: 'report.md', bytes: reportMarkdown(report) },
];

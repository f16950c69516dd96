/** Makes the report of a check, in all its forms. */
import { formatAddress } from '../../../shared/config/units.ts';
import type { DmzListener } from '../../../shared/firewall/dmz-network.ts';
import { type Flow, networksText, portsText, type RuleBase } from '../../../shared/firewall/flows.ts';
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
  readonly ruleBase: RuleBase | undefined;
}

export function reportOf(check: Check, { fingerprint, transfers, ruleBase }: ReportParts): Report {
  const { config, statement, running, audit, inventory, onDisk, host, nowMs } = check.facts;
  const told = 'value' in statement ? statement.value : undefined;
  const own = 'value' in inventory ? inventory.value : [];
  return {
    schema: 'sallyport-report-1',
    madeAt: new Date(nowMs).toISOString(),
    version: programVersion,
    inside: { node: config.name, host, fingerprint },
    dmz: told
      ? {
          node: told.document.node,
          host: told.document.host,
          fingerprint: told.signer,
          doors: told.document.network.listeners.map(doorOf),
        }
      : null,
    tunnel: {
      address: config.dmz ? formatAddress(config.dmz.address) : '',
      keyExchange: ('value' in running ? running.value.tunnel.group : null) ?? '',
    },
    configuration: [
      ...('value' in onDisk ? onDisk.value : []).map((one) => ({ node: config.name, ...one })),
      ...(told?.document.configuration ?? []).map((one) => ({ node: told?.document.node ?? '', ...one })),
    ],
    policyNumber: told?.document.policyNumber ?? 0,
    auditHeads: { inside: 'value' in audit ? audit.value.head : '', dmz: told?.document.auditHead ?? '' },
    groups: check.groups.map(({ title, claims }) => ({
      title,
      claims: claims.map((claim) => ({ ...claim, evidence: [...claim.evidence], offending: [...claim.offending] })),
    })),
    flows: (ruleBase?.flows ?? []).map(reportedFlow),
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

const doorOf = ({ use, host, first, last }: DmzListener): { name: string; address: string; ports: string } => ({
  name: use,
  address: host,
  ports: portsText({ ports: { first, last } }),
});

function reportedFlow(flow: Flow): ReportedFlow {
  const { from, to, protocol, verdict, purpose, source, owner, reviewedOn, exception, families } = flow;
  const party = (one: Flow['from']): string => `${one.name} (${networksText(one, families)})`;
  return {
    ...{ from: party(from), to: party(to), protocol, ports: portsText(flow), verdict, purpose, source },
    ...{ owner: owner ?? '', reviewed: reviewedOn ?? '', exception: exception ?? '' },
  };
}

export const reportFiles = (report: Report): ReportFile[] => [
  { name: 'report.json', bytes: `${JSON.stringify(report, null, 2)}\n` },
  { name: 'report.html', bytes: reportHtml(report) },
  { name: 'report.md', bytes: reportMarkdown(report) },
];

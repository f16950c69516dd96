/** How rules are put into words, the same in every format. */
import { type Flow, networksText, portsText, type RuleBase } from '../flows.ts';
import type { HostPolicy, TrafficRule } from '../host-policy.ts';
import { families } from '../networks.ts';

/** One row of the rule base for people. */
export interface Row {
  readonly from: string;
  readonly to: string;
  readonly port: string;
  readonly protocol: string;
  readonly family: string;
  readonly opened: string;
  readonly purpose: string;
  readonly line: string;
  readonly owner: string;
  readonly reviewed: string;
  readonly reviewBy: string;
  readonly exception: string;
}

export const headings: Readonly<Record<keyof Row, string>> = {
  from: 'from',
  to: 'to',
  port: 'port',
  protocol: 'protocol',
  family: 'family',
  opened: 'opened by',
  purpose: 'purpose',
  line: 'configuration line',
  owner: 'owner',
  reviewed: 'last reviewed',
  reviewBy: 'review by',
  exception: 'look twice',
};

export const rowsOf = (base: RuleBase): readonly Row[] => base.flows.map(rowOf);

export function rowOf(flow: Flow): Row {
  const { from, to, verdict, protocol, families: of } = flow;
  const source = flow.sourcePort === null ? '' : ` (from port ${flow.sourcePort})`;
  return {
    from: `${from.name}: ${networksText(from, of)}`,
    to: `${to.name}: ${networksText(to, of)}`,
    port: `${portsText(flow)}${source}`,
    protocol,
    family: of.length === families.length ? 'IPv4, IPv6' : of.map((family) => (family === 'ipv4' ? 'IPv4' : 'IPv6')).join(''),
    opened: verdict === 'drop' ? 'NOBODY: drop and log' : from.name,
    purpose: flow.purpose,
    line: `${flow.source}${flow.told ? ' (told by the DMZ node)' : ''}`,
    owner: flow.owner ?? 'not named',
    reviewed: flow.reviewedOn ?? 'never',
    reviewBy: flow.reviewBy ?? '',
    exception: flow.exception ?? '',
  };
}

/** The first lines of every file that is made. */
export const heading = ({ title }: HostPolicy): readonly string[] => [
  `Sallyport: rules of the ${title}`,
  'Made by `sallyport firewall` from the configuration; make it anew instead of editing it.',
  'What no rule takes is dropped.',
];

/** At most so many bytes, in plain ASCII. */
export function short(text: string, mostBytes: number): string {
  const ascii = text
    .replaceAll('–', '-')
    .replace(/[^ -~]/g, '?')
    .replaceAll('"', "'");
  return ascii.length <= mostBytes ? ascii : `${ascii.slice(0, mostBytes - 3)}...`;
}

/** Every pair of a source and a target; null: any. */
export function pairs({ from, to }: TrafficRule): readonly (readonly [string | null, string | null])[] {
  const sources = from.length === 0 ? [null] : from;
  const targets = to.length === 0 ? [null] : to;
  return sources.flatMap((source) => targets.map((target) => [source, target] as const));
}

/** Both words of the family's any. */
export const anyNetwork = { ipv4: '0.0.0.0/0', ipv6: '::/0' } as const;

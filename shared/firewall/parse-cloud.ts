/**
 * Reads security groups of AWS (`aws ec2 describe-security-groups`) and of Azure (`az network nsg show`) as JSON. Both keep
 * state by themselves: replies to what is let through always pass. Names of other groups and of prefix lists are not understood.
 */
import { z } from 'zod';
import { SallyportError } from '../errors.ts';
import { Conditions, InterfaceNames } from './conditions.ts';
import { neighbourTypes } from './host-policy.ts';
import { single, span, union } from './intervals.ts';
import { families, familyOf, intervalOf } from './networks.ts';
import { protocolNumbers } from './region.ts';
import type { FilterRule, Ruleset } from './ruleset.ts';

const described = z.object({ Description: z.string().optional() });
const awsPermission = z.object({
  IpProtocol: z.string(),
  FromPort: z.number().optional(),
  ToPort: z.number().optional(),
  IpRanges: z.array(described.extend({ CidrIp: z.string() })).default([]),
  Ipv6Ranges: z.array(described.extend({ CidrIpv6: z.string() })).default([]),
  UserIdGroupPairs: z.array(z.unknown()).default([]),
  PrefixListIds: z.array(z.unknown()).default([]),
});
type AwsPermission = z.infer<typeof awsPermission>;
const awsSchema = z.object({
  SecurityGroups: z.array(
    z.object({
      GroupName: z.string().optional(),
      IpPermissions: z.array(awsPermission).default([]),
      IpPermissionsEgress: z.array(awsPermission).default([]),
    }),
  ),
});

/** The command prints a rule flat, a template keeps all but its name in `properties`. */
const flat = (value: unknown): unknown => {
  const { properties } = (value ?? {}) as { properties?: object };
  return properties === undefined ? value : { ...(value as object), ...properties };
};

const azureRule = z.preprocess(
  flat,
  z.object({
    name: z.string(),
    priority: z.number(),
    direction: z.enum(['Inbound', 'Outbound']),
    access: z.enum(['Allow', 'Deny']),
    protocol: z.string(),
    sourceAddressPrefix: z.string().nullish(),
    sourceAddressPrefixes: z.array(z.string()).default([]),
    destinationAddressPrefix: z.string().nullish(),
    destinationAddressPrefixes: z.array(z.string()).default([]),
    destinationPortRange: z.string().nullish(),
    destinationPortRanges: z.array(z.string()).default([]),
    sourcePortRange: z.string().nullish(),
    description: z.string().nullish(),
  }),
);
type AzureRule = z.infer<typeof azureRule>;
const azureSchema = z.object({
  securityRules: z.array(azureRule),
  defaultSecurityRules: z.array(azureRule).optional(),
});

/** @throws SallyportError `usage` for JSON that is neither. */
export function parseCloud(value: unknown): Ruleset {
  const aws = awsSchema.safeParse(value);
  if (aws.success) return awsRuleset(aws.data);
  // A template holds one group among its resources, a group of the command line stands alone.
  const { resources = [value] } = (value ?? {}) as { resources?: readonly unknown[] };
  const groups = resources.length === 1 ? resources : [];
  const azure = azureSchema.safeParse((groups[0] as { properties?: unknown } | undefined)?.properties ?? groups[0]);
  if (azure.success) return azureRuleset(azure.data);
  throw new SallyportError('usage', 'this JSON is no list of security groups of AWS and no network security group of Azure');
}

const interfaces = new InterfaceNames();

function ruleset(kind: string, rules: Readonly<Record<'input' | 'output', readonly FilterRule[]>>): Ruleset {
  const replies = (): FilterRule => {
    const conditions = new Conditions(interfaces, families);
    conditions.states(['established', 'related']);
    return conditions.rule('replies', null, { kind: 'accept' });
  };
  // Neighbours of IPv6 are none of a security group's business: they always find each other.
  const neighbours = (hook: 'input' | 'output'): FilterRule => {
    const conditions = new Conditions(interfaces, families);
    conditions.icmpType('icmpv6', union(...neighbourTypes[hook].map((type) => single(type))));
    return conditions.rule('neighbours', null, { kind: 'accept' });
  };
  const base = (['input', 'output'] as const).map((hook) => ({
    name: hook === 'input' ? 'inbound' : 'outbound',
    rules: [replies(), neighbours(hook), ...rules[hook]],
    ...{ hook, priority: 0, policy: 'drop' as const, families },
  }));
  return { kind, base, chains: new Map(), interfaces: interfaces.names, unknownFamilies: [], remarks: [], perHost: true };
}

function awsRuleset({ SecurityGroups: groups }: z.infer<typeof awsSchema>): Ruleset {
  const rules = (end: 'from' | 'to', of: (group: (typeof groups)[number]) => readonly AwsPermission[]): FilterRule[] =>
    groups.flatMap((group) => of(group).flatMap((permission) => awsRules(permission, end)));
  return ruleset('security groups of AWS', {
    input: rules('from', (group) => group.IpPermissions),
    output: rules('to', (group) => group.IpPermissionsEgress),
  });
}

function awsRules(permission: AwsPermission, end: 'from' | 'to'): FilterRule[] {
  const { IpProtocol: protocol, FromPort: first, ToPort: last } = permission;
  const ports = first === undefined || first === -1 ? '' : `${first}-${last}`;
  const one = (network: string | undefined, comment: string | undefined): FilterRule => {
    const conditions = new Conditions(interfaces, families);
    if (protocol !== '-1') setProtocol(protocol, conditions);
    if (protocol !== '-1' && first !== undefined && last !== undefined && first >= 0 && !protocol.startsWith('icmp')) {
      conditions.port('port', span(first, last));
    }
    if (network === undefined) conditions.unclear('a group or a prefix list');
    else conditions.address(end, familyOf(network), [intervalOf(network)], false);
    const text = `allow ${protocol === '-1' ? 'all' : protocol} ${ports} ${end} ${network ?? 'a group or a prefix list'}`;
    return conditions.rule(text.replace(/ +/g, ' '), comment ?? null, { kind: 'accept' });
  };
  return [
    ...permission.IpRanges.map(({ CidrIp, Description }) => one(CidrIp, Description)),
    ...permission.Ipv6Ranges.map(({ CidrIpv6, Description }) => one(CidrIpv6, Description)),
    ...[...permission.UserIdGroupPairs, ...permission.PrefixListIds].map(() => one(undefined, undefined)),
  ];
}

function azureRuleset({ securityRules, defaultSecurityRules = [] }: z.infer<typeof azureSchema>): Ruleset {
  const sorted = [...securityRules, ...defaultSecurityRules].sort((a, b) => a.priority - b.priority);
  const of = (direction: AzureRule['direction']): FilterRule[] =>
    sorted.filter((rule) => rule.direction === direction).flatMap(azureRules);
  return ruleset('network security group of Azure', { input: of('Inbound'), output: of('Outbound') });
}

const whole = ['*', 'Internet', 'Any', '0.0.0.0/0', '::/0'];

function azureRules(rule: AzureRule): FilterRule[] {
  const list = (one: string | null | undefined, many: readonly string[]): readonly string[] =>
    many.length > 0 ? many : [one ?? '*'];
  const sources = list(rule.sourceAddressPrefix, rule.sourceAddressPrefixes);
  const targets = list(rule.destinationAddressPrefix, rule.destinationAddressPrefixes);
  return sources.flatMap((source) =>
    targets.flatMap((target) =>
      list(rule.destinationPortRange, rule.destinationPortRanges).map((ports) => {
        const conditions = new Conditions(interfaces, families);
        if (rule.protocol !== '*') setProtocol(rule.protocol.toLowerCase(), conditions);
        azureAddress('from', source, conditions);
        azureAddress('to', target, conditions);
        if (ports !== '*') conditions.port('port', portSpan(ports));
        if ((rule.sourcePortRange ?? '*') !== '*') conditions.port('sourcePort', portSpan(rule.sourcePortRange ?? ''));
        const text = `${rule.priority} ${rule.name}: ${rule.access} ${rule.protocol} ${ports} from ${source} to ${target}`;
        return conditions.rule(text, rule.description ?? null, { kind: rule.access === 'Allow' ? 'accept' : 'drop' });
      }),
    ),
  );
}

function azureAddress(which: 'from' | 'to', prefix: string, to: Conditions): void {
  if (whole.includes(prefix)) {
    if (prefix.includes('/')) to.family([familyOf(prefix)]);
    return;
  }
  try {
    to.address(which, familyOf(prefix), [intervalOf(prefix)], false);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    to.unclear(`the service tag ${prefix}`);
  }
}

const portSpan = (text: string) => {
  const [first = '', last = first] = text.split('-');
  return span(Number(first), Number(last));
};

function setProtocol(name: string, to: Conditions): void {
  const number = (protocolNumbers as Readonly<Record<string, number>>)[name] ?? Number(name);
  if (Number.isInteger(number)) to.protocol(single(number));
  else to.unclear(`protocol ${name}`);
}

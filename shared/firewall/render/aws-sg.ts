/**
 * Security groups of AWS, in the form of `aws ec2 describe-security-groups`: `IpPermissions` and `IpPermissionsEgress` are what
 * `authorize-security-group-ingress` and `-egress` take. A group only lets through, so rows that nobody opens are not in it; take
 * the rule away that lets everything out of a new group.
 */
import type { Hook, HostPolicy, TrafficRule } from '../host-policy.ts';
import { type Family, withoutNetworks } from '../networks.ts';
import { anyNetwork, short } from './words.ts';

/** Longest description, and what may stand in it. */
const descriptionBytes = 255;
export const awsDescription = (text: string): string =>
  short(text, descriptionBytes).replace(/[^a-zA-Z0-9. _\-:/()#,@[\]+=&;{}!$*]/g, ' ');

export function renderAwsSg(policies: readonly HostPolicy[]): string {
  const groups = policies.map((policy) => ({
    GroupName: groupName(policy),
    Description: awsDescription(`Sallyport: rules of the ${policy.title}`),
    IpPermissions: permissions(policy, 'input'),
    IpPermissionsEgress: permissions(policy, 'output'),
  }));
  return `${JSON.stringify({ SecurityGroups: groups }, null, 2)}\n`;
}

export const groupName = ({ place }: HostPolicy): string => (place === 'dmz' ? 'sallyport-dmz' : 'sallyport-inside');

/** Rules that a group can hold, with the networks at the other end. */
export const groupRules = (
  policy: HostPolicy,
  hook: Hook,
): readonly { readonly rule: TrafficRule; readonly networks: readonly string[] }[] =>
  policy.rules.flatMap((rule) => {
    if (rule.kind !== 'traffic' || rule.hook !== hook || rule.action !== 'accept') return [];
    const named = hook === 'input' ? rule.from : rule.to;
    const other = named.length > 0 ? named : [anyNetwork[rule.family]];
    // A group cannot say "but not there": what must never be reached is cut out of the networks.
    const never = policy.rules.flatMap((one) =>
      one.kind === 'traffic' && one.id === 'dmz-to-inside' && one.hook === hook && one.family === rule.family ? one.to : [],
    );
    const left = never.length === 0 ? other : withoutNetworks(other, never, rule.family);
    return [{ rule, networks: left.map((one) => whole(one, rule.family)) }];
  });

/** A group takes networks only. */
const whole = (network: string, family: Family): string =>
  network.includes('/') ? network : `${network}/${family === 'ipv4' ? 32 : 128}`;

function permissions(policy: HostPolicy, hook: 'input' | 'output') {
  return groupRules(policy, hook).map(({ rule, networks }) => {
    const Description = awsDescription(rule.comment);
    const ranges =
      rule.family === 'ipv4'
        ? { IpRanges: networks.map((CidrIp) => ({ CidrIp, Description })) }
        : { Ipv6Ranges: networks.map((CidrIpv6) => ({ CidrIpv6, Description })) };
    const { first = 0, last = 65_535 } = rule.ports ?? {};
    return { IpProtocol: rule.protocol === 'any' ? '-1' : rule.protocol, FromPort: first, ToPort: last, ...ranges };
  });
}

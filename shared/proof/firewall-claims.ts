/**
 * Claims that rest on the rules of the kernel: what they let through must be what the rule base of the pair asks for. Judged by
 * meaning (`shared/firewall/compare.ts`), doubt against the rules. Pure.
 */

import { asSallyportError } from '../errors.ts';
import { compare, type Difference, packetText } from '../firewall/compare.ts';
import type { RuleBase } from '../firewall/flows.ts';
import { hostPolicy } from '../firewall/host-policy.ts';
import { single, span, union, without } from '../firewall/intervals.ts';
import { type Family, families, intervalOf, ofFamily } from '../firewall/networks.ts';
import { everything, protocolNumbers } from '../firewall/region.ts';
import { accepted, type Ruleset } from '../firewall/ruleset.ts';
import { about, type Claim, type ClaimText, type Fact, judged, known, missing } from './claim.ts';
import type { Side } from './common-claims.ts';

export interface FirewallFacts {
  /** Of the kernel of the node's host. */
  readonly ruleset: Fact<Ruleset>;
  readonly ruleBase: Fact<RuleBase>;
}

const text = (side: Side, id: string, statement: string): ClaimText => ({
  id: `${side}.firewall-${id}`,
  kind: 'enforced',
  statement,
  command: 'nft list ruleset',
});

type Judgement = Fact<{ readonly differences: readonly Difference[]; readonly rules: number }>;

/** Rules that should be there and are not cut nobody's way in: only what is too wide, or unknown, counts here. */
function judge(side: Side, { ruleset, ruleBase }: FirewallFacts): Judgement {
  if ('missing' in ruleset) return ruleset;
  if ('missing' in ruleBase) return ruleBase;
  try {
    const policy = hostPolicy(ruleBase.value, side === 'dmz' ? 'dmz' : 'internal');
    const differences = compare(policy, ruleset.value).filter(({ kind }) => kind !== 'missing');
    const rules = [...ruleset.value.base, ...ruleset.value.chains.values()].reduce((sum, chain) => sum + chain.rules.length, 0);
    return known({ differences, rules });
  } catch (error) {
    return missing(asSallyportError(error).message);
  }
}

const onlyIpv6 = ({ families: of }: Difference): boolean => of.length === 1 && of[0] === 'ipv6';

const lineOf = ({ rule, packets }: Difference): string =>
  packets.length === 0 ? rule : `${rule}: lets ${packets.join('; ')} through`;

function hookClaim(claim: ClaimText, judgement: Judgement, hook: Difference['hook']): Claim {
  return about(claim, judgement, ({ differences, rules }) => ({
    offending: differences.filter((one) => one.hook === hook && !onlyIpv6(one)).map(lineOf),
    evidence: [`${rules} rules of the kernel looked through, for all protocols and both families`],
  }));
}

/** What cannot be judged is unknown. */
export function firewallClaims(side: Side, facts: FirewallFacts): Claim[] {
  const judgement = judge(side, facts);
  const statements =
    side === 'dmz'
      ? {
          in: 'The kernel of the DMZ host lets in what its doors need, and drops everything else.',
          out: 'The kernel of the DMZ host lets no connection out: neither to the inside nor to the Internet.',
          forward: 'The DMZ host passes no packets on from one network to another.',
          ipv6: 'IPv6 is as closed on the DMZ host as IPv4.',
        }
      : {
          in: 'The kernel of the internal host lets no connection in that nobody declared, and none from the DMZ.',
          out: '',
          forward: 'The internal host passes no packets on from one network to another.',
          ipv6: 'IPv6 is as closed on the internal host as IPv4.',
        };
  return [
    hookClaim(text(side, 'in', statements.in), judgement, 'input'),
    // Whom the inside calls is its own business; the DMZ calls nobody.
    ...(side === 'dmz' ? [hookClaim(text(side, 'out', statements.out), judgement, 'output'), tunnelClaim(facts)] : []),
    hookClaim(text(side, 'forward', statements.forward), judgement, 'forward'),
    about(text(side, 'ipv6', statements.ipv6), judgement, ({ differences }) => ({
      offending: differences
        .filter((one) => onlyIpv6(one) && (side === 'dmz' || one.hook !== 'output'))
        .map((one) => `${one.hook}, IPv6 only: ${lineOf(one)}`),
      evidence: ['every rule was asked of IPv6, too'],
    })),
  ];
}

function tunnelClaim({ ruleset, ruleBase }: FirewallFacts): Claim {
  const claim = text('dmz', 'tunnel', 'The kernel lets nobody but the internal node reach the port of the tunnel.');
  if ('missing' in ruleBase) return about(claim, ruleBase, () => ({ offending: [], evidence: [] }));
  const tunnel = ruleBase.value.flows.find(({ id }) => id === 'tunnel');
  const { ports } = tunnel ?? {};
  if (!tunnel || !ports) return judged(claim, ['the rule base has no tunnel'], []);
  return about(claim, ruleset, (live) => ({
    offending: families.flatMap((family) => strangersAt(live, family, ports, tunnel.from.networks)),
    evidence: [`tcp ${ports.first}: only from ${tunnel.from.networks.join(', ')}`],
  }));
}

/** What lets somebody else than the inside through to these ports. */
function strangersAt(
  live: Ruleset,
  family: Family,
  ports: { readonly first: number; readonly last: number },
  inside: readonly string[],
): string[] {
  const interfaces = live.interfaces.length + 1;
  const all = everything(family, interfaces);
  const own = union(...ofFamily(inside, family).map((network) => [intervalOf(network)]));
  const packets = [
    {
      ...all,
      protocol: single(protocolNumbers.tcp),
      port: span(ports.first, ports.last),
      from: without(all.from, own),
      inside: span(1, interfaces - 1),
    },
  ];
  const through = accepted(live, { hook: 'input', family, state: 'new', packets, doubt: 'open' });
  return [...new Set(through.map(({ by, box }) => `${by}: lets ${packetText(box, family)} through`))];
}

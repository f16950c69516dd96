/** nftables: one table of its own, replaced as a whole. Default drop in every hook; what must never be is logged and counted by name. */
import type { Hook, HostPolicy, HostRule, TrafficRule } from '../host-policy.ts';
import { heading, short } from './words.ts';

/** Longest comment that the kernel keeps, bytes. */
const commentBytes = 128;
const neighbours: Readonly<Record<'input' | 'output', string>> = {
  input: 'nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert',
  output: 'nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert, mld2-listener-report',
};

export function renderNft(policy: HostPolicy): string {
  const drops = [...new Set(policy.rules.flatMap((rule) => (isDrop(rule) ? [counterOf(rule)] : [])))];
  const counters = drops.map((name) => `  counter ${name} {\n  }\n`);
  const chains = policy.hooks.map((hook) => chainOf(policy, hook));
  return [
    '#!/usr/sbin/nft -f',
    ...heading(policy).map((line) => `# ${line}`),
    '# Counters: nft list counters table inet sallyport',
    'table inet sallyport',
    'delete table inet sallyport',
    'table inet sallyport {',
    [...counters, ...chains].join('\n'),
    '}\n',
  ].join('\n');
}

function chainOf(policy: HostPolicy, hook: Hook): string {
  const lines = policy.rules.filter((rule) => rule.hook === hook).flatMap(ruleLines);
  return [
    `  chain ${hook} {`,
    `    type filter hook ${hook} priority filter; policy drop;`,
    ...lines.map((line) => `    ${line}`),
    '  }\n',
  ].join('\n');
}

function ruleLines(rule: HostRule): string[] {
  const comment = `comment "${short(rule.comment, commentBytes)}"`;
  if (rule.kind === 'loopback') return [`${rule.hook === 'output' ? 'oif' : 'iif'} "lo" accept ${comment}`];
  if (rule.kind === 'replies') return [`ct state { established, related } accept ${comment}`];
  if (rule.kind === 'neighbours') {
    return [`icmpv6 type { ${neighbours[rule.hook === 'output' ? 'output' : 'input']} } accept ${comment}`];
  }
  const match = matchOf(rule);
  if (rule.action === 'accept') return [`${match} ct state new accept ${comment}`];
  return [
    `${match} limit rate 10/minute burst 20 packets log prefix "sallyport ${rule.id}: "`,
    `${match} counter name ${counterOf(rule)} drop ${comment}`,
  ];
}

function matchOf({ family, from, to, protocol, ports, sourcePort }: TrafficRule): string {
  const ip = family === 'ipv4' ? 'ip' : 'ip6';
  const set = (values: readonly string[]): string => (values.length === 1 ? (values[0] ?? '') : `{ ${values.join(', ')} }`);
  const words = [
    ...(from.length > 0 ? [`${ip} saddr ${set(from)}`] : []),
    ...(to.length > 0 ? [`${ip} daddr ${set(to)}`] : []),
    ...(from.length === 0 && to.length === 0 ? [`meta nfproto ${family}`] : []),
  ];
  if (protocol === 'any') return words.join(' ');
  if (sourcePort !== null) words.push(`${protocol} sport ${sourcePort}`);
  if (!ports) return [...words, `meta l4proto ${protocol}`].join(' ');
  words.push(`${protocol} dport ${ports.first === ports.last ? ports.first : `${ports.first}-${ports.last}`}`);
  return words.join(' ');
}

const isDrop = (rule: HostRule): rule is TrafficRule => rule.kind === 'traffic' && rule.action === 'drop';
const counterOf = ({ id }: TrafficRule): string => id.replaceAll('-', '_');

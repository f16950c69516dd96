/**
 * iptables and ip6tables as one shell script: the chains of both families are replaced, each family at once. `sh FILE --test` only
 * has it checked.
 */
import type { Hook, HostPolicy, HostRule, TrafficRule } from '../host-policy.ts';
import { neighbourTypes } from '../host-policy.ts';
import { type Family, families } from '../networks.ts';
import { heading, pairs, short } from './words.ts';

const commentBytes = 255;
/** Longest prefix of a log line. */
const prefixBytes = 29;
const tools: Readonly<Record<Family, string>> = { ipv4: 'iptables-restore', ipv6: 'ip6tables-restore' };

export function renderIptables(policy: HostPolicy): string {
  const documents = families.map((family) => [
    `${tools[family]} --noflush \${1:+"$1"} <<'END'`,
    ...restoreLines(policy, family),
    'END',
  ]);
  return [
    '#!/bin/sh',
    ...heading(policy).map((line) => `# ${line}`),
    '# sh FILE --test checks it and changes nothing.',
    'set -e',
    ...documents.flat(),
    '',
  ].join('\n');
}

/** What `iptables-restore` or `ip6tables-restore` reads. */
export function restoreLines(policy: HostPolicy, family: Family): readonly string[] {
  const chains = policy.hooks.map((hook) => `:${chainOf(hook)} DROP [0:0]`);
  const emptied = policy.hooks.map((hook) => `-F ${chainOf(hook)}`);
  return ['*filter', ...chains, ...emptied, ...policy.rules.flatMap((rule) => ruleLines(rule, family)), 'COMMIT'];
}

const chainOf = (hook: Hook): string => hook.toUpperCase();

function ruleLines(rule: HostRule, family: Family): string[] {
  const chain = chainOf(rule.hook);
  const comment = `-m comment --comment "${short(rule.comment, commentBytes).replaceAll('\\', '/')}"`;
  if (rule.kind === 'loopback') return [`-A ${chain} ${rule.hook === 'output' ? '-o' : '-i'} lo ${comment} -j ACCEPT`];
  if (rule.kind === 'replies') return [`-A ${chain} -m conntrack --ctstate RELATED,ESTABLISHED ${comment} -j ACCEPT`];
  if (rule.kind === 'neighbours') {
    if (family === 'ipv4') return [];
    const types = neighbourTypes[rule.hook === 'output' ? 'output' : 'input'];
    return types.map((type) => `-A ${chain} -p ipv6-icmp -m icmp6 --icmpv6-type ${type} ${comment} -j ACCEPT`);
  }
  if (rule.family !== family) return [];
  return pairs(rule).flatMap(([from, to]) => {
    const match = matchOf(rule, from, to);
    if (rule.action === 'accept') return [`-A ${chain}${match} -m conntrack --ctstate NEW ${comment} -j ACCEPT`];
    const log = `-m limit --limit 10/min --limit-burst 20 -j LOG --log-prefix "${short(`sp ${rule.id}`, prefixBytes - 2)}: "`;
    return [`-A ${chain}${match} ${log}`, `-A ${chain}${match} ${comment} -j DROP`];
  });
}

function matchOf({ protocol, ports, sourcePort }: TrafficRule, from: string | null, to: string | null): string {
  const words = [...(from === null ? [] : ['-s', from]), ...(to === null ? [] : ['-d', to])];
  if (protocol !== 'any') words.push('-p', protocol, '-m', protocol);
  if (sourcePort !== null) words.push('--sport', String(sourcePort));
  if (ports) words.push('--dport', ports.first === ports.last ? String(ports.first) : `${ports.first}:${ports.last}`);
  return words.map((word) => ` ${word}`).join('');
}

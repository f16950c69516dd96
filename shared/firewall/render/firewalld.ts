/**
 * firewalld as a shell script: a zone for what comes in, a policy for what goes out and one for what goes through (firewalld 0.9
 * and newer). Replies and the loopback are let through by firewalld itself.
 */
import type { Hook, HostPolicy, TrafficRule } from '../host-policy.ts';
import { heading, pairs, short } from './words.ts';

/** firewalld tries rules of a lower number first. */
const firstPriority = -1000;

export function renderFirewalld(policy: HostPolicy): string {
  const lines = policy.hooks.flatMap((hook) => hookLines(policy, hook));
  return [
    '#!/bin/sh',
    ...heading(policy).map((line) => `# ${line}`),
    '# Put the interfaces of the host into the zone: firewall-cmd --permanent --zone=sallyport --add-interface=eth0',
    'set -e',
    ...lines,
    'firewall-cmd --reload',
    '',
  ].join('\n');
}

const targets: Readonly<Record<Hook, { readonly option: string; readonly make: readonly string[] }>> = {
  input: {
    option: '--zone=sallyport',
    make: ['firewall-cmd --permanent --new-zone=sallyport', 'firewall-cmd --permanent --zone=sallyport --set-target=DROP'],
  },
  output: { option: '--policy=sallyport-out', make: policyLines('sallyport-out', 'HOST', 'ANY') },
  forward: { option: '--policy=sallyport-through', make: policyLines('sallyport-through', 'ANY', 'ANY') },
};

function policyLines(name: string, from: string, to: string): string[] {
  const set = `firewall-cmd --permanent --policy=${name}`;
  return [
    `firewall-cmd --permanent --new-policy=${name}`,
    `${set} --add-ingress-zone=${from}`,
    `${set} --add-egress-zone=${to}`,
    `${set} --set-target=DROP`,
  ];
}

function hookLines(policy: HostPolicy, hook: Hook): string[] {
  const { option, make } = targets[hook];
  const rules = policy.rules
    .filter((rule) => rule.hook === hook)
    .flatMap((rule) => {
      if (rule.kind === 'neighbours') return neighbourRules(hook).map((text) => ({ comment: rule.comment, text }));
      return rule.kind === 'traffic' ? richRules(rule).map((text) => ({ comment: rule.comment, text })) : [];
    });
  return [
    '',
    ...make,
    ...rules.flatMap(({ comment, text }, index) => [
      `# ${short(comment, 400)}`,
      `firewall-cmd --permanent ${option} --add-rich-rule='rule priority="${firstPriority + index}" ${text}'`,
    ]),
  ];
}

const neighbourRules = (hook: Hook): string[] =>
  [hook === 'output' ? 'router-solicitation' : 'router-advertisement', 'neighbour-solicitation', 'neighbour-advertisement'].map(
    (name) => `family="ipv6" icmp-type name="${name}" accept`,
  );

function richRules(rule: TrafficRule): string[] {
  const { family, protocol, ports, sourcePort, action } = rule;
  return pairs(rule).map(([from, to]) => {
    const range = ports && (ports.first === ports.last ? String(ports.first) : `${ports.first}-${ports.last}`);
    return [
      `family="${family}"`,
      ...(from === null ? [] : [`source address="${from}"`]),
      ...(to === null ? [] : [`destination address="${to}"`]),
      // One element only: a rule that also names the port it comes from is held to that.
      ...(sourcePort !== null
        ? [`source-port port="${sourcePort}" protocol="${protocol}"`]
        : range
          ? [`port port="${range}" protocol="${protocol}"`]
          : []),
      ...(action === 'accept' ? ['accept'] : [`log prefix="sallyport ${rule.id}: " level="info" limit value="10/m"`, 'drop']),
    ].join(' ');
  });
}

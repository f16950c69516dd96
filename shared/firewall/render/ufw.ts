/**
 * ufw as a shell script. Replies, the loopback and the neighbours of IPv6 are let through by ufw's own `before.rules`. With
 * `UFW='ufw --dry-run'` in the environment nothing is changed.
 */
import type { HostPolicy, TrafficRule } from '../host-policy.ts';
import { anyNetwork, heading, pairs, short } from './words.ts';

export function renderUfw(policy: HostPolicy): string {
  const defaults = policy.hooks.map(
    (hook) => `$UFW default deny ${{ input: 'incoming', output: 'outgoing', forward: 'routed' }[hook]}`,
  );
  return [
    '#!/bin/sh',
    ...heading(policy).map((line) => `# ${line}`),
    "# UFW='ufw --dry-run' sh FILE changes nothing. Needs IPV6=yes in /etc/default/ufw. Rules of before remain: ufw status numbered",
    'set -e',
    `UFW=\${UFW:-ufw}`,
    ...defaults,
    ...policy.rules.flatMap((rule) => (rule.kind === 'traffic' ? ruleLines(rule) : [])),
    '',
  ].join('\n');
}

function ruleLines(rule: TrafficRule): string[] {
  const { hook, action, protocol, ports, sourcePort, family, comment } = rule;
  const verb = action === 'accept' ? 'allow' : 'deny';
  const begin = hook === 'forward' ? `route ${verb}` : `${verb} ${hook === 'input' ? 'in' : 'out'}`;
  const range = ports && (ports.first === ports.last ? String(ports.first) : `${ports.first}:${ports.last}`);
  return pairs(rule).map(([from, to]) =>
    [
      `$UFW ${begin}`,
      ...(action === 'drop' ? ['log'] : []),
      ...(protocol === 'any' ? [] : [`proto ${protocol}`]),
      `from ${from ?? anyNetwork[family]}`,
      ...(sourcePort === null ? [] : [`port ${sourcePort}`]),
      `to ${to ?? anyNetwork[family]}`,
      ...(range ? [`port ${range}`] : []),
      `comment '${commentOf(comment)}'`,
    ].join(' '),
  );
}

/** ufw 0.36 looks for these words in comments too, and takes them for the name of an interface. */
const commentOf = (comment: string): string =>
  short(comment, 200)
    .replace(/['`$\\]/g, ' ')
    .replace(/ (in|out|on) /g, '-$1-');

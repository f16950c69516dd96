/** pf of OpenBSD and FreeBSD: a file for `pfctl -f`, or for an anchor. State is kept, so replies need no rule. */
import type { HostPolicy, HostRule, TrafficRule } from '../host-policy.ts';
import { heading, short } from './words.ts';

/** Longest label. */
const labelBytes = 63;
const neighbours = { input: 'routeradv, neighbrsol, neighbradv', output: 'routersol, neighbrsol, neighbradv' } as const;

export function renderPf(policy: HostPolicy): string {
  const perimeter = policy.place === 'perimeter';
  return [
    ...heading(policy).map((line) => `# ${line}`),
    ...(perimeter ? [] : ['set skip on lo']),
    'block drop log all',
    ...policy.rules.flatMap(ruleLines),
    '',
  ].join('\n');
}

function ruleLines(rule: HostRule): string[] {
  const about = `# ${short(rule.comment, 400)}`;
  if (rule.kind === 'loopback' || rule.kind === 'replies') return [];
  if (rule.kind === 'neighbours') {
    const [word, types] = rule.hook === 'output' ? ['out', neighbours.output] : ['in', neighbours.input];
    return [about, `pass ${word} quick inet6 proto icmp6 all icmp6-type { ${types} }`];
  }
  return [about, trafficLine(rule)];
}

function trafficLine({ hook, action, family, from, to, protocol, ports, sourcePort, id }: TrafficRule): string {
  const list = (networks: readonly string[], own: boolean): string => {
    if (networks.length === 0) return own ? '(self)' : 'any';
    return networks.length === 1 ? (networks[0] ?? 'any') : `{ ${networks.join(' ')} }`;
  };
  const range = ports && (ports.first === ports.last ? String(ports.first) : `${ports.first}:${ports.last}`);
  return [
    action === 'accept' ? 'pass' : 'block drop',
    // What goes through a firewall is judged where it comes in and where it goes out.
    ...(hook === 'forward' ? [] : [hook === 'input' ? 'in' : 'out']),
    ...(action === 'accept' ? ['quick'] : ['log quick']),
    family === 'ipv4' ? 'inet' : 'inet6',
    ...(protocol === 'any' ? [] : [`proto ${protocol}`]),
    `from ${list(from, hook === 'output')}`,
    ...(sourcePort === null ? [] : [`port ${sourcePort}`]),
    `to ${list(to, hook === 'input')}`,
    ...(range ? [`port ${range}`] : []),
    ...(action === 'accept' ? ['keep state'] : []),
    `label "${short(`sallyport ${id}`, labelBytes)}"`,
  ].join(' ');
}

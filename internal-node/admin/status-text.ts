/** The status of the internal node for people: what is wrong first, with the next step, then one screen of facts. */
import type { Output } from '../../shared/admin/output.ts';
import { formatTime } from '../../shared/admin/output.ts';
import { formatDuration, formatSize } from '../../shared/config/units.ts';
import { printable } from '../../shared/log.ts';
import type { InternalStatus } from './api.ts';

export interface Trouble {
  readonly what: string;
  readonly next: string;
}

const slowMs = 5 * 60_000;
const skewMs = 30_000;

/** Worst first. Empty: all is well. */
export function troubles(status: InternalStatus, nowMs: number): readonly Trouble[] {
  const { tunnel, items, policy, dmz } = status;
  const found: Trouble[] = [];
  const add = (when: boolean, what: string, next: string): void => {
    if (when) found.push({ what, next });
  };
  add(
    status.suspect !== null,
    `nothing is accepted any more: ${status.suspect}`,
    'check the disk of the state folder, then restart the node',
  );
  add(!tunnel.up, tunnelTrouble(status, nowMs), tunnelNext(tunnel));
  add(
    status.configRefused !== null,
    `a changed configuration is wrong, the last good one is in use: ${status.configRefused?.replaceAll('\n', '; ')}`,
    'sallyport config check',
  );
  const untilMs = status.configUnconfirmedUntilMs;
  add(
    untilMs !== null,
    `a configuration waits to be confirmed; it goes back ${formatTime(untilMs ?? 0)}`,
    'sallyport apply --confirm keeps it, sallyport apply --roll-back takes it back now',
  );
  add(
    policy !== null && policy.expiresAtMs <= nowMs,
    `the policy of the DMZ node ran out ${formatTime(policy?.expiresAtMs ?? 0)}; partners are refused`,
    'it is renewed as soon as the tunnel is up',
  );
  for (const { destination, sinceMs, reason } of status.stopped) {
    add(
      true,
      `destination ${destination} is stopped since ${formatTime(sinceMs)}, it failed too often: ${reason}`,
      `mend it, then \`sallyport destination resume ${destination}\`; its files wait in the DMZ`,
    );
  }
  add(
    items.unrouted > 0,
    items.unrouted === 1 ? '1 item matches no rule and waits' : `${items.unrouted} items match no rule and wait`,
    'add a rule in conf.d, or take them with `sallyport pull`; see `sallyport ls --new`',
  );
  add(
    items.quarantined > 0,
    `${plural(items.quarantined, 'item')} set aside as damaged or suspect`,
    'look at each with `sallyport trace ITEM`',
  );
  const waitedMs = items.oldestWaitingMs ?? 0;
  add(
    waitedMs > slowMs,
    `an item has waited ${formatDuration(waitedMs)}`,
    'sallyport ls --new, then `sallyport trace ITEM` shows what keeps it',
  );
  add(
    dmz !== null && dmz.items.ready > 0 && (dmz.oldestReadyMs ?? 0) > slowMs,
    'the DMZ node holds items that are not fetched',
    'sallyport ls --new',
  );
  add(
    Math.abs(tunnel.clockSkewMs ?? 0) > skewMs,
    `the clocks differ by ${formatDuration(Math.abs(tunnel.clockSkewMs ?? 0))}`,
    'set the clocks of both hosts with NTP',
  );
  const { certificates } = status;
  add(
    certificates.endingSoon,
    'a certificate of the tunnel ends soon and was not renewed',
    'sallyport cert list shows which; then look at the log of its node',
  );
  add(
    certificates.phase !== 'stable',
    `an exchange of keys is under way: ${certificates.phase}${certificates.told ? '' : ', the other node does not know yet'}`,
    certificates.phase === 'announced' ? 'sallyport cert rotate switch, or back' : 'sallyport cert rotate retire, or back',
  );
  add(
    tunnel.classicalAdmitted,
    'a key exchange that is not post-quantum is admitted',
    'set tunnel.classicalKeyExchange: false when the DMZ node allows',
  );
  return found;
}

function tunnelTrouble({ tunnel }: InternalStatus, nowMs: number): string {
  if (tunnel.address === null) return 'this node knows no DMZ node yet';
  const since =
    tunnel.sinceMs === null ? 'has not been up yet' : `has been down for ${formatDuration(Math.max(0, nowMs - tunnel.sinceMs))}`;
  return `the tunnel to ${tunnel.address} ${since}${tunnel.lastFailure === null ? '' : `: ${tunnel.lastFailure}`}`;
}

function tunnelNext({ address, refusedBy }: InternalStatus['tunnel']): string {
  if (address === null) return 'sallyport connect HOST:PORT --dmz SPD-…';
  if (refusedBy === 'pin') return 'compare what `sallyport fingerprint` prints here and `sallyport-dmz fingerprint` there';
  if (refusedBy !== null) return 'mend what is named here; `sallyport-dmz status` there shows the other view';
  return 'check the network to the DMZ host and `sallyport-dmz status` there';
}

const plural = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;

export function printStatus(status: InternalStatus, nowMs: number, output: Output): void {
  const problems = troubles(status, nowMs);
  for (const { what, next } of problems) {
    output.line(`${output.style('red', '!')} ${printable(what, 500)}`);
    output.line(`  next: ${next}`);
  }
  if (problems.length > 0) output.line();
  for (const [label, text] of facts(status, nowMs)) {
    output.line(`${output.style('bold', label.padEnd(9))} ${printable(text, 500)}`);
  }
}

function facts(status: InternalStatus, nowMs: number): [string, string][] {
  const { tunnel, certificates, policy, partners, items, lastFailure, dmz } = status;
  const ago = (atMs: number): string => formatDuration(Math.max(0, nowMs - atMs));
  const connected = partners.connected.map(({ partner, sessions }) => (sessions === 1 ? partner : `${partner} (${sessions})`));
  const rows: [string, string][] = [
    ['node', `${status.node} ${status.version}, up ${ago(status.startedAtMs)}, ${status.fingerprint}`],
    [
      'tunnel',
      tunnel.up
        ? `up ${tunnel.sinceMs === null ? '' : `${ago(tunnel.sinceMs)} `}to ${tunnel.peer ?? '?'} at ${tunnel.address ?? '?'}, key exchange ${tunnel.group ?? '?'}`
        : 'down',
    ],
    [
      'keys',
      `certificate until ${formatTime(certificates.ownEndsAtMs)} UTC${certificates.peerEndsAtMs === null ? '' : `, the other node's until ${formatTime(certificates.peerEndsAtMs)} UTC`}`,
    ],
    ['policy', policy === null ? 'none sent yet' : `number ${policy.number}, ends ${formatTime(policy.expiresAtMs)} UTC`],
    ['partners', `${partners.configured} configured; connected: ${connected.join(', ') || 'none'}`],
    [
      'items',
      `${items.waiting} waiting, ${items.held} held, ${items.unrouted} unrouted, ${items.quarantined} quarantined; ${items.offered} offered`,
    ],
    ['oldest', items.oldestWaitingMs === null ? 'nothing waits' : `waiting for ${formatDuration(items.oldestWaitingMs)}`],
    ['confined', confinedText(status.confinement)],
    [
      'failure',
      lastFailure === null
        ? 'none'
        : `${ago(lastFailure.atMs)} ago, ${lastFailure.event}: ${lastFailure.detail}${lastFailure.item === null ? '' : ` (sallyport trace ${lastFailure.item.slice(0, 8)})`}`,
    ],
  ];
  if (dmz) {
    rows.push([
      'dmz',
      `${dmz.version}, ${plural(dmz.sessions, 'session')}, cache ${formatSize(dmz.cacheBytes)}, free ${formatSize(dmz.freeBytes)}, ${plural(dmz.items.partial, 'unfinished upload')}`,
    ]);
  }
  return rows;
}

function confinedText({ filtered, noNewPrivileges, listen }: InternalStatus['confinement']): string {
  if (!filtered) return 'no: nothing but the program itself keeps the agent from listening; docs/hardening.md';
  const listens = listen === 'denied' ? 'the kernel denies the agent to listen (tried just now)' : 'the agent may listen';
  return `${listens}${noNewPrivileges ? '' : '; programs may gain privileges'}`;
}

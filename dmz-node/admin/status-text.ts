/** The status of the DMZ node for people: what is wrong first, with the next step, then one screen of facts. */
import { formatTime, type Output } from '../../shared/admin/output.ts';
import { formatDuration, formatSize } from '../../shared/config/units.ts';
import { printable } from '../../shared/log.ts';
import type { DmzNodeStatus } from './api.ts';

export interface Trouble {
  readonly what: string;
  readonly next: string;
}

const slowMs = 5 * 60_000;

/** Worst first. Empty: all is well. */
export function troubles(status: DmzNodeStatus, nowMs: number): readonly Trouble[] {
  const { tunnel, items } = status;
  const found: Trouble[] = [];
  const add = (when: boolean, what: string, next: string): void => {
    if (when) found.push({ what, next });
  };
  const why = tunnel.lastFailure === null ? '' : `; last refused: ${tunnel.lastFailure}`;
  const since =
    tunnel.sinceMs === null
      ? 'has not connected yet'
      : `has been away for ${formatDuration(Math.max(0, nowMs - tunnel.sinceMs))}`;
  const gap = formatSize(status.gateBytes);
  add(
    status.suspect !== null,
    `nothing is accepted any more: ${status.suspect}`,
    'check the disk of the state folder, then restart the node',
  );
  add(
    !tunnel.up,
    `the internal node ${since}; nobody can log in${why}`,
    'run `sallyport status` on the internal node; it dials, this node never does',
  );
  add(status.policyNumber === 0, 'there is no policy yet; the doors for partners stay shut', 'connect the internal node once');
  add(
    status.policyExpiresAtMs !== null && status.policyExpiresAtMs <= nowMs,
    `the policy ran out ${formatTime(status.policyExpiresAtMs ?? 0)} UTC; partners are refused`,
    'reconnect the internal node',
  );
  add(
    status.freeBytes < status.gateBytes,
    `free space is ${formatSize(status.freeBytes)}, below the gate of ${gap}; uploads are refused`,
    'make room on the file system of the state folder',
  );
  add(
    items.unrouted > 0,
    items.unrouted === 1 ? '1 item matches no rule and waits' : `${items.unrouted} items match no rule and wait`,
    'add a rule on the internal node',
  );
  add(
    (status.oldestReadyMs ?? 0) > slowMs,
    `an item has waited ${formatDuration(status.oldestReadyMs ?? 0)} to be fetched`,
    'run `sallyport status` on the internal node',
  );
  const { certificates } = status;
  add(
    certificates.endingSoon,
    'a certificate of the tunnel ends soon and was not renewed',
    'sallyport-dmz cert list shows which; then look at the log of its node',
  );
  add(
    certificates.phase !== 'stable',
    `an exchange of keys is under way: ${certificates.phase}${certificates.told ? '' : ', the other node does not know yet'}`,
    certificates.phase === 'announced'
      ? 'sallyport-dmz cert rotate switch, or back'
      : 'sallyport-dmz cert rotate retire, or back',
  );
  add(
    tunnel.classicalAdmitted,
    'a key exchange that is not post-quantum is admitted',
    'set tunnel.classicalKeyExchange: false when the internal node allows',
  );
  return found;
}

export function printStatus(status: DmzNodeStatus, nowMs: number, output: Output): void {
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

function facts(status: DmzNodeStatus, nowMs: number): [string, string][] {
  const { tunnel, certificates, items } = status;
  const ago = (atMs: number): string => formatDuration(Math.max(0, nowMs - atMs));
  const policyEnd = status.policyExpiresAtMs === null ? '' : `, ends ${formatTime(status.policyExpiresAtMs)} UTC`;
  const upFor = tunnel.sinceMs === null ? '' : ` ${ago(tunnel.sinceMs)}`;
  return [
    ['node', `${status.node} ${status.version}, up ${ago(status.startedAtMs)}, ${status.fingerprint}`],
    ['tunnel', tunnel.up ? `up${upFor} with ${tunnel.peer ?? '?'}, key exchange ${tunnel.group ?? '?'}` : 'down'],
    [
      'keys',
      `certificate until ${formatTime(certificates.ownEndsAtMs)} UTC${certificates.peerEndsAtMs === null ? '' : `, the other node's until ${formatTime(certificates.peerEndsAtMs)} UTC`}`,
    ],
    ['policy', status.policyNumber === 0 ? 'none' : `number ${status.policyNumber}${policyEnd}`],
    ['doors', status.listeners.join(', ') || 'none open'],
    ['sessions', `${status.sessions}; ${status.bannedSources} sources banned`],
    [
      'items',
      `${items.ready} ready, ${items.leased} being fetched, ${items.held} held, ${items.unrouted} unrouted; ${items.offered} offered; ${items.partial} unfinished`,
    ],
    ['confined', confinedText(status.confinement)],
    ['cache', `${formatSize(status.cacheBytes)}, free ${formatSize(status.freeBytes)}, gate ${formatSize(status.gateBytes)}`],
  ];
}

function confinedText({ filtered, noNewPrivileges, connect, whyConnects }: DmzNodeStatus['confinement']): string {
  if (!filtered) return 'no: nothing but the program itself keeps it from connecting; docs/hardening.md';
  const connects = connect === 'denied' ? 'the kernel denies it to connect (tried just now)' : 'it may connect';
  const reason = connect === 'denied' || whyConnects === null ? '' : `: ${whyConnects}`;
  return `${connects}${reason}${noNewPrivileges ? '' : '; programs may gain privileges'}`;
}

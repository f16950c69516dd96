/**
 * Names why a tunnel connection was refused, in words an operator can act on. A stranger can knock as often as he likes, so
 * each kind of refusal becomes an event at most once a minute, with the number of those left out.
 */
import type { Clock } from '../clock.ts';
import type { EventSink } from '../durable/database.ts';
import { event } from '../events/event.ts';
import { type Logger, printable } from '../log.ts';
import { peerChecks } from '../pki/peer-check.ts';
import type { Side } from './handlers.ts';

/** Everything a connection can be refused for. The names go over the wire so that both logs show the same one. */
export const refusalChecks = [
  ...peerChecks,
  'invitation',
  'key-exchange',
  'alpn',
  'tls',
  'address',
  'link',
  'version',
  'request',
] as const;
export type RefusalCheck = (typeof refusalChecks)[number];

/** Header in which a side tells the other the failed check. */
export const refusalHeader = 'x-sallyport-check';

export const isRefusalCheck = (text: string): text is RefusalCheck => (refusalChecks as readonly string[]).includes(text);

const onDmz = 'run `sallyport-dmz fingerprint` on the DMZ host';
const onInside = 'run `sallyport fingerprint` on the internal host';

/** What an operator does about it. @param judgedBy The side that refused. */
export function howToMend(check: RefusalCheck, judgedBy: Side): string {
  const [judged, configured] = judgedBy === 'inside' ? [onDmz, 'internal'] : [onInside, 'DMZ'];
  switch (check) {
    case 'no-certificate':
      return 'the other end is no Sallyport node: check the address and port';
    case 'pin':
      return `${judged} and compare it with the fingerprint configured on the ${configured} node`;
    case 'ca':
      return `if the other node was set up anew with its old key, remove the record of it (${configured === 'DMZ' ? 'internal-node.json' : 'dmz-node.json'} in the state folder) on the ${configured} node and restart it`;
    case 'revoked':
      return `the key was refused on purpose (\`cert revoke\` on the ${configured} node): make new keys on the other node and introduce it again`;
    case 'invitation':
      return 'an invitation works once, for a short time, and only at the node that made it: run `sallyport-dmz invite` on the DMZ host again';
    case 'usage':
      return 'the certificate is not one of the right kind of node: check that the key folders were not swapped';
    case 'expired':
      return "renew the other node's tunnel certificate, and check both clocks";
    case 'not-yet-valid':
      return 'check the clocks of both hosts';
    case 'key-exchange':
      return 'one node demands X25519MLKEM768 and the other does not offer it: use the same Node version, or allow classical key exchange on both';
    case 'alpn':
    case 'tls':
      return 'the other end does not speak the tunnel protocol over TLS 1.3: check the address and port';
    case 'address':
      return "add the internal node's address to the list of allowed source addresses on the DMZ node";
    case 'link':
      return 'nothing: a data connection outlived its link';
    case 'version':
      return 'install fitting versions on both nodes';
    case 'request':
      return 'the other end asked for something that the tunnel does not offer';
  }
}

export interface RefusalDeps {
  readonly events: EventSink;
  readonly clock: Clock;
  readonly log: Logger;
}

const quietMs = 60_000;

export interface LastRefusal {
  readonly atMs: number;
  readonly check: RefusalCheck;
  /** Escaped, with what to do about it. */
  readonly detail: string;
}

export class Refusals {
  readonly #deps: RefusalDeps;
  readonly #seen = new Map<RefusalCheck, { lastMs: number; leftOut: number }>();
  #last: LastRefusal | undefined;

  constructor(deps: RefusalDeps) {
    this.#deps = deps;
  }

  /** The newest one, for status. */
  get last(): LastRefusal | undefined {
    return this.#last;
  }

  /** @param detail What was wrong; may hold text of the other side. */
  report(check: RefusalCheck, detail: string): void {
    const { clock, events, log } = this.#deps;
    const safe = printable(detail, 600);
    log.debug({ check, detail: safe }, 'tunnel connection refused');
    this.#last = { atMs: clock.nowMs(), check, detail: safe };
    const nowMs = clock.monotonicMs();
    const before = this.#seen.get(check);
    if (before && nowMs - before.lastMs < quietMs) {
      before.leftOut += 1;
      return;
    }
    const more = before && before.leftOut > 0 ? ` (and ${before.leftOut} more since the last report)` : '';
    this.#seen.set(check, { lastMs: nowMs, leftOut: 0 });
    log.warn({ check, detail: safe }, 'tunnel connection refused');
    void events.emit([event('link.refused', clock.nowMs(), {}, { check, detail: safe + more })]).catch(() => undefined);
  }
}

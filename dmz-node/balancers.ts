/**
 * Load balancers in front of a door: connections from the listed addresses must begin with a PROXY header, and count as those
 * of the client that it names. From everybody else such a header is what it always was: bytes that no protocol begins with.
 *
 * A header must be whole in little time and few bytes, and only so many connections may be waiting for theirs; the oldest gives
 * way. Whoever is not listed is never read here.
 */
import { type BlockList, isIPv4, type Socket } from 'node:net';
import type { Clock } from '../shared/clock.ts';
import { blockList } from '../shared/config/fields.ts';
import { parseProxyHeader } from './proxy-header.ts';

export interface BalancersOptions {
  /** Addresses or networks of the balancers; none: no header is ever read. */
  readonly proxyFrom: readonly string[];
  /** Time for the header from accepting on. */
  readonly proxyHeaderMs: number;
  /** Connections that may wait for their header. */
  readonly maxAwaitingHeader: number;
}

export const balancersDefaults: BalancersOptions = { proxyFrom: [], proxyHeaderMs: 5000, maxAwaitingHeader: 600 };

export type BadHeader = 'no PROXY header' | 'malformed PROXY header' | 'connections without PROXY header';

export class Balancers {
  readonly #clock: Pick<Clock, 'after'>;
  readonly #options: BalancersOptions;
  readonly #listed: BlockList;
  /** How to cut each that waits, the oldest first. */
  readonly #waiting = new Map<Socket, (why: BadHeader) => void>();

  constructor(clock: Pick<Clock, 'after'>, options: BalancersOptions) {
    this.#clock = clock;
    this.#options = options;
    this.#listed = blockList(options.proxyFrom);
  }

  includes(peer: string): boolean {
    return this.#options.proxyFrom.length > 0 && this.#listed.check(peer, isIPv4(peer) ? 'ipv4' : 'ipv6');
  }

  /**
   * Takes the header off a new connection of a balancer. Exactly one of the two is called, unless the balancer leaves at once.
   * @param onClient With the address of the client, or undefined when the balancer speaks for itself; the socket is paused.
   * @param onBad The connection is cut.
   */
  read(socket: Socket, onClient: (source: string | undefined) => void, onBad: (why: BadHeader) => void): void {
    let held: Buffer = Buffer.alloc(0);
    const done = (): void => {
      cancel();
      this.#waiting.delete(socket);
      socket.removeListener('data', onData);
      socket.removeListener('close', done);
      socket.pause();
    };
    const cut = (why: BadHeader): void => {
      done();
      socket.destroy();
      onBad(why);
    };
    const onData = (chunk: Buffer): void => {
      held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
      let header: ReturnType<typeof parseProxyHeader>;
      try {
        header = parseProxyHeader(held);
      } catch {
        cut('malformed PROXY header');
        return;
      }
      if (!header) return;
      done();
      if (held.length > header.length) socket.unshift(held.subarray(header.length));
      onClient(header.source);
    };
    const cancel = this.#clock.after(this.#options.proxyHeaderMs, () => cut('no PROXY header'));
    const [oldest] = this.#waiting.values();
    if (oldest && this.#waiting.size >= this.#options.maxAwaitingHeader) oldest('connections without PROXY header');
    this.#waiting.set(socket, cut);
    socket.on('close', done);
    socket.on('data', onData);
  }

  /** Cuts those that still wait. */
  close(): void {
    for (const socket of this.#waiting.keys()) socket.destroy();
  }
}

/**
 * New keys for a long connection (RFC 4253 §9): after so many bytes or so much time, whichever comes first. The package has
 * no such clock of its own. An exchange that the client does not finish ends the connection, because nothing can be sent
 * while it lasts.
 */
import type { Socket } from 'node:net';
import type { Clock } from '../../shared/clock.ts';
import { isRekeying, type SshClient } from './ssh2-seam.ts';

export interface RekeyingDeps {
  readonly client: SshClient;
  readonly socket: Pick<Socket, 'bytesRead' | 'bytesWritten'>;
  readonly clock: Pick<Clock, 'monotonicMs'>;
}

export interface RekeyingOptions {
  /** Of both directions together. */
  readonly rekeyBytes: number;
  readonly rekeyMs: number;
  /** How long an exchange may take. */
  readonly exchangeMs: number;
}

export class Rekeying {
  readonly #deps: RekeyingDeps;
  readonly #options: RekeyingOptions;
  #bytesAtLast = 0;
  #lastMs: number;
  #begunMs: number | undefined;

  constructor(deps: RekeyingDeps, options: RekeyingOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#lastMs = deps.clock.monotonicMs();
  }

  /** Begins an exchange when one is due. Cheap enough for every chunk of data. */
  check(): void {
    if (this.#begunMs !== undefined) return;
    const now = this.#deps.clock.monotonicMs();
    if (isRekeying(this.#deps.client)) {
      this.#begunMs = now;
      return;
    }
    const due = this.#bytes() - this.#bytesAtLast >= this.#options.rekeyBytes || now - this.#lastMs >= this.#options.rekeyMs;
    if (!due) return;
    this.#begunMs = now;
    this.#deps.client.rekey();
  }

  /** Whether an exchange takes too long, whoever began it. */
  overdue(): boolean {
    return this.#begunMs !== undefined && this.#deps.clock.monotonicMs() - this.#begunMs > this.#options.exchangeMs;
  }

  /** New keys are in use, whoever asked for them. */
  finished(): void {
    this.#begunMs = undefined;
    this.#lastMs = this.#deps.clock.monotonicMs();
    this.#bytesAtLast = this.#bytes();
  }

  #bytes(): number {
    return this.#deps.socket.bytesRead + this.#deps.socket.bytesWritten;
  }
}

/**
 * The channels of one logged-in connection: only `sftp` is served on them, at most `maxChannels` at a time, all with one
 * budget of open handles. A shell or a command is answered with a sentence and the exit code 1, whatever it was; forwarding and
 * agents have no listener and are refused by the package.
 */
import type { Socket } from 'node:net';
import type { Clock } from '../../shared/clock.ts';
import type { Logger } from '../../shared/log.ts';
import type { PartnerView } from '../partner-view.ts';
import type { BlockPool } from './codec/block-pool.ts';
import type { HandleBudget } from './handles.ts';
import { ReceiveWindow, RoundTrip } from './receive-window.ts';
import { SftpSession, type SftpSessionOptions } from './session.ts';
import type { SharedMemory } from './shared-memory.ts';
import { closeUnusedChannel, type SshChannel, type SshClient, type SshSession, watchRoundTrips } from './ssh2-seam.ts';

export interface ChannelsDeps {
  readonly client: SshClient;
  readonly socket: Socket;
  readonly view: PartnerView;
  readonly pool: BlockPool;
  readonly memory: SharedMemory;
  readonly clock: Clock;
  readonly log: Logger;
  readonly onViolation: (what: string) => void;
}

export interface ChannelsOptions extends SftpSessionOptions {
  readonly maxChannels: number;
  readonly maxHandles: number;
  /** How far a client may ever send ahead on a channel, bytes. */
  readonly maxWindowBytes: number;
}

/** Sending to larger packets than this is safe; smaller ones are an attack on the sender's loop. */
const minPacketSize = 1024;

export class Channels {
  readonly #deps: ChannelsDeps;
  readonly #options: ChannelsOptions;
  readonly #budget: HandleBudget;
  readonly #roundTrip: RoundTrip;
  readonly #sessions = new Set<SftpSession>();
  #count = 0;
  #state: 'open' | 'draining' | 'over' = 'open';
  #activeAtMs: number;

  constructor(deps: ChannelsDeps, options: ChannelsOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#budget = { used: 0, max: options.maxHandles };
    this.#activeAtMs = deps.clock.monotonicMs();
    const { client, clock } = deps;
    const ask = watchRoundTrips(
      client,
      () => clock.monotonicMs(),
      (ms) => this.#roundTrip.answered(ms),
    );
    this.#roundTrip = new RoundTrip(ask);
  }

  get busy(): boolean {
    return [...this.#sessions].some((session) => session.busy);
  }

  /** Nothing runs and nothing is open. */
  get quiet(): boolean {
    return [...this.#sessions].every((session) => !session.busy && session.openHandles === 0);
  }

  /** Monotonic time of the last request or answer. */
  get lastActivityMs(): number {
    return Math.max(this.#activeAtMs, ...[...this.#sessions].map((session) => session.lastActivityMs));
  }

  /** How long the client has not taken what waits for it, on the worst of its channels. */
  get isStalled(): boolean {
    return [...this.#sessions].some((session) => session.isStalled);
  }

  pump(): void {
    for (const session of this.#sessions) session.pump();
  }

  drain(): void {
    this.#state = 'draining';
    for (const session of this.#sessions) session.drain();
  }

  async end(reason: string): Promise<void> {
    this.#state = 'over';
    await Promise.all([...this.#sessions].map((session) => session.end(reason)));
  }

  /** One CHANNEL_OPEN of type `session`. */
  open(accept: () => SshSession, reject: () => void): void {
    if (this.#state !== 'open' || this.#count >= this.#options.maxChannels) {
      reject();
      return;
    }
    const session = accept();
    const { packetSize } = session._chanInfo.outgoing;
    if (packetSize < minPacketSize) {
      this.#deps.onViolation(`a maximum packet size of ${packetSize}`);
      return;
    }
    this.#count++;
    session.on('error', () => undefined);
    session.on('subsystem', (take: () => SshChannel | undefined, refuse: (() => void) | undefined, info: { name: string }) => {
      if (info.name === 'sftp' && this.#state !== 'over') this.#serve(take);
      else refuse?.();
    });
    for (const request of ['exec', 'shell']) session.on(request, (take: () => SshChannel | undefined) => this.#turnDown(take));
    session.on('close', () => {
      if (closeUnusedChannel(this.#deps.client, session)) this.#count--;
    });
  }

  /** Takes the channel only to say in words what the code of a refusal would not. */
  #turnDown(take: () => SshChannel | undefined): void {
    const channel = take();
    if (!channel) return;
    channel.on('error', () => undefined);
    channel.once('close', () => this.#count--);
    channel.resume();
    channel.stderr.write('This server offers SFTP only: use an SFTP client, or scp without -O.\r\n');
    channel.exit(1);
    channel.end();
  }

  #serve(take: () => SshChannel | undefined): void {
    const channel = take();
    if (!channel) return;
    const window = new ReceiveWindow({ ...this.#deps, channel, roundTrip: this.#roundTrip }, this.#options.maxWindowBytes);
    const onEnd = (): void => {
      window.close();
      this.#sessions.delete(session);
      this.#count--;
      this.#activeAtMs = this.#deps.clock.monotonicMs();
    };
    const session: SftpSession = new SftpSession({ ...this.#deps, channel, window, budget: this.#budget, onEnd }, this.#options);
    this.#sessions.add(session);
    session.start();
  }
}

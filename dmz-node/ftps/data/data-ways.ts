/** The two ways to a data connection, with what a session has agreed on: a port of ours that waits, or one of the client. */
import type { Clock } from '../../../shared/clock.ts';
import type { Logger } from '../../../shared/log.ts';
import type { Balancers } from '../../balancers.ts';
import type { SessionTls } from '../tls/door-tls.ts';
import { ActiveDoor } from './active-door.ts';
import { PassiveDoor } from './data-door.ts';
import type { PassivePorts } from './passive-ports.ts';

export interface DataWaysDeps {
  readonly ports: PassivePorts;
  /** Who stands in front of the ports for data. */
  readonly balancers: Balancers;
  readonly clock: Clock;
  readonly log: Logger;
  /** Somebody else connected to a port of one of its transfers. */
  readonly onStranger: (peer: string) => void;
}

export interface DataWaysOptions {
  readonly handshakeMs: number;
  /** For a data connection, from the transfer command on. */
  readonly connectMs: number;
  /** Of active mode; 0 takes a free one. */
  readonly activeSourcePort: number;
}

/** Both ends of the control connection, and what holds for the data connection. */
export interface DataEnds {
  readonly localAddress: string;
  readonly peer: string;
  /** Undefined: not protected. */
  readonly tls: SessionTls | undefined;
  readonly requireBinding: boolean;
}

export class DataWays {
  readonly #deps: DataWaysDeps;
  readonly #options: DataWaysOptions;

  constructor(deps: DataWaysDeps, options: DataWaysOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  active({ localAddress, peer, tls, requireBinding }: DataEnds, port: number): ActiveDoor {
    const { connectMs, activeSourcePort: localPort } = this.#options;
    return new ActiveDoor(tls, { localAddress, localPort, peer, port, requireBinding, connectMs });
  }

  /** @throws Error when no port is free. */
  async passive({ localAddress, peer, tls, requireBinding }: DataEnds): Promise<PassiveDoor> {
    const { handshakeMs, connectMs } = this.#options;
    return await PassiveDoor.open({ ...this.#deps, tls }, { handshakeMs, connectMs, requireBinding, host: localAddress, peer });
  }
}

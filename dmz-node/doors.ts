/**
 * The doors for partners: open while a valid policy says so, closed before the first and after the last one ran out. Where
 * they listen is the host's configuration; whether they are open is the inside's decision.
 */
import { writeFile } from 'node:fs/promises';
import type { Logger } from '../shared/log.ts';
import type { PolicyBundle } from '../shared/policy.ts';
import type { Service } from '../shared/service.ts';
import type { Protocol } from './partner-view.ts';

export interface DoorAddress {
  /** `sftp`, `ftps`, `ftps-implicit` */
  readonly name: string;
  readonly host: string;
  readonly port: number;
  /** What an operator should know of it. */
  readonly remark?: string;
}

export interface Door extends Service {
  /** Where it listens, once it has started. */
  readonly addresses: readonly DoorAddress[];
  /** Reads files again that others renew. Never rejects: what was good last stays in use. */
  refresh?(): Promise<void>;
}

export interface DoorsDeps {
  /** Makes the listener of a protocol that this host is configured for. */
  readonly make: Readonly<Partial<Record<Protocol, () => Door>>>;
  readonly log: Logger;
}

export interface DoorsOptions {
  /** Where the ports in use are written to, for commands and tests. */
  readonly portsFile: string;
}

export class Doors implements Service {
  readonly name = 'doors';
  readonly #deps: DoorsDeps;
  readonly #options: DoorsOptions;
  readonly #open = new Map<Protocol, Door>();
  #changing: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(deps: DoorsDeps, options: DoorsOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  async start(): Promise<void> {}

  /** Follows the policy in force; undefined: none. Never rejects: a door that cannot open is tried again with the next policy. */
  follow(bundle: PolicyBundle | undefined): Promise<void> {
    this.#changing = this.#changing.then(() => this.#change(bundle?.listeners ?? []));
    return this.#changing;
  }

  async stop(signal: AbortSignal): Promise<void> {
    this.#stopped = true;
    await this.#changing;
    await Promise.all([...this.#open.values()].map((door) => door.stop(signal)));
    this.#open.clear();
  }

  /** Never rejects. */
  async refresh(): Promise<void> {
    await Promise.all([...this.#open.values()].map((door) => door.refresh?.()));
  }

  /** `sftp 0.0.0.0:2222` for each address that is open. */
  list(): readonly string[] {
    return this.#addresses().map(({ name, host, port, remark }) => `${name} ${host}:${port}${remark ? ` (${remark})` : ''}`);
  }

  /** The port of each listener that is open, by its name. */
  ports(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#addresses().map(({ name, port }) => [name, port]));
  }

  #addresses(): readonly DoorAddress[] {
    return [...this.#open.values()].flatMap((door) => door.addresses);
  }

  async #change(wanted: readonly Protocol[]): Promise<void> {
    if (this.#stopped) return;
    for (const [protocol, door] of [...this.#open]) {
      if (wanted.includes(protocol)) continue;
      this.#open.delete(protocol);
      await door.stop(AbortSignal.abort());
      this.#deps.log.warn({ protocol }, 'a door for partners is closed: no policy opens it');
    }
    for (const protocol of wanted) {
      if (!this.#open.has(protocol)) await this.#openDoor(protocol);
    }
    await writeFile(this.#options.portsFile, JSON.stringify(this.ports()), { mode: 0o600 });
  }

  async #openDoor(protocol: Protocol): Promise<void> {
    const door = this.#deps.make[protocol]?.();
    if (!door) return;
    try {
      await door.start();
      this.#open.set(protocol, door);
    } catch (error) {
      this.#deps.log.error({ err: error, protocol }, 'a door for partners cannot be opened');
    }
  }
}

/**
 * One attack after the other on a staging internal node, by a DMZ node that was taken over: what each needs, and what must hold after
 * each of them.
 */
import { randomBytes } from 'node:crypto';
import { newSessionId, newTraceId } from '../../shared/ids.ts';
import { headerLength } from '../../shared/seal/header.ts';
import type { AuthCheck, ItemDescription } from '../../shared/tunnel/messages.ts';
import type { HostileLink } from './hostile-dmz.ts';
import type { Mark, Observer } from './observer.ts';
import type { DoubleItem } from './sealed-item.ts';
import type { StolenSession, TakenOverDmz } from './taken-over-dmz.ts';
import { until } from './until.ts';

/** Something got through. */
export class Breach extends Error {}

/** @throws Breach */
export function refuse(when: boolean, breach: string): void {
  if (when) throw new Breach(breach);
}

export interface StageDeps {
  readonly edge: TakenOverDmz;
  readonly seen: Observer;
  /** A login of the partner of this staging node, as his program makes it. */
  readonly login: () => AuthCheck | Promise<AuthCheck>;
  /** Offers a file to that partner, as staff do. */
  readonly offer: (name: string, content: Buffer) => Promise<void>;
}

type Json = Readonly<Record<string, unknown>>;

export class Stage {
  readonly edge: TakenOverDmz;
  readonly seen: Observer;
  readonly session: StolenSession;
  /** In everything that must not arrive. */
  readonly poison = `content of an attack ${randomBytes(8).toString('hex')}`;
  readonly #deps: StageDeps;
  #made = 0;

  private constructor(deps: StageDeps, session: StolenSession) {
    this.#deps = deps;
    this.edge = deps.edge;
    this.seen = deps.seen;
    this.session = session;
  }

  /** Waits for the node to connect and lets the partner log in. @throws Error when the honest way does not work. */
  static async open(deps: StageDeps): Promise<Stage> {
    await deps.edge.link();
    const stage = new Stage(deps, await deps.edge.login(await deps.login()));
    await stage.honestFile();
    return stage;
  }

  /** Another session of the same partner. */
  async freshSession(): Promise<StolenSession> {
    return this.edge.login(await this.freshLogin());
  }

  async freshLogin(): Promise<AuthCheck> {
    return await this.#deps.login();
  }

  offer(name: string, content: Buffer): Promise<void> {
    return this.#deps.offer(name, content);
  }

  /** A login with a password, as the DMZ node reports it. */
  guess(user: string, password: string, peer = '192.0.2.1'): Promise<Json> {
    const session = newSessionId();
    return this.edge.ask('auth.check', {
      session,
      trace: newTraceId(),
      user,
      peer,
      protocol: 'sftp',
      method: 'password',
      password,
    });
  }

  /** An item with poison in it, which nobody has heard of yet. */
  make(path: string, session: StolenSession = this.session, over: Parameters<TakenOverDmz['make']>[3] = {}): Promise<DoubleItem> {
    return this.edge.make(session, path, Buffer.from(`${this.poison}\n${'x'.repeat(2000)}`), over);
  }

  async present(item: DoubleItem, over: Partial<ItemDescription> = {}): Promise<Json> {
    return await this.edge.present(item, over);
  }

  /** Asks for the file keys of an item. */
  askKey(item: DoubleItem, token: string): Promise<Json> {
    const headers = item.sealed.map((sealed) => sealed.subarray(0, headerLength(sealed)).toString('base64'));
    return this.edge.ask('key.release', { token, item: item.description.id, headers });
  }

  /** What an honest DMZ node does all day: it arrives, whole, and is confirmed. @returns where it lies. */
  async honestFile(): Promise<string> {
    this.#made += 1;
    const name = `honest-${this.#made}-${randomBytes(4).toString('hex')}.bin`;
    const content = randomBytes(3000);
    const item = await this.edge.make(this.session, `/Inbox/${name}`, content);
    const { decision } = await this.present(item);
    if (!decision) throw new Error('an honest item was not taken');
    return this.arrived(item, name, content);
  }

  /** Waits until the content is delivered under a path that ends like this, and confirmed. */
  async arrived(item: DoubleItem, ending: string, content: Buffer): Promise<string> {
    let path = '';
    await until(`${ending} is delivered`, async () => {
      path =
        [...(await this.seen.delivered())].find(([name, bytes]) => name.endsWith(ending) && bytes.equals(content))?.[0] ?? '';
      return path !== '';
    });
    const { id } = item.description;
    await until(`${ending} is confirmed`, () => this.edge.confirmed.some((sent) => sent.id === id));
    return path;
  }

  /** Runs a script on the live link and waits until the node has cut it with an alarm. */
  async isCut(mark: Mark, script: (link: HostileLink) => unknown): Promise<string> {
    const link = await this.edge.link();
    await script(link);
    const [alarm] = await this.seen.heard(mark, 'link.violation');
    await until('the link is cut', () => link.ws.readyState === 3);
    return `the link was cut: ${String(alarm?.detail)}`;
  }

  /** What holds after every attack. @throws Breach, or Error when the node does not do its work any more. */
  async assertSound(): Promise<void> {
    await this.edge.link();
    await this.honestFile();
    for (const [path, content] of await this.seen.delivered()) {
      refuse(content.includes(this.poison), `the content of an attack was delivered as ${path}`);
    }
    refuse(!(await this.seen.status()).tunnel.up, 'the tunnel is down');
  }
}

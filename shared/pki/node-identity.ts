/**
 * The keys under which a node appears on the tunnel, over their whole life: certificates are renewed by the node's own authority when
 * two thirds of their life are over, and the whole identity (authority, tunnel key, policy key) can be exchanged in steps:
 *
 *     announced  the next keys exist and the other node is told: it admits both
 *     switched   this node appears under the next keys; the other still admits both
 *     stable     the old keys are gone, here and there
 *
 * Until the last step one can go back. Each step is durable before it counts (`key-folders.ts`).
 */
import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../clock.ts';
import { replaceFile } from '../config/write-file.ts';
import type { EventSink } from '../durable/database.ts';
import { asSallyportError, SallyportError } from '../errors.ts';
import { type EventRecord, event } from '../events/event.ts';
import type { Logger } from '../log.ts';
import type { Service } from '../service.ts';
import { endsSoon, lifeOf, renewalDueMs } from './certificate-life.ts';
import { issueLeaf, leafDays, nodeUri, policyUsageOid, spkiOf, validFor } from './certificates.ts';
import { fingerprintOf, type NodeRole } from './fingerprint.ts';
import { type KeyFolders, readKeyFolders, writeKeyFolders } from './key-folders.ts';
import { keySetFiles, loadKeySet, makeNodeKeys, type NodeKeys, tunnelUsage } from './node-keys.ts';
import { type SignedStatement, signStatement } from './trust-statement.ts';

export type Phase = 'stable' | 'announced' | 'switched';
export type Step = 'announce' | 'switch' | 'retire' | 'back';

/** What the tunnel needs of it. */
export interface OwnIdentity {
  readonly keys: NodeKeys;
  /** What the other node is to be told; undefined while the first keys are the only ones there ever were. */
  readonly statement: (SignedStatement & { readonly number: number }) | undefined;
  /** The other node holds this number. */
  acknowledged(number: number): void;
  /** Called after certificates, keys or the statement have changed. `exchanged`: the node appears under other keys now. */
  onChange(listener: (exchanged: boolean) => void): void;
}

export interface RotationStatus {
  readonly phase: Phase;
  readonly fingerprint: string;
  /** The other identity while they are exchanged. */
  readonly other: string | null;
  /** Whether the other node is known to hold what was announced. */
  readonly told: boolean;
}

export interface NodeIdentityDeps {
  readonly events: EventSink;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface NodeIdentityOptions {
  readonly folder: string;
  readonly role: NodeRole;
}

const lookEveryMs = 3_600_000;
const alarmEveryMs = 86_400_000;

export class NodeIdentity implements OwnIdentity, Service {
  readonly name = 'node identity';
  readonly #deps: NodeIdentityDeps;
  readonly #options: NodeIdentityOptions;
  readonly #listeners: ((exchanged: boolean) => void)[] = [];
  #folders: KeyFolders;
  #keys: NodeKeys;
  #otherFingerprint: string | null = null;
  #statement: OwnIdentity['statement'];
  #acknowledged = 0;
  #alarmedMs = Number.NEGATIVE_INFINITY;
  #cancel: () => void = () => {};
  #stopped = false;
  #last: Promise<unknown> = Promise.resolve();

  private constructor(deps: NodeIdentityDeps, options: NodeIdentityOptions, folders: KeyFolders, keys: NodeKeys) {
    this.#deps = deps;
    this.#options = Object.freeze({ ...options });
    this.#folders = folders;
    this.#keys = keys;
  }

  /** Loads the keys, and renews at once what is due. @throws SallyportError `key-file`. */
  static async open(deps: NodeIdentityDeps, options: NodeIdentityOptions): Promise<NodeIdentity> {
    const folders = await readKeyFolders(options.folder);
    const keys = await loadKeySet(join(options.folder, folders.current), options.role);
    const identity = new NodeIdentity(deps, options, folders, keys);
    await identity.#tidy();
    await identity.#renewAll();
    await identity.#load();
    return identity;
  }

  get keys(): NodeKeys {
    return this.#keys;
  }

  get statement(): OwnIdentity['statement'] {
    return this.#statement;
  }

  get rotation(): RotationStatus {
    const { number, next, previous } = this.#folders;
    return {
      phase: next !== null ? 'announced' : previous !== null ? 'switched' : 'stable',
      fingerprint: this.#keys.fingerprint,
      other: this.#otherFingerprint,
      told: number === 0 || this.#acknowledged >= number,
    };
  }

  acknowledged(number: number): void {
    this.#acknowledged = Math.max(this.#acknowledged, number);
  }

  onChange(listener: (exchanged: boolean) => void): void {
    this.#listeners.push(listener);
  }

  async start(): Promise<void> {
    this.#alarmIfEnding();
    this.#lookLater();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel();
    await this.#last;
  }

  /** Renews what is due. Never rejects: the certificates that are there stay in use, and one that ends soon is an alarm. */
  renew(): Promise<void> {
    return this.#inTurn(async () => {
      if (await this.#renewAll()) await this.#changed();
      this.#alarmIfEnding();
    }).catch((error: unknown) => this.#deps.log.error({ err: error }, 'certificates could not be renewed'));
  }

  /**
   * The next step of an exchange of keys, or one back.
   * @param unheard Also when the other node does not know of it, as one that refuses the key of now: it must then be introduced to
   * this node anew.
   * @throws SallyportError `usage` when it is not the time for that step, `peer-refused` while the other node does not know of it.
   */
  step(step: Step, unheard = false): Promise<RotationStatus> {
    return this.#inTurn(async () => {
      const before = this.rotation;
      const after = await this.#after(step, unheard ? { ...before, told: true } : before);
      await writeKeyFolders(this.#options.folder, after);
      this.#folders = after;
      await this.#tidy();
      await this.#changed();
      const { phase, fingerprint, other } = this.rotation;
      const fields = { step, phase, fingerprint, other: other ?? '' };
      await this.#deps.events.emit([event('identity.changed', this.#deps.clock.nowMs(), {}, fields)]);
      return this.rotation;
    });
  }

  #lookLater(): void {
    if (this.#stopped) return;
    this.#cancel = this.#deps.clock.after(lookEveryMs, () => void this.renew().finally(() => this.#lookLater()));
  }

  async #after(step: Step, { phase, told }: RotationStatus): Promise<KeyFolders> {
    const { number, current, next, previous } = this.#folders;
    if (step === 'announce' && phase === 'stable') {
      return { number: number + 1, current, next: await this.#makeNext(), previous: null };
    }
    if (step === 'back' && next !== null) return { number: number + 1, current, next: null, previous: null };
    if (step === 'back' && previous !== null) return { number, current: previous, next: current, previous: null };
    const [from, wanted] = step === 'switch' ? ['announced', next] : ['switched', previous];
    if (step === 'announce' || step === 'back' || wanted === null) {
      throw new SallyportError('usage', `the exchange of keys is ${phase}: ${step} comes after ${from ?? 'a change'}`);
    }
    if (!told) {
      throw new SallyportError('peer-refused', 'the other node does not know yet what was announced; nothing was changed', {
        next: 'connect the two nodes, then try again; if the other node refuses the key of this one, add --unheard',
      });
    }
    if (step === 'switch') return { number, current: wanted, next: null, previous: current };
    return { number: number + 1, current, next: null, previous: null };
  }

  async #makeNext(): Promise<string> {
    const { folder, role } = this.#options;
    const used = (await readdir(folder)).map((name) => Number(/^identity-(\d+)$/.exec(name)?.[1] ?? 1));
    const name = `identity-${Math.max(1, ...used) + 1}`;
    await makeNodeKeys(join(folder, name), { role, name: this.#keys.name, clock: this.#deps.clock });
    return name;
  }

  /** Removes keys that no step can need any more: what an exchange left behind, or one that was cut short. */
  async #tidy(): Promise<void> {
    const { folder } = this.#options;
    const { current, next, previous } = this.#folders;
    const needed = new Set([current, next, previous]);
    for (const name of await readdir(folder)) {
      if (/^identity-\d+$/.test(name) && !needed.has(name)) await rm(join(folder, name), { recursive: true, force: true });
    }
    if (needed.has('.')) return;
    for (const file of keySetFiles) await rm(join(folder, file), { force: true });
  }

  async #changed(): Promise<void> {
    const { fingerprint } = this.#keys;
    await this.#load();
    const exchanged = this.#keys.fingerprint !== fingerprint;
    // What was told under the keys of before does not show that the other node admits the new ones.
    if (exchanged) this.#acknowledged = 0;
    for (const listener of this.#listeners) listener(exchanged);
  }

  async #load(): Promise<void> {
    const { folder, role } = this.#options;
    const { number, current, next, previous } = this.#folders;
    const beside = next ?? previous;
    const keys = await loadKeySet(join(folder, current), role);
    const other = beside === null ? undefined : await loadKeySet(join(folder, beside), role);
    const identities = [keys, ...(other ? [other] : [])].map(({ fingerprint, caCertificatePem }) => ({
      fingerprint,
      authority: caCertificatePem,
    }));
    if (number > 0) {
      const key = await readFile(join(folder, current, 'ca.key'), 'utf8');
      this.#statement = { ...signStatement({ format: 1, role, number, identities }, key), number };
    }
    this.#keys = keys;
    this.#otherFingerprint = other?.fingerprint ?? null;
  }

  async #renewAll(): Promise<boolean> {
    const { current, next, previous } = this.#folders;
    let renewed = false;
    for (const name of [current, next, previous]) {
      if (name !== null) renewed = (await this.#renewIn(join(this.#options.folder, name))) || renewed;
    }
    return renewed;
  }

  async #renewIn(folder: string): Promise<boolean> {
    const { role } = this.#options;
    const nowMs = this.#deps.clock.nowMs();
    const kinds = role === 'dmz' ? (['tunnel'] as const) : (['tunnel', 'policy'] as const);
    let renewed = false;
    for (const kind of kinds) {
      const file = join(folder, `${kind}.crt`);
      const before = new X509Certificate(await readFile(file, 'utf8'));
      if (nowMs < renewalDueMs(lifeOf(before))) continue;
      const caKey = createPrivateKey(await readFile(join(folder, 'ca.key'), 'utf8'));
      const authority = { certificatePem: await readFile(join(folder, 'ca.crt'), 'utf8'), key: caKey };
      const publicKey = createPublicKey(await readFile(join(folder, `${kind}.key`), 'utf8'));
      const { name } = this.#keys;
      const usages = [kind === 'policy' ? policyUsageOid : tunnelUsage(role)];
      const validity = validFor(nowMs, leafDays);
      await replaceFile(file, issueLeaf({ name, uri: nodeUri(role, name), publicKey, usages, validity }, authority));
      this.#emit(
        event(
          'certificate.renewed',
          nowMs,
          {},
          { kind, fingerprint: fingerprintOf(role, spkiOf(publicKey)), endsAtMs: validity.notAfterMs },
        ),
      );
      renewed = true;
    }
    return renewed;
  }

  #alarmIfEnding(): void {
    const nowMs = this.#deps.clock.nowMs();
    if (nowMs - this.#alarmedMs < alarmEveryMs) return;
    for (const [kind, pem] of [
      ['tunnel', this.#keys.tunnelCertificatePem] as const,
      ['authority', this.#keys.caCertificatePem] as const,
    ]) {
      const life = lifeOf(new X509Certificate(pem));
      if (!endsSoon(life, nowMs)) continue;
      this.#alarmedMs = nowMs;
      this.#emit(event('certificate.ending', nowMs, {}, { whose: this.#keys.name, kind, endsAtMs: life.endsMs }));
    }
  }

  #emit(record: EventRecord): void {
    this.#deps.events.emit([record]).catch((error: unknown) => {
      this.#deps.log.error({ detail: asSallyportError(error).message }, 'an event was not recorded');
    });
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => undefined);
    return done;
  }
}

/** Keys that stay as they are. */
export const fixedIdentity = (keys: NodeKeys): OwnIdentity => ({
  keys,
  statement: undefined,
  acknowledged: () => {},
  onChange: () => {},
});

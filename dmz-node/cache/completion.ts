/** What completes an upload of a partner, by the settings of his grant and of the policy in force (reliability.md §2.9). */
import { matcherOf } from '../../shared/matching/expression.ts';
import { defaultUploads, triggerSuffix, type UploadSettings, withOwn } from '../../shared/uploads.ts';
import type { CacheUser, PolicyInForce, Ruling } from '../cache-view.ts';
import type { Hold } from './records/hold.ts';

type NameTest = (name: string) => boolean;

export class Completion {
  readonly #policy: PolicyInForce;
  /** Lists of globs, compiled once. */
  readonly #compiled = new WeakMap<readonly string[], NameTest>();

  constructor(policy: PolicyInForce) {
    this.#policy = policy;
  }

  settingsOf({ grant }: Pick<CacheUser, 'grant'>): UploadSettings {
    return withOwn(this.#policy.current()?.uploads ?? defaultUploads, grant.uploads);
  }

  /** Whether files of this name are held back until they are renamed. */
  isTemporary(user: CacheUser, name: string): boolean {
    return this.#anyOf(this.settingsOf(user).temporaryNames)(name);
  }

  /**
   * Why a file is not complete yet that is whole since the ruling's instant and got its name by this; null when it is complete.
   * What its rule says goes before what its partner has.
   */
  holdOf(user: CacheUser, name: string, by: 'close' | 'rename', ruling: Pick<Ruling, 'atMs' | 'completion'>): Hold | null {
    const nowMs = ruling.atMs;
    const settings = withOwn(this.settingsOf(user), ruling.completion);
    const { complete, quietMs, holdAlarmMs } = settings;
    const alarmMs = nowMs + holdAlarmMs;
    if (this.isTemporary(user, name)) return { kind: 'name', dueMs: null, alarmMs };
    switch (complete) {
      case 'close':
        return null;
      case 'trigger':
        return this.#triggerHold(settings, name.normalize('NFC'), nowMs);
      case 'rename':
        return by === 'rename' ? null : { kind: 'rename', dueMs: null, alarmMs };
      case 'quiet':
        return { kind: 'quiet', dueMs: nowMs + quietMs, alarmMs };
      case 'session-end':
        return { kind: 'session-end', dueMs: null, alarmMs };
    }
  }

  #triggerHold({ trigger, quietMs, holdAlarmMs }: UploadSettings, name: string, nowMs: number): Hold {
    const { suffixes, batch, waitMs } = trigger;
    if (this.#anyOf(batch)(name)) {
      return { kind: 'folder', dueMs: null, alarmMs: nowMs + waitMs, pairing: { role: 'batch' } };
    }
    const suffix = triggerSuffix(name, suffixes);
    if (suffix !== undefined) {
      const fileName = name.slice(0, -suffix.length);
      return { kind: 'file', dueMs: null, alarmMs: nowMs + waitMs, pairing: { role: 'trigger', fileName } };
    }
    const triggerNames = suffixes.map((text) => name + text);
    return { kind: 'trigger', dueMs: null, alarmMs: nowMs + holdAlarmMs, pairing: { role: 'file', triggerNames, quietMs } };
  }

  #anyOf(globs: readonly string[]): NameTest {
    const known = this.#compiled.get(globs);
    if (known) return known;
    const tests = globs.map((text) => matcherOf(text));
    const test: NameTest = (name) => tests.some((matches) => matches(name));
    this.#compiled.set(globs, test);
    return test;
  }
}

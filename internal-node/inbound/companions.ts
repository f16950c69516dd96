/**
 * Whether an item may go on, where that depends on another one: a file waits for its trigger to be read and is checked by
 * what it says, a trigger is published after its files or not at all, and a file that may be a second sending waits for the
 * first.
 *
 * The DMZ only claims which trigger completed a file. That claim can delay a file and can have it checked, nothing else: what is not
 * delivered for being a trigger has a name that triggers of its partner have.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import type { Records } from '../../shared/durable/database.ts';
import { SallyportError } from '../../shared/errors.ts';
import { matcherOf } from '../../shared/matching/expression.ts';
import { nameOf } from '../../shared/paths/virtual-path.ts';
import { triggerSuffix } from '../../shared/uploads.ts';
import type { DuplicatePolicy } from './ledger-companions.ts';
import type { LedgerItem } from './ledger-item.ts';
import type { LedgerOperations } from './ledger-operations.ts';
import { algorithmOf, countOf, digestFor, type Expected, maxTriggerBytes, parseTrigger } from './trigger-content.ts';

/** What the configuration says of a partner. */
export interface CompanionSettings {
  readonly duplicates: DuplicatePolicy;
  readonly trigger: {
    readonly verify: boolean;
    readonly deliver: 'last' | 'no';
    readonly suffixes: readonly string[];
    readonly batch: readonly string[];
  };
}

export interface CompanionsDeps {
  readonly ledger: Records<LedgerOperations>;
  readonly settingsOf: (partner: string) => CompanionSettings;
}

export class Companions {
  readonly #deps: CompanionsDeps;

  constructor(deps: CompanionsDeps) {
    this.#deps = deps;
  }

  duplicates(item: LedgerItem): DuplicatePolicy {
    return this.#deps.settingsOf(item.partner).duplicates;
  }

  /** @throws SallyportError `waits-for-other`, `trigger-mismatch` */
  async mayFetch(item: LedgerItem): Promise<void> {
    const { ledger } = this.#deps;
    const { action } = this.duplicates(item);
    if (action !== 'deliver' && item.releases === 0 && (await ledger.call('ledger.twinUnderWay', { id: item.id }))) {
      throw waits(item, 'an earlier file of the same name and size is on its way');
    }
    if (!this.#isVerified(item)) return;
    const { kind } = await ledger.call('ledger.triggerOf', { id: item.id });
    if (kind === 'wait') throw waits(item, 'its trigger was not read yet');
    if (kind === 'aside') throw mismatch(item, 'its trigger was set aside');
  }

  /**
   * Compares a fetched file with what its trigger says.
   * @param sha256 Of the file at `path`.
   * @throws SallyportError `trigger-mismatch`
   */
  async check(item: LedgerItem, path: string, sha256: string, signal: AbortSignal): Promise<void> {
    if (!this.#isVerified(item)) return;
    const { expected, releases, path: triggerPath } = await this.#deps.ledger.call('ledger.triggerOf', { id: item.id });
    if (!expected) return;
    const single = this.#isTriggerOf(triggerPath, item);
    const count = countOf(expected, single);
    if (count !== undefined && count !== releases) {
      throw mismatch(item, `the trigger names ${count} files, ${releases} came`);
    }
    const digest = digestFor(expected, nameOf(item.path), single);
    const algorithm = digest === undefined ? undefined : algorithmOf(digest);
    if (algorithm === undefined) return;
    const actual = algorithm === 'sha256' ? sha256 : await fileDigest(path, algorithm, signal);
    if (actual !== digest) throw mismatch(item, `its ${algorithm} is not the one that the trigger names`);
  }

  /** What a fetched trigger says; null for any other item. */
  async read(item: LedgerItem, path: string): Promise<Expected | null> {
    if (item.releases === 0) return null;
    const { size } = await stat(path);
    return parseTrigger(size > maxTriggerBytes ? '' : await readFile(path, 'utf8'));
  }

  /**
   * Whether a staged item may get its final name.
   * @throws SallyportError `waits-for-other`, `trigger-mismatch`
   */
  async mayPublish(item: LedgerItem): Promise<'publish' | 'drop'> {
    if (item.releases === 0) return 'publish';
    const { open, aside, repeated } = await this.#deps.ledger.call('ledger.filesOf', { id: item.id });
    if (open > 0) throw waits(item, `${open} of the files that it completes are not inside yet`);
    if (aside > 0) throw mismatch(item, `${aside} of the files that it completes were set aside`);
    const { trigger } = this.#deps.settingsOf(item.partner);
    const unwanted = repeated || trigger.deliver === 'no';
    return unwanted && isTriggerName(nameOf(item.path).normalize('NFC'), trigger) ? 'drop' : 'publish';
  }

  #isVerified(item: LedgerItem): boolean {
    return item.trigger !== null && this.#deps.settingsOf(item.partner).trigger.verify;
  }

  #isTriggerOf(triggerPath: string, item: LedgerItem): boolean {
    const { suffixes } = this.#deps.settingsOf(item.partner).trigger;
    return suffixes.some((suffix) => `${item.path}${suffix}`.normalize('NFC') === triggerPath.normalize('NFC'));
  }
}

const isTriggerName = (name: string, { suffixes, batch }: CompanionSettings['trigger']): boolean =>
  triggerSuffix(name, suffixes) !== undefined || batch.some((glob) => matcherOf(glob)(name));

async function fileDigest(path: string, algorithm: string, signal: AbortSignal): Promise<string> {
  const hash = createHash(algorithm);
  await pipeline(createReadStream(path), hash, { signal });
  return hash.digest('hex');
}

const waits = (item: LedgerItem, why: string): SallyportError => new SallyportError('waits-for-other', why, { item: item.id });
const mismatch = (item: LedgerItem, why: string): SallyportError =>
  new SallyportError('trigger-mismatch', why, { item: item.id });

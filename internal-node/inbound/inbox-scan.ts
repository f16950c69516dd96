/**
 * Looks through the DMZ's list of items: the truth behind the hints. A short list is always read whole; of a long one the
 * end is read each time and the whole now and then.
 */
import type { Clock } from '../../shared/clock.ts';
import type { Records } from '../../shared/durable/database.ts';
import { type ErrorFields, SallyportError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import type { Decision } from '../../shared/policy.ts';
import type { ItemDescription } from '../../shared/tunnel/messages.ts';
import type { InboxLink } from './lease.ts';
import type { LedgerOperations } from './ledger-operations.ts';

export interface ScanDeps {
  readonly link: InboxLink;
  readonly ledger: Records<LedgerOperations>;
  readonly registrar: { listed(items: readonly ItemDescription[], signal: AbortSignal): Promise<(Decision | SallyportError)[]> };
  /** The list is not what the protocol says: ends the link, with an alarm. */
  readonly onViolation: (detail: string) => void;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface ScanOptions {
  /** Lists up to so many pages (of 64 items) are read whole each time. */
  readonly shortPages: number;
  readonly wholeEveryMs: number;
  /** More pages than any honest list has. */
  readonly maxPages: number;
}

export const scanDefaults: ScanOptions = { shortPages: 8, wholeEveryMs: 60_000, maxPages: 20_000 };
const pageItems = 64;

export class InboxScan {
  readonly #deps: ScanDeps;
  readonly #options: ScanOptions;
  #lastSeq = 0;
  #pages = 0;
  #wholeAtMs = Number.NEGATIVE_INFINITY;

  constructor(deps: ScanDeps, options: ScanOptions = scanDefaults) {
    this.#deps = deps;
    this.#options = options;
  }

  /** The next look reads the whole list: a new link may show another one. */
  reset(): void {
    this.#wholeAtMs = Number.NEGATIVE_INFINITY;
  }

  /** @throws SallyportError link errors; `protocol-violation` when the list does not rise or does not end. */
  async look(signal: AbortSignal): Promise<void> {
    const { clock, ledger, log } = this.#deps;
    const startedMs = clock.monotonicMs();
    const beforeMs = clock.nowMs();
    const whole = this.#pages <= this.#options.shortPages || startedMs - this.#wholeAtMs >= this.#options.wholeEveryMs;
    const { seen, pages, lastSeq } = await this.#read(whole ? 0 : this.#lastSeq, signal);
    this.#lastSeq = Math.max(lastSeq, whole ? 0 : this.#lastSeq);
    if (!whole) return;
    this.#pages = pages;
    this.#wholeAtMs = startedMs;
    const missing = await ledger.call('ledger.reconcile', { seen, beforeMs, nowMs: clock.nowMs() });
    if (missing > 0) log.warn({ missing }, 'items that waited in the DMZ are no longer listed there');
  }

  async #read(from: number, signal: AbortSignal): Promise<{ seen: string[]; pages: number; lastSeq: number }> {
    const { link, registrar, log } = this.#deps;
    const seen: string[] = [];
    let after = from;
    for (let pages = 1; pages <= this.#options.maxPages; pages += 1) {
      const { items, more } = await link.request('inbox.list', { after, limit: pageItems }, signal);
      for (const { seq, id } of items) {
        if (seq <= after) throw this.#violation('the list of the DMZ does not rise', { seq, after });
        after = seq;
        seen.push(id);
      }
      const answers = await registrar.listed(items, signal);
      for (const answer of answers) if (answer instanceof SallyportError) log.warn({ code: answer.code }, answer.message);
      if (!more || items.length === 0) return { seen, pages, lastSeq: after };
    }
    throw this.#violation('the list of the DMZ does not end');
  }

  #violation(detail: string, fields: ErrorFields = {}): SallyportError {
    this.#deps.onViolation(detail);
    return new SallyportError('protocol-violation', detail, fields);
  }
}

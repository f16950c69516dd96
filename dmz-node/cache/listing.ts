/**
 * Listings: the names of a folder page by page. What vanishes or appears meanwhile is not seen twice.
 *
 * A listing that goes on beyond its first page reads large pages, each while the one before is given out, because a question to the
 * records for every answer to the client is most of the cost. Many listings may be open, so only the few that were read last may
 * hold pages; the others ask for what they give, and hold nothing in between.
 */
import type { FileEntry, FolderHandle } from '../partner-view.ts';
import type { LiveSlot } from './live-uploads.ts';
import type { ListedEntry } from './records/entries.ts';

/** Entries that one question to the records brings at most. */
export const maxPage = 500;
/** Listings of the node that read ahead; each holds at most two pages. */
const maxReadingAhead = 16;

export class FixedListing implements FolderHandle {
  readonly shown: FolderHandle['shown'];
  #left: readonly FileEntry[];

  constructor(entries: readonly FileEntry[], shown: FolderHandle['shown']) {
    this.shown = shown;
    this.#left = entries;
  }

  async next(max: number): Promise<readonly FileEntry[]> {
    const part = this.#left.slice(0, max);
    this.#left = this.#left.slice(max);
    return part;
  }
}

/** The listings that were read last. */
export class ReadAhead {
  readonly #listings = new Set<Listing>();

  /** It is being read. The one that was not for longest gives way. */
  use(listing: Listing): void {
    this.#listings.delete(listing);
    this.#listings.add(listing);
    if (this.#listings.size <= maxReadingAhead) return;
    const [oldest] = this.#listings;
    if (!oldest) return;
    this.#listings.delete(oldest);
    oldest.holdNothing();
  }

  over(listing: Listing): void {
    this.#listings.delete(listing);
  }
}

export interface ListingDeps {
  /** @param limit 0 only asks whether the folder is there. */
  readonly page: (after: string, limit: number) => Promise<readonly ListedEntry[]>;
  readonly show: (entry: ListedEntry) => FileEntry | undefined;
  readonly readAhead: ReadAhead;
}

export class Listing implements FolderHandle {
  readonly shown: FolderHandle['shown'];
  readonly #deps: ListingDeps;
  /** The session's own uploads under way, which the records do not show. */
  readonly #own: Map<string, LiveSlot>;
  /** The last name that was given out, or passed over. */
  #after = '';
  #page: readonly ListedEntry[] = [];
  #at = 0;
  #coming: Promise<readonly ListedEntry[]> | undefined;
  #pages = 0;
  #mayReadAhead = true;
  #done = false;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(deps: ListingDeps, own: readonly LiveSlot[], shown: FolderHandle['shown']) {
    this.shown = shown;
    this.#deps = deps;
    this.#own = new Map(own.map((slot) => [slot.place.nameKey, slot]));
  }

  async begin(): Promise<void> {
    await this.#deps.page('', 0);
  }

  next(max: number): Promise<readonly FileEntry[]> {
    const result = this.#turn.then(() => this.#take(Math.max(1, Math.min(max, maxPage))));
    this.#turn = result.catch(() => {});
    return result;
  }

  /** Others are read more; from now on it asks for what it gives. */
  holdNothing(): void {
    this.#mayReadAhead = false;
    this.#page = [];
    this.#at = 0;
    this.#coming = undefined;
    this.#done = false;
  }

  async #take(max: number): Promise<readonly FileEntry[]> {
    for (;;) {
      const shown = this.#give(max);
      if (shown.length > 0) return shown;
      if (this.#done) return this.#rest(max);
      await this.#turnPage(max);
    }
  }

  /** The first page is no longer than it was asked for: most folders end with it. */
  async #turnPage(max: number): Promise<void> {
    const readsAhead = this.#mayReadAhead && this.#pages > 0;
    const limit = readsAhead ? maxPage : max;
    const coming = this.#coming ?? this.#deps.page(this.#after, limit);
    this.#coming = undefined;
    if (readsAhead) this.#deps.readAhead.use(this);
    this.#page = await coming;
    this.#at = 0;
    this.#pages += 1;
    this.#done = this.#page.length < limit;
    const last = this.#page.at(-1);
    if (this.#done) this.#deps.readAhead.over(this);
    else if (readsAhead && this.#mayReadAhead && last) {
      this.#coming = this.#deps.page(last.nameKey, maxPage);
      this.#coming.catch(() => {}); // whoever asks for it hears of it
    }
  }

  #give(max: number): FileEntry[] {
    const shown: FileEntry[] = [];
    while (shown.length < max && this.#at < this.#page.length) {
      const entry = this.#page[this.#at++] as ListedEntry;
      this.#after = entry.nameKey;
      const own = this.#own.get(entry.nameKey);
      this.#own.delete(entry.nameKey);
      const seen = own?.upload ? own.upload.stat() : this.#deps.show(entry);
      if (seen) shown.push(seen);
    }
    return shown;
  }

  /** Own uploads whose names the records do not have. */
  #rest(max: number): readonly FileEntry[] {
    const rest = [...this.#own].slice(0, max);
    for (const [key] of rest) this.#own.delete(key);
    return rest.flatMap(([, { upload }]) => upload?.stat() ?? []);
  }
}

/** The Outbox of all partners: serves offered items with keys that the inside releases for one download (architecture A5). */
import { SallyportError } from '../../shared/errors.ts';
import { type EventContext, event } from '../../shared/events/event.ts';
import type { VirtualPath } from '../../shared/paths/virtual-path.ts';
import { readSealedHeader } from '../../shared/seal/seal-workers.ts';
import type { SealedReader } from '../../shared/seal/sealed-reader.ts';
import type { CacheUser } from '../cache-view.ts';
import type { FileEntry, ReadHandle } from '../partner-view.ts';
import type { CacheCore } from './core.ts';
import { Coverage } from './coverage.ts';
import { placeOf } from './place.ts';
import type { OfferedItem } from './records/hand-over.ts';
import type { Views } from './views.ts';

const keyBytes = 16;

export class Outbox {
  readonly #core: CacheCore;
  readonly #views: Views;

  constructor(core: CacheCore, views: Views) {
    this.#core = core;
    this.#views = views;
  }

  /** @throws SallyportError `no-such-file`, `is-a-folder`, `tunnel-down`, `key-refused`, `sealed-damaged` */
  async openDownload(user: CacheUser, path: VirtualPath): Promise<Download> {
    const { records, clock } = this.#core;
    const entry = await records.call('names.look', { partner: user.owner, ...placeOf(path) });
    const shown = entry && this.#views.show(user, entry);
    if (shown?.kind === 'folder') throw new SallyportError('is-a-folder', 'the path names a folder');
    if (!shown || !entry?.item) throw new SallyportError('no-such-file', 'nothing of that name');
    const item = await records.call('outbox.open', { id: entry.item, nowMs: clock.nowMs() });
    const reader = await this.#openReader(user, item);
    return new Download({ core: this.#core, reader }, { user, path, item, entry: shown });
  }

  async #openReader(user: CacheUser, item: OfferedItem): Promise<SealedReader> {
    const { files, inside, seal } = this.#core;
    const paths = item.segments.map(({ file }) => files.path(`${item.object}.${file}`));
    const headers = await Promise.all(paths.map(readSealedHeader));
    const answer = await inside.request('key.release', {
      token: user.token,
      item: item.id,
      headers: headers.map((header) => header.toString('base64')),
    });
    const keys = answer.keys.map((key) => Buffer.from(key, 'base64'));
    try {
      if (keys.length !== paths.length || keys.some((key) => key.length !== keyBytes)) {
        throw new SallyportError('key-refused', 'the inside answered keys that do not fit', { item: item.id });
      }
      const segments = item.segments.map(({ plainBytes }, n) => ({
        path: paths[n] ?? '',
        fileKey: keys[n] ?? Buffer.alloc(0),
        plainBytes,
      }));
      return await seal.openReader(segments);
    } finally {
      for (const key of keys) key.fill(0);
    }
  }
}

export interface DownloadFacts {
  readonly user: CacheUser;
  readonly path: VirtualPath;
  readonly item: OfferedItem;
  readonly entry: FileEntry;
}

/** One open file. It goes on serving when the item is withdrawn meanwhile. */
export class Download implements ReadHandle {
  readonly #core: CacheCore;
  readonly #reader: SealedReader;
  readonly #facts: DownloadFacts;
  readonly #coverage: Coverage;
  #closing: Promise<void> | undefined;

  constructor(deps: { readonly core: CacheCore; readonly reader: SealedReader }, facts: DownloadFacts) {
    this.#core = deps.core;
    this.#reader = deps.reader;
    this.#facts = facts;
    this.#coverage = new Coverage(facts.item.size);
  }

  get path(): VirtualPath {
    return this.#facts.path;
  }

  get size(): number {
    return this.#facts.item.size;
  }

  get sha256(): string | null {
    return this.#facts.item.sha256;
  }

  stat(): FileEntry {
    return { ...this.#facts.entry, size: this.size };
  }

  async read(offset: number, length: number): Promise<Buffer> {
    const bytes = await this.#reader.read(offset, length);
    this.#coverage.add(offset, offset + bytes.length);
    return bytes;
  }

  close(): Promise<void> {
    this.#closing ??= this.#end(this.#coverage.complete);
    return this.#closing;
  }

  /** The client is gone without closing: however much was served, nobody said that it arrived. */
  abandon(): Promise<void> {
    this.#closing ??= this.#end(false);
    return this.#closing;
  }

  async #end(downloaded: boolean): Promise<void> {
    await this.#reader.close();
    const { events, clock, inside, log } = this.#core;
    const { user, path, item } = this.#facts;
    const bytes = this.#coverage.bytes;
    if (!downloaded && bytes === 0) return;
    const context: EventContext = { trace: item.trace, session: user.session, item: item.id, partner: user.partner };
    const atMs = clock.nowMs();
    const record = downloaded
      ? event('item.downloaded', atMs, context, { path, size: item.size })
      : event('item.download-partial', atMs, context, { path, size: bytes });
    await events.emit([record]).catch((error: unknown) => log.warn({ err: error }, 'a download was not recorded'));
    if (downloaded) inside.note('outbox.fetched', { item: item.id, partner: user.partner, session: user.session, atMs });
  }
}

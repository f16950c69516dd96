/** What can be seen of an internal node from its own host while it is attacked: its audit trail, its destinations, its status. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CertificateSummary } from '../../shared/pki/certificate-desk.ts';
import { until } from './until.ts';

export interface SeenEvent {
  readonly name: string;
  readonly item?: string;
  readonly [field: string]: unknown;
}

/** A point in the audit trail. */
export type Mark = number;

export interface SeenStatus {
  readonly tunnel: { readonly up: boolean };
  readonly certificates: CertificateSummary;
}

export interface ObserverOptions {
  readonly auditFolder: string;
  /** Where files are delivered to. */
  readonly folders: readonly string[];
}

export class Observer {
  readonly #status: () => Promise<SeenStatus>;
  readonly #options: ObserverOptions;

  constructor(deps: { readonly status: () => Promise<SeenStatus> }, options: ObserverOptions) {
    this.#status = deps.status;
    this.#options = options;
  }

  status(): Promise<SeenStatus> {
    return this.#status();
  }

  async mark(): Promise<Mark> {
    return (await this.lines(0)).length;
  }

  async since(mark: Mark): Promise<readonly SeenEvent[]> {
    return (await this.lines(mark)).map((line) => JSON.parse(line) as SeenEvent);
  }

  /** Waits until the node has recorded `count` events of one of these names that fit. @throws Error when it does not. */
  async heard(
    mark: Mark,
    names: string | readonly string[],
    fits: (event: SeenEvent) => boolean = () => true,
    count = 1,
  ): Promise<readonly SeenEvent[]> {
    let found: readonly SeenEvent[] = [];
    await until(`${count} × ${String(names)} in the audit trail`, async () => {
      found = (await this.since(mark)).filter((event) => [names].flat().includes(event.name) && fits(event));
      return found.length >= count;
    });
    return found;
  }

  /** Path and content of every delivered file, below the destination. Drafts are not delivered. */
  async delivered(): Promise<ReadonlyMap<string, Buffer>> {
    const files = new Map<string, Buffer>();
    for (const folder of this.#options.folders) {
      for (const entry of await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => [])) {
        const path = join(entry.parentPath, entry.name);
        if (!entry.isFile() || path.includes('/.sallyport-')) continue;
        const content = await readFile(path).catch(() => undefined);
        if (content) files.set(path.slice(folder.length + 1), content);
      }
    }
    return files;
  }

  /** Lines of the audit trail after a mark, as they are. */
  async lines(mark: Mark): Promise<readonly string[]> {
    const { auditFolder } = this.#options;
    const days = (await readdir(auditFolder)).sort();
    const texts = await Promise.all(days.map((day) => readFile(join(auditFolder, day), 'utf8')));
    return texts.join('').split('\n').slice(mark, -1);
  }
}

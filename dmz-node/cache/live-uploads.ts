/** Uploads under way, by partner and name: one writer for one name, and a growing size for the session that writes. */
import { SallyportError } from '../../shared/errors.ts';
import type { CacheUser } from '../cache-view.ts';
import type { WriteHandle } from '../partner-view.ts';
import type { NamePlace } from './records/entries.ts';

interface Running extends Pick<WriteHandle, 'stat' | 'setAttributes' | 'abandon'> {
  readonly idleMs: number;
  readonly isStalled: boolean;
}

type Writer = Pick<CacheUser, 'partner' | 'session' | 'sessionProof'>;

export interface LiveSlot {
  readonly session: string;
  readonly sessionProof: string;
  readonly place: NamePlace;
  /** Undefined while the upload is still being opened. */
  upload: Running | undefined;
  /** Without a byte for so long it becomes a partial. */
  readonly idleLimitMs: number;
  release(): void;
}

export class LiveUploads {
  readonly #byPartner = new Map<string, Map<string, LiveSlot>>();

  /** @throws SallyportError `upload-in-progress` */
  claim({ partner, session, sessionProof }: Writer, place: NamePlace, idleLimitMs: number): LiveSlot {
    const slots = this.#byPartner.get(partner) ?? new Map<string, LiveSlot>();
    if (slots.has(place.pathKey)) throw new SallyportError('upload-in-progress', 'another live handle writes this name');
    const release = (): void => this.#release(partner, slot);
    const slot: LiveSlot = { session, sessionProof, place, upload: undefined, idleLimitMs, release };
    slots.set(place.pathKey, slot);
    this.#byPartner.set(partner, slots);
    return slot;
  }

  find(partner: string, pathKey: string): LiveSlot | undefined {
    return this.#byPartner.get(partner)?.get(pathKey);
  }

  /** @throws SallyportError `upload-in-progress` when the name, or one below it, is being written. */
  refuseIfLive(partner: string, pathKey: string): void {
    const slots = this.#byPartner.get(partner);
    if (!slots) return;
    for (const key of slots.keys()) {
      if (key === pathKey || key.startsWith(`${pathKey}/`)) {
        throw new SallyportError('upload-in-progress', 'an upload of this name is under way');
      }
    }
  }

  /** What a session itself is writing in a folder. */
  inFolder(partner: string, session: string, folderKey: string): LiveSlot[] {
    const slots = this.#byPartner.get(partner)?.values() ?? [];
    return [...slots].filter((slot) => slot.session === session && slot.place.folderKey === folderKey && slot.upload);
  }

  all(): LiveSlot[] {
    return [...this.#byPartner.values()].flatMap((slots) => [...slots.values()]);
  }

  #release(partner: string, slot: LiveSlot): void {
    const slots = this.#byPartner.get(partner);
    if (slots?.get(slot.place.pathKey) === slot) slots.delete(slot.place.pathKey);
    if (slots?.size === 0) this.#byPartner.delete(partner);
  }
}

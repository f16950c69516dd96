/**
 * The room that drafts may take: a floor of free space at each destination, and a share for each partner. At the floor the
 * inside stops leasing; files then wait safely in the DMZ. Counts are of this process and not durable.
 */
import { SallyportError } from '../../shared/errors.ts';

export interface StagingOptions {
  /** What stays free at a destination: bytes, or a part of its file system. */
  readonly floor: { readonly bytes: number } | { readonly percent: number };
  /** Bytes of drafts that one partner may have under way; a single larger file is still taken when it is alone. */
  readonly perPartnerBytes: number;
}

export const stagingDefaults: StagingOptions = { floor: { bytes: 1024 ** 3 }, perPartnerBytes: 64 * 1024 ** 3 };

interface Place {
  readonly name: string;
  space(): Promise<{ readonly freeBytes: number; readonly totalBytes: number }>;
}

export class StagingArea {
  readonly #options: StagingOptions;
  readonly #reserved = new Map<string, number>();
  /** Looks under way: who asks meanwhile shares them, because reservations are counted apart. */
  readonly #looks = new Map<Place, ReturnType<Place['space']>>();

  constructor(options: StagingOptions = stagingDefaults) {
    this.#options = options;
  }

  /**
   * Sets `sizeBytes` aside for one draft until the result is disposed.
   * @throws SallyportError `no-space` (retryable)
   */
  async reserve(place: Place, partner: string, sizeBytes: number): Promise<Disposable> {
    const atPlace = `place ${place.name}`;
    const ofPartner = `partner ${partner}`;
    const { freeBytes, totalBytes } = await this.#look(place);
    const { floor } = this.#options;
    const floorBytes = 'bytes' in floor ? floor.bytes : (totalBytes * floor.percent) / 100;
    // Drafts under way have partly taken their space already: counting them whole errs to the safe side.
    if (freeBytes - (this.#reserved.get(atPlace) ?? 0) - sizeBytes < floorBytes) {
      throw new SallyportError('no-space', 'too little free space at the destination', { destination: place.name, freeBytes });
    }
    const share = this.#reserved.get(ofPartner) ?? 0;
    if (share > 0 && share + sizeBytes > this.#options.perPartnerBytes) {
      throw new SallyportError('no-space', "the partner's share of staging space is used up", { partner });
    }
    this.#add(atPlace, sizeBytes);
    this.#add(ofPartner, sizeBytes);
    let given = true;
    return {
      [Symbol.dispose]: () => {
        if (!given) return;
        given = false;
        this.#add(atPlace, -sizeBytes);
        this.#add(ofPartner, -sizeBytes);
      },
    };
  }

  #look(place: Place): ReturnType<Place['space']> {
    const underWay = this.#looks.get(place);
    if (underWay) return underWay;
    const look = place.space().finally(() => this.#looks.delete(place));
    this.#looks.set(place, look);
    return look;
  }

  #add(key: string, bytes: number): void {
    const sum = (this.#reserved.get(key) ?? 0) + bytes;
    if (sum > 0) this.#reserved.set(key, sum);
    else this.#reserved.delete(key);
  }
}

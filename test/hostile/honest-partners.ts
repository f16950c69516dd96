/** Honest partners who go on working with OpenSSH `sftp` while something else goes wrong, and what they got. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { SitePartner } from '../../scripts/site/site.ts';
import { delivered, eventually, offer, sftp, sha256 } from '../../scripts/site/walk.ts';
import type { Pair } from '../fixtures/pair.ts';

const offeredName = 'for-honest.bin';

/** One partner who sends and fetches again and again from one address, and fails the test when he is not served. */
export class HonestPartner {
  readonly #pair: Pair;
  readonly #partner: SitePartner;
  readonly #address: string;
  readonly #folder: string;
  readonly #content = randomBytes(256 * 1024);
  readonly #offered = randomBytes(1024 * 1024);
  readonly #sent: string[] = [];
  #rounds = 0;
  #worstMs = 0;

  constructor(pair: Pair, partner: SitePartner, address: string) {
    this.#pair = pair;
    this.#partner = partner;
    this.#address = address;
    this.#folder = join(pair.site.folder, 'honest', partner.name);
  }

  get rounds(): number {
    return this.#rounds;
  }

  get worstMs(): number {
    return Math.round(this.#worstMs);
  }

  async prepare(): Promise<void> {
    const { site } = this.#pair;
    await mkdir(this.#folder, { recursive: true });
    await writeFile(join(this.#folder, 'mine.bin'), this.#content);
    await offer(site, this.#partner.name, offeredName, this.#offered);
    const look = async () => (await sftp(site, this.#partner, ['ls -1 /Outbox'])).output.includes(offeredName) || undefined;
    await eventually('the file is offered', look);
  }

  /** One session: connect, log in, send 256 KiB, fetch 1 MiB, leave. Everything must succeed at the first try. */
  async round(): Promise<void> {
    const name = `honest-${this.#rounds++}.bin`;
    const fetched = join(this.#folder, 'fetched.bin');
    await rm(fetched, { force: true });
    const startedAt = performance.now();
    const { code, output } = await sftp(
      this.#pair.site,
      this.#partner,
      [`put ${join(this.#folder, 'mine.bin')} /Inbox/${name}`, `get /Outbox/${offeredName} ${fetched}`],
      ['-o', `BindAddress=${this.#address}`],
    );
    const tookMs = performance.now() - startedAt;
    const who = `${this.#partner.name} from ${this.#address}, round ${this.#rounds}`;
    assert.equal(code, 0, `${who}: ${output}`);
    assert.equal(sha256(await readFile(fetched)), sha256(this.#offered), `${who} fetched other bytes`);
    this.#worstMs = Math.max(this.#worstMs, tookMs);
    this.#sent.push(name);
  }

  /** Rounds until `over`; the first that fails ends it. */
  async loop(over: AbortSignal): Promise<void> {
    while (!over.aborted) await this.round();
  }

  /** Everything that was acknowledged is inside, as it was sent. */
  async allDelivered(): Promise<void> {
    for (const name of this.#sent) {
      const got = await delivered(this.#pair.site, `${this.#partner.name}/${name}`);
      assert.equal(sha256(got), sha256(this.#content), `${name} was changed on its way`);
    }
  }
}

/**
 * Runs `abuse` while partners work. Every round that begins before it is over must succeed. An abuse that can be held holds
 * until `served` settles: from then on each partner has begun and ended a round under it.
 */
export async function whileServing<T>(
  partners: readonly HonestPartner[],
  abuse: (served: () => Promise<unknown>) => Promise<T>,
): Promise<T> {
  const over = new AbortController();
  const loops = Promise.all(partners.map((partner) => partner.loop(over.signal)));
  loops.catch(() => {}); // reported below
  const served = () => {
    const before = partners.map(({ rounds }) => rounds);
    // The round under way began earlier.
    const enough = () => partners.every(({ rounds }, n) => rounds > (before[n] ?? 0) + 1);
    return Promise.race([eventually('rounds during the abuse', async () => enough() || undefined), loops]);
  };
  const abused = abuse(served);
  try {
    await Promise.race([abused, loops]);
    await served();
  } finally {
    over.abort();
  }
  await loops;
  return abused;
}

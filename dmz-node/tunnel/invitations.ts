/**
 * The invitations that this DMZ node gave out: of each the public half, when it ends and who used it. Kept in one file that is replaced
 * whole, so that a used one stays used over every crash. The node that used one may come again with it (its answer may have been
 * lost), nobody else may.
 */
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import type { Clock } from '../../shared/clock.ts';
import { replaceFile } from '../../shared/config/write-file.ts';
import { SallyportError } from '../../shared/errors.ts';
import { invitationId, newInvitation } from '../../shared/pki/invitation.ts';

const keptSchema = z.strictObject({
  /** SHA-256 of the public half, hex. */
  id: z.string().regex(/^[0-9a-f]{64}$/),
  publicKey: z.base64().max(128),
  label: z.string().max(64),
  expiresAtMs: z.number(),
  used: z.strictObject({ by: z.string().max(64), atMs: z.number() }).nullable(),
});
type Kept = z.infer<typeof keptSchema>;

export interface OpenInvitation {
  /** Enough of the id to name it. */
  readonly id: string;
  readonly label: string;
  readonly expiresAtMs: number;
}

export interface MadeInvitation extends OpenInvitation {
  readonly token: string;
}

export type Redeemed =
  | { readonly ok: true; readonly id: string; readonly label: string }
  | { readonly ok: false; readonly reason: 'unknown' | 'expired' | 'used' | 'wrong proof' };

export interface Claim {
  readonly id: string;
  /** Fingerprint of the key that the newcomer has proved to hold. */
  readonly by: string;
  readonly proves: (publicKey: Buffer) => boolean;
}

const maxOpen = 16;
/** How long an ended one is remembered, so that the audit trail can tell it from an invented one. */
const rememberedMs = 7 * 86_400_000;
const shortId = 12;

export class Invitations {
  readonly #clock: Clock;
  readonly #file: string;
  #kept: readonly Kept[] = [];
  #last: Promise<unknown> = Promise.resolve();

  /** @param options.file In the state folder. */
  constructor(deps: { readonly clock: Clock }, options: { readonly file: string }) {
    this.#clock = deps.clock;
    this.#file = options.file;
  }

  /** @throws SallyportError `key-file`. */
  async load(): Promise<void> {
    try {
      this.#kept = z.array(keptSchema).parse(JSON.parse(await readFile(this.#file, 'utf8')));
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return;
      throw new SallyportError('key-file', `the invitations in ${this.#file} cannot be read`, { file: this.#file }, { cause });
    }
  }

  /** Those that can still be used. */
  open(): readonly OpenInvitation[] {
    return this.#open().map(({ id, label, expiresAtMs }) => ({ id: id.slice(0, shortId), label, expiresAtMs }));
  }

  /** @param dmz Fingerprint of this node. @throws SallyportError `limit-reached`. */
  make(dmz: string, settings: { readonly ttlMs: number; readonly label: string }): Promise<MadeInvitation> {
    return this.#inTurn(async () => {
      if (this.#open().length >= maxOpen) {
        throw new SallyportError('limit-reached', `${maxOpen} invitations are open; withdraw one, or wait until one ends`);
      }
      const { token, publicKey } = newInvitation(dmz);
      const id = invitationId(publicKey);
      const expiresAtMs = Math.floor(this.#clock.nowMs() + settings.ttlMs);
      const { label } = settings;
      await this.#keep([...this.#kept, { id, publicKey: publicKey.toString('base64'), label, expiresAtMs, used: null }]);
      return { id: id.slice(0, shortId), label, expiresAtMs, token };
    });
  }

  /** @param id As shown. @returns false when there is no such open invitation. */
  withdraw(id: string): Promise<boolean> {
    return this.#inTurn(async () => {
      const found = this.#open().find((kept) => id.length >= shortId && kept.id.startsWith(id));
      if (!found) return false;
      await this.#keep(this.#kept.filter((kept) => kept !== found));
      return true;
    });
  }

  /** Uses an invitation up, durably before it resolves. */
  redeem(claim: Claim): Promise<Redeemed> {
    return this.#inTurn(async (): Promise<Redeemed> => {
      const found = this.#kept.find(({ id }) => id === claim.id);
      if (!found) return { ok: false, reason: 'unknown' };
      if (!claim.proves(Buffer.from(found.publicKey, 'base64'))) return { ok: false, reason: 'wrong proof' };
      if (found.expiresAtMs <= this.#clock.nowMs()) return { ok: false, reason: 'expired' };
      const { id, label, used } = found;
      if (used) return this.#isLastUsed(found) && used.by === claim.by ? { ok: true, id, label } : { ok: false, reason: 'used' };
      const now = { ...found, used: { by: claim.by, atMs: this.#clock.nowMs() } };
      await this.#keep(this.#kept.map((kept) => (kept === found ? now : kept)));
      return { ok: true, id, label };
    });
  }

  #open(): readonly Kept[] {
    return this.#kept.filter(({ used, expiresAtMs }) => used === null && expiresAtMs > this.#clock.nowMs());
  }

  #isLastUsed({ used }: Kept): boolean {
    return used !== null && this.#kept.every((other) => (other.used?.atMs ?? 0) <= used.atMs);
  }

  async #keep(all: readonly Kept[]): Promise<void> {
    const sinceMs = this.#clock.nowMs() - rememberedMs;
    const kept = all.filter(({ expiresAtMs }) => expiresAtMs > sinceMs);
    await replaceFile(this.#file, `${JSON.stringify(kept, null, 2)}\n`);
    this.#kept = kept;
  }

  /** One change after the other: two newcomers with one token must not both find it unused. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => undefined);
    return done;
  }
}

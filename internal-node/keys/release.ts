/**
 * Answers `key.release`: the key of one item, for one download, to one session (reliability.md R31).
 *
 * A key leaves only when the session is live, its partner may read the item, and every header is one that the inside has
 * registered for this item; all or nothing. The release is in the audit trail before the key is on its way. What is asked
 * wrongly is an alarm: an honest DMZ node has no reason to.
 */
import { createHash } from 'node:crypto';
import type { Clock } from '../../shared/clock.ts';
import type { EventSink } from '../../shared/durable/database.ts';
import { SallyportError } from '../../shared/errors.ts';
import { type EventContext, event } from '../../shared/events/event.ts';
import type { Logger } from '../../shared/log.ts';
import { openHeader } from '../../shared/seal/header.ts';
import { TokenBucket } from '../../shared/token-bucket.ts';
import type { RequestParams, RequestResult } from '../../shared/tunnel/messages.ts';

export interface ReadableItem {
  /** SHA-256 of the age headers of the item's segments, hex. */
  readonly headers: readonly string[];
  /** As the partner sees it. */
  readonly path: string;
}

export interface KeyReleaseDeps {
  readonly sessions: {
    byToken(token: string): Promise<{ readonly partner: string; readonly session: string; readonly trace: string } | undefined>;
  };
  readonly items: { readableBy(item: string, partner: string): Promise<ReadableItem | undefined> };
  /** `AGE-SECRET-KEY-1…` */
  readonly identity: string;
  readonly events: EventSink;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface KeyReleaseOptions {
  /** Requests of one partner, and of all together. */
  readonly perPartnerPerMinute: number;
  readonly perMinute: number;
  /** `key.refused` events; what is more is only counted by the limits of the link. */
  readonly refusalsPerMinute: number;
}

export const defaultKeyReleaseOptions: KeyReleaseOptions = {
  perPartnerPerMinute: 1200,
  perMinute: 12_000,
  refusalsPerMinute: 120,
};

type Refusal = 'session-unknown' | 'key-refused';

export class KeyRelease {
  readonly #deps: KeyReleaseDeps;
  readonly #options: KeyReleaseOptions;
  readonly #all: TokenBucket;
  readonly #refusals: TokenBucket;
  /** By partner: only names that a live session proved come in here. */
  readonly #byPartner = new Map<string, TokenBucket>();

  constructor(deps: KeyReleaseDeps, options: KeyReleaseOptions = defaultKeyReleaseOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#all = this.#bucket(options.perMinute);
    this.#refusals = this.#bucket(options.refusalsPerMinute);
  }

  /**
   * @returns Base64 file keys, one for each header, in their order.
   * @throws SallyportError `session-unknown`, `key-refused`; `limit-reached` when too much is asked.
   */
  async release(params: RequestParams<'key.release'>, signal: AbortSignal): Promise<RequestResult<'key.release'>> {
    const { token, item } = params;
    if (!this.#all.take()) throw tooMany();
    const session = await this.#deps.sessions.byToken(token);
    if (!session) throw this.#refuse('session-unknown', 'no live session has this token', { item });
    if (!this.#bucketOf(session.partner).take()) throw tooMany();
    const context: EventContext = { item, partner: session.partner, session: session.session, trace: session.trace };
    const readable = await this.#deps.items.readableBy(item, session.partner);
    if (!readable) throw this.#refuse('key-refused', 'this partner may not read this item', context);
    const headers = params.headers.map((text) => Buffer.from(text, 'base64'));
    if (!headers.every((header) => readable.headers.includes(sha256(header)))) {
      throw this.#refuse('key-refused', 'a header was never registered for this item', context);
    }
    const keys = headers.map((header) => this.#open(header, context));
    signal.throwIfAborted();
    await this.#deps.events.emit([event('key.released', this.#deps.clock.nowMs(), context, { path: readable.path })]);
    return { keys };
  }

  #open(header: Buffer, context: EventContext): string {
    let key: Buffer | undefined;
    try {
      key = openHeader(header, this.#deps.identity);
      return key.toString('base64');
    } catch (cause) {
      this.#deps.log.error({ err: cause, item: context.item }, 'a registered header does not open');
      throw this.#refuse('key-refused', 'a registered header does not open with the sealing key', context);
    } finally {
      key?.fill(0);
    }
  }

  #refuse(code: Refusal, reason: string, context: EventContext): SallyportError {
    if (this.#refusals.take()) {
      const record = event('key.refused', this.#deps.clock.nowMs(), context, { reason });
      this.#deps.events
        .emit([record])
        .catch((error: unknown) => this.#deps.log.error({ err: error }, 'an event was not recorded'));
    }
    return new SallyportError(code, reason, { item: context.item });
  }

  #bucketOf(partner: string): TokenBucket {
    const known = this.#byPartner.get(partner) ?? this.#bucket(this.#options.perPartnerPerMinute);
    this.#byPartner.set(partner, known);
    return known;
  }

  #bucket(perMinute: number): TokenBucket {
    return new TokenBucket(this.#deps, { burst: perMinute, perMinute });
  }
}

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
const tooMany = (): SallyportError => new SallyportError('limit-reached', 'too many keys were asked for in the last minute');

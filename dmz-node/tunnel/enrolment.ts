/**
 * The door for an internal node that nobody has named yet: it proves that it holds an invitation, and is recorded as the one that may
 * connect. A refusal never says why; the audit trail does. A source that fails a few times has to wait.
 */
import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '../../shared/clock.ts';
import type { EventSink } from '../../shared/durable/database.ts';
import { type EventRecord, event } from '../../shared/events/event.ts';
import { type Logger, printable } from '../../shared/log.ts';
import { enrolmentBytes, enrolmentSchema, isProof } from '../../shared/pki/invitation.ts';
import { type PeerTrust, presentedBy } from '../../shared/pki/peer-trust.ts';
import { connectionFault } from '../../shared/tls.ts';
import { TokenBucket } from '../../shared/token-bucket.ts';
import { sourceOf } from '../peer-address.ts';
import type { Invitations } from './invitations.ts';
import { plainAddress } from './source-addresses.ts';

export interface EnrolmentDeps {
  readonly invitations: Pick<Invitations, 'redeem'>;
  readonly trust: Pick<PeerTrust, 'judgeStranger' | 'enrol'>;
  readonly events: EventSink;
  readonly clock: Clock;
  readonly log: Logger;
  /** Somebody else may connect from now on. */
  readonly onEnrolled: () => void;
}

/** Failures that one source has at once, and how fast they are forgiven. */
const perSource = { burst: 5, perMinute: 5 };
const maxSources = 1024;
/** Failures that become events. */
const told = { burst: 30, perMinute: 10 };

type Refusal = { readonly reason: string; readonly fingerprint?: string };

export class EnrolmentDoor {
  readonly #deps: EnrolmentDeps;
  readonly #sources = new Map<string, TokenBucket>();
  readonly #told: TokenBucket;

  constructor(deps: EnrolmentDeps) {
    this.#deps = deps;
    this.#told = new TokenBucket(deps, told);
  }

  /** @returns whether the newcomer was recorded. Never rejects. */
  async admit(request: IncomingMessage, socket: TLSSocket): Promise<boolean> {
    const from = plainAddress(socket.remoteAddress ?? '');
    const budget = this.#budgetOf(sourceOf(from));
    // Taken now and given back on success, so that many at the same time get no more than the budget.
    const refusal = budget.take() ? await this.#attempt(request, socket) : { reason: 'too many failures of this source' };
    if (refusal === undefined) {
      budget.giveBack();
      return true;
    }
    const { reason, fingerprint = '' } = refusal;
    this.#deps.log.warn({ from, reason }, 'an enrolment was refused');
    if (this.#told.take()) {
      this.#emit(event('enrolment.refused', this.#deps.clock.nowMs(), {}, { reason: printable(reason, 300), from, fingerprint }));
    }
    return false;
  }

  async #attempt(request: IncomingMessage, socket: TLSSocket): Promise<Refusal | undefined> {
    const { invitations, trust, clock } = this.#deps;
    const fault = connectionFault(socket);
    if (fault !== undefined) return { reason: fault };
    const presented = presentedBy(socket);
    const own = socket.getX509Certificate();
    const verdict = trust.judgeStranger(presented);
    if (!verdict.ok) return { reason: verdict.detail };
    const { leaf: inside } = presented;
    const { fingerprint, name: peer } = verdict;
    try {
      const claim = enrolmentSchema.safeParse(await jsonOf(request));
      if (!claim.success || !inside || !own) return { reason: 'the request is malformed', fingerprint };
      const proves = (key: Buffer): boolean => isProof(claim.data.signature, key, socket, { dmz: own, inside });
      const redeemed = await invitations.redeem({ id: claim.data.invitation, by: fingerprint, proves });
      if (!redeemed.ok) return { reason: `invitation: ${redeemed.reason}`, fingerprint };
      trust.enrol({ fingerprint, authority: verdict.caPem });
      const { id: invitation, label } = redeemed;
      await this.#deps.events.emit([event('enrolment.accepted', clock.nowMs(), {}, { peer, fingerprint, invitation, label })]);
      this.#deps.onEnrolled();
      return undefined;
    } catch (error) {
      this.#deps.log.error({ err: error }, 'an enrolment failed');
      return { reason: 'a fault of this node', fingerprint };
    }
  }

  #budgetOf(source: string): TokenBucket {
    const known = this.#sources.get(source);
    if (known) return known;
    const oldest = this.#sources.size < maxSources ? undefined : this.#sources.keys().next().value;
    if (oldest !== undefined) this.#sources.delete(oldest);
    const made = new TokenBucket(this.#deps, perSource);
    this.#sources.set(source, made);
    return made;
  }

  #emit(record: EventRecord): void {
    this.#deps.events.emit([record]).catch((error: unknown) => this.#deps.log.error({ err: error }, 'an event was not recorded'));
  }
}

async function jsonOf(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > enrolmentBytes) return undefined;
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch {
    return undefined;
  }
}

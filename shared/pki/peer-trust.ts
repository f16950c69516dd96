/**
 * What a node knows of its counterpart: the fingerprint that a person typed or an invitation brought, and, after the first
 * contact, the counterpart's authority. The authority is recorded once, durably, before that first contact counts; from then on
 * it changes only by a statement that it has signed itself. A key on the list of refused ones is refused whatever else holds.
 */
import { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '../clock.ts';
import type { EventSink } from '../durable/database.ts';
import { asSallyportError, SallyportError } from '../errors.ts';
import { event } from '../events/event.ts';
import { spkiOf } from './certificates.ts';
import { deniedKeys } from './deny-list.ts';
import { fingerprintOf, type NodeRole, parseFingerprint } from './fingerprint.ts';
import { checkPeer, type PeerVerdict, type PresentedPeer, refused as refusedBy } from './peer-check.ts';
import { type PeerIdentity, type PeerRecord, readPeerRecord, writePeerRecord } from './peer-record.ts';
import { refused, type SignedStatement, verifyStatement } from './trust-statement.ts';

export interface PeerTrustDeps {
  readonly events: EventSink;
  readonly clock: Clock;
}

export interface PeerTrustOptions {
  /** Role of the other node. */
  readonly role: NodeRole;
  /** As typed; undefined: who it is comes with an invitation. */
  readonly fingerprint: string | undefined;
  /** Where the other node's keys and authorities are recorded. */
  readonly recordFile: string;
  /** Keys that are refused. */
  readonly denyFile: string;
}

export class PeerTrust {
  readonly #deps: PeerTrustDeps;
  readonly #options: PeerTrustOptions;
  #typed: string | null = null;
  #record: PeerRecord | undefined;

  constructor(deps: PeerTrustDeps, options: PeerTrustOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  /** Reads what is recorded. @throws SallyportError `config-invalid` (fingerprint), `key-file` (record). */
  load(): void {
    const { role, fingerprint, recordFile } = this.#options;
    if (fingerprint !== undefined) {
      const parsed = readTyped(fingerprint);
      if (parsed.role !== role) {
        throw new SallyportError(
          'config-invalid',
          `the fingerprint of the other node is one of a ${parsed.role} node, needed is a ${role} node`,
        );
      }
      this.#typed = parsed.canonical;
    }
    const record = readPeerRecord(recordFile);
    this.#record = record?.anchor === this.#typed ? record : undefined;
  }

  /** PEM of the other node's authorities, once it has been met: one, or two while it exchanges them. */
  get authorities(): readonly string[] {
    return this.#record?.identities.map(({ authority }) => authority) ?? [];
  }

  /** The keys under which the other node is admitted, canonical. Empty before an invitation was taken. */
  get fingerprints(): readonly string[] {
    if (this.#record) return this.#record.identities.map(({ fingerprint }) => fingerprint);
    return this.#typed === null ? [] : [this.#typed];
  }

  /** Judges the peer of a finished handshake, and records its authority at first contact. */
  judge(presented: PresentedPeer): PeerVerdict {
    const { role } = this.#options;
    const accepted = this.fingerprints;
    if (accepted.length === 0) return refusedBy('pin', 'no internal node has been introduced yet');
    const denied = this.#denied(presented);
    const presentedKey = presented.leaf && fingerprintOf(role, spkiOf(presented.leaf.publicKey));
    const fingerprint = accepted.find((known) => known === presentedKey) ?? accepted[0] ?? '';
    const recordedCa = this.#record?.identities.find((known) => known.fingerprint === fingerprint)?.authority;
    if (denied !== undefined && presentedKey === fingerprint) return refusedBy('revoked', denied);
    const verdict = checkPeer(presented, { role, fingerprint, recordedCa }, this.#deps.clock.nowMs());
    if (verdict.ok && !this.#record) this.#meet({ fingerprint, authority: verdict.caPem });
    return verdict;
  }

  /** Whether a peer that nobody has named yet could be admitted, were it named. */
  judgeStranger(presented: PresentedPeer): PeerVerdict {
    const { role } = this.#options;
    const fingerprint = presented.leaf ? fingerprintOf(role, spkiOf(presented.leaf.publicKey)) : '';
    const denied = this.#denied(presented);
    if (denied !== undefined) return refusedBy('revoked', denied);
    return checkPeer(presented, { role, fingerprint, recordedCa: undefined }, this.#deps.clock.nowMs());
  }

  /** Records the node that an invitation brought, in place of any other. */
  enrol(identity: PeerIdentity): void {
    this.#keep({ anchor: this.#typed, number: 0, identities: [identity] });
  }

  /**
   * Takes what the other node says of its own keys. The keys it names are admitted, the others no longer.
   * @returns the number now held; an older statement changes nothing.
   * @throws SallyportError `peer-refused`.
   */
  adopt(signed: SignedStatement): number {
    const record = this.#record;
    if (!record) throw refused('nothing is recorded of it yet');
    const { role, number, identities } = verifyStatement(signed, this.authorities);
    if (role !== this.#options.role || identities.some(({ fingerprint }) => parseFingerprint(fingerprint).role !== role)) {
      throw refused('it is one of another role');
    }
    if (number <= record.number) return record.number;
    // From one set to the next there is always a key that both have: nobody is exchanged at one stroke.
    const known = new Set(this.fingerprints);
    if (!identities.some(({ fingerprint }) => known.has(fingerprint))) throw refused('none of the keys it names is known');
    this.#keep({ ...record, number, identities });
    const named = identities.map(({ fingerprint }) => fingerprint);
    this.#emit(event('link.keys-announced', this.#deps.clock.nowMs(), {}, { number, fingerprints: named.join(', ') }));
    return number;
  }

  #meet(identity: PeerIdentity): void {
    this.#keep({ anchor: this.#typed, number: 0, identities: [identity] });
    const fingerprint = new X509Certificate(identity.authority).fingerprint256;
    this.#emit(event('link.ca-recorded', this.#deps.clock.nowMs(), {}, { fingerprint }));
  }

  #keep(record: PeerRecord): void {
    writePeerRecord(this.#options.recordFile, record);
    this.#record = record;
  }

  #denied({ leaf, authority }: PresentedPeer): string | undefined {
    const { role, denyFile } = this.#options;
    try {
      const denied = deniedKeys(denyFile);
      if (denied.size === 0 || !leaf) return undefined;
      const keyOf = (certificate: X509Certificate): string => fingerprintOf(role, spkiOf(certificate.publicKey));
      if (denied.has(keyOf(leaf))) return `its key ${keyOf(leaf)} is on the list of refused keys`;
      if (authority && denied.has(keyOf(authority))) return `the key of its authority is on the list of refused keys`;
      return undefined;
    } catch (error) {
      return asSallyportError(error).message;
    }
  }

  #emit(record: ReturnType<typeof event>): void {
    void this.#deps.events.emit([record]).catch(() => undefined);
  }
}

/**
 * What the peer sent in the handshake. Nothing of it has been verified but the possession of the leaf's key.
 * To be called once per socket and before anything else asks for the certificate: Node 24 gives the issuer with the first
 * look and has forgotten it at the second.
 */
export function presentedBy(socket: TLSSocket): PresentedPeer {
  const leaf = socket.getPeerX509Certificate();
  return { leaf, authority: leaf?.issuerCertificate };
}

function readTyped(fingerprint: string): ReturnType<typeof parseFingerprint> {
  try {
    return parseFingerprint(fingerprint);
  } catch (cause) {
    throw new SallyportError('config-invalid', `the fingerprint of the other node: ${(cause as Error).message}`, {}, { cause });
  }
}

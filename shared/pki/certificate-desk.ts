/** What operators ask and do about the keys of the tunnel, on either node: list them, take a step in an exchange, refuse one. */
import { X509Certificate } from 'node:crypto';
import type { Clock } from '../clock.ts';
import type { EventSink } from '../durable/database.ts';
import { event } from '../events/event.ts';
import { printable } from '../log.ts';
import { endsSoon, lifeOf, renewalDueMs } from './certificate-life.ts';
import { deniedKeys, denyKey } from './deny-list.ts';
import { parseFingerprint } from './fingerprint.ts';
import type { NodeIdentity, Phase, RotationStatus, Step } from './node-identity.ts';
import type { PeerTrust } from './peer-trust.ts';

/** One certificate, for people. */
export interface ListedCertificate {
  readonly whose: 'this node' | 'other node';
  readonly kind: 'tunnel' | 'policy' | 'authority';
  readonly fingerprint: string | null;
  readonly endsAtMs: number;
  /** When it renews itself; null: never. */
  readonly renewedAtMs: number | null;
}

export interface CertificateList {
  readonly rotation: RotationStatus;
  readonly certificates: readonly ListedCertificate[];
  /** Under which the other node is admitted. */
  readonly admitted: readonly string[];
  readonly refused: readonly string[];
}

/** For the status of a node. */
export interface CertificateSummary {
  readonly ownEndsAtMs: number;
  readonly peerEndsAtMs: number | null;
  /** One that ends soon and was not renewed. */
  readonly endingSoon: boolean;
  readonly phase: Phase;
  /** Whether the other node knows what was announced. */
  readonly told: boolean;
}

export interface CertificateDeskDeps {
  readonly identity: Pick<NodeIdentity, 'keys' | 'rotation' | 'step'>;
  readonly known: () => Pick<PeerTrust, 'fingerprints' | 'authorities'> | undefined;
  /** That the other node showed on the live link. */
  readonly peerCertificate: () => X509Certificate | undefined;
  /** Judges the live link anew. */
  readonly recheck: () => void;
  /** What must be done before the old keys go. */
  readonly beforeRetire: () => Promise<void>;
  readonly events: EventSink;
  readonly clock: Clock;
}

export class CertificateDesk {
  readonly #deps: CertificateDeskDeps;
  readonly #denyFile: string;

  constructor(deps: CertificateDeskDeps, options: { readonly denyFile: string }) {
    this.#deps = deps;
    this.#denyFile = options.denyFile;
  }

  summary(): CertificateSummary {
    const { identity, peerCertificate, clock } = this.#deps;
    const own = lifeOf(new X509Certificate(identity.keys.tunnelCertificatePem));
    const authority = lifeOf(new X509Certificate(identity.keys.caCertificatePem));
    const certificate = peerCertificate();
    const peer = certificate && lifeOf(certificate);
    const { phase, told } = identity.rotation;
    const nowMs = clock.nowMs();
    const endingSoon = [own, authority, ...(peer ? [peer] : [])].some((life) => endsSoon(life, nowMs));
    return { ownEndsAtMs: own.endsMs, peerEndsAtMs: peer?.endsMs ?? null, endingSoon, phase, told };
  }

  list(): CertificateList {
    const { identity, known, peerCertificate } = this.#deps;
    const { keys, rotation } = identity;
    const peer = known();
    const row = (whose: ListedCertificate['whose'], kind: ListedCertificate['kind'], pem: string, fingerprint: string | null) => {
      const life = lifeOf(new X509Certificate(pem));
      return { whose, kind, fingerprint, endsAtMs: life.endsMs, renewedAtMs: kind === 'authority' ? null : renewalDueMs(life) };
    };
    const shown = peerCertificate();
    const certificates = [
      row('this node', 'tunnel', keys.tunnelCertificatePem, keys.fingerprint),
      ...(keys.policyCertificatePem === undefined ? [] : [row('this node', 'policy', keys.policyCertificatePem, null)]),
      row('this node', 'authority', keys.caCertificatePem, null),
      ...(shown ? [row('other node', 'tunnel', shown.toString(), null)] : []),
      ...(peer?.authorities ?? []).map((pem, index) => row('other node', 'authority', pem, peer?.fingerprints[index] ?? null)),
    ];
    return { rotation, certificates, admitted: peer?.fingerprints ?? [], refused: [...deniedKeys(this.#denyFile)] };
  }

  /** @throws SallyportError `usage`, `peer-refused`, `tunnel-down`; nothing has changed then. */
  async rotate(step: Step, unheard: boolean): Promise<RotationStatus> {
    if (step === 'retire' && !unheard && this.#deps.identity.rotation.phase === 'switched') await this.#deps.beforeRetire();
    return this.#deps.identity.step(step, unheard);
  }

  /** @returns whether it was not on the list before. @throws SallyportError `usage`, `key-file`. */
  async revoke(fingerprint: string, reason: string): Promise<{ readonly added: boolean }> {
    const { events, clock, recheck } = this.#deps;
    const { canonical } = parseFingerprint(fingerprint);
    const added = await denyKey(this.#denyFile, canonical, reason);
    if (added) {
      const fields = { fingerprint: canonical, reason: printable(reason, 200) };
      await events.emit([event('certificate.revoked', clock.nowMs(), {}, fields)]);
    }
    recheck();
    return { added };
  }
}

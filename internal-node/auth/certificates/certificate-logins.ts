/**
 * Which partner a TLS client certificate stands for. The DMZ only carries what the client showed, its chain included; authorities,
 * names, dates and revocation are judged here.
 *
 * A certificate is his when it is registered by its fingerprint (then no authority is needed, but dates count, and one that a
 * trusted authority has revoked, or may have, is void), or when a trusted authority issued it and it bears a name of his, to the letter.
 * Certificates are public: that the client has the key is what the DMZ's TLS says, so where the DMZ must not be believed alone, a
 * password goes with it (`requireOverFtps`).
 */
import type { Clock } from '../../../shared/clock.ts';
import { type CertificateParts, certificateParts } from './certificate-parts.ts';
import { leafFault, pathFault, type TrustedIssuers } from './certificate-path.ts';

export interface CertificateHolder {
  /** SHA-256 of certificates, lower-case hex. */
  readonly certificates: readonly string[];
  /** `CN=…`, `dns:…`, `email:…`, `uri:…` */
  readonly certificateNames?: readonly string[] | undefined;
}

export interface CertificateLoginsDeps {
  readonly issuers: { current(): Promise<TrustedIssuers> };
  /** Whether a certificate whose common name is the name of a partner is his. */
  readonly commonNameIsPartner: () => boolean;
  readonly clock: Pick<Clock, 'nowMs'>;
}

/** For staff; no partner hears of it. */
export interface CertificateFinding {
  readonly fits: boolean;
  readonly fingerprint: string;
  readonly detail: string;
}

const mostCertificates = 6;

export class CertificateLogins {
  readonly #deps: CertificateLoginsDeps;

  constructor(deps: CertificateLoginsDeps) {
    this.#deps = deps;
  }

  /** @param chain DER in base64, the leaf first. Never throws for what it holds. */
  judge(chain: readonly string[], user: string, holder: CertificateHolder): Promise<CertificateFinding> {
    return this.#judgeAt(chain, user, holder, this.#deps.clock.nowMs());
  }

  /** Why a certificate that was good once is his no more, whatever the date; undefined when it is. */
  async withdrawn(chain: readonly string[], user: string, holder: CertificateHolder): Promise<string | undefined> {
    const { fits, detail } = await this.#judgeAt(chain, user, holder, undefined);
    return fits ? undefined : detail;
  }

  async #judgeAt(
    chain: readonly string[],
    user: string,
    holder: CertificateHolder,
    nowMs: number | undefined,
  ): Promise<CertificateFinding> {
    let parts: readonly CertificateParts[];
    try {
      parts = chain.slice(0, mostCertificates).map((base64) => certificateParts(Buffer.from(base64, 'base64')));
    } catch {
      return { fits: false, fingerprint: '', detail: 'it cannot be read' };
    }
    const [leaf] = parts;
    if (!leaf) return { fits: false, fingerprint: '', detail: 'there is none' };
    const found = (fits: boolean, detail: string): CertificateFinding => ({ fits, fingerprint: leaf.fingerprint, detail });
    const issuers = await this.#deps.issuers.current();
    const fault = pathFault(parts, issuers, nowMs);
    if (holder.certificates.includes(leaf.fingerprint)) {
      const counts = leafFault(leaf, nowMs) ?? (fault?.about === 'revocation' ? fault : undefined);
      return counts ? found(false, `it is registered, but ${counts.text}`) : found(true, 'it is registered');
    }
    const his = [...(holder.certificateNames ?? []), ...(this.#deps.commonNameIsPartner() ? [`CN=${user}`] : [])];
    if (his.length === 0) return found(false, 'it is not registered');
    if (fault) return found(false, fault.text);
    const name = leaf.names.find((one) => his.includes(one));
    if (name !== undefined) return found(true, `an authority issued it to ${name}`);
    return found(false, `it is for ${leaf.names.slice(0, 4).join(', ') || 'nobody'}`);
  }
}

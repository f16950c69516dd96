/**
 * Whether a key that somebody shows is a partner's: one of those that are registered for him, or one that an authority which is
 * trusted certified for him; and whether he has proved that it is his, in a handshake of this moment.
 *
 * Every byte of both comes from the DMZ node and is read as a stranger's. Nothing here knows accounts beyond their keys; whether a
 * partner may come in at all is the desk's.
 */
import type { AuthCheck } from '../../shared/tunnel/messages.ts';
import type { SshPublicKey } from '../ssh-public-key.ts';
import type { HandshakeCookies } from './handshake-cookies.ts';
import { readHandshake } from './handshake-proof.ts';
import type { KeyRevocationList } from './key-revocation-list.ts';
import type { Account } from './local-users.ts';
import type { RejectReason } from './rejections.ts';
import { certificateObjection, readCertificate, wantsVerification } from './ssh-certificate.ts';
import { fitsAlgorithm, isCertificateAlgorithm, verifySignedLogin } from './ssh-signature.ts';

/** What the configuration says of keys of all partners. */
export interface KeyTrust {
  /** Whose certificates are good for every partner whom they name. */
  readonly authorities: readonly SshPublicKey[];
  /** `verify`: FIDO devices must have verified their user, by PIN or finger; otherwise a touch is enough. */
  readonly devices: 'touch' | 'verify';
  /** Fingerprints of the host keys that partners may have been shown; undefined: any. */
  readonly hostKeys?: readonly string[] | undefined;
}

export interface KeyLoginsDeps {
  readonly trust: () => KeyTrust;
  readonly revoked: { current(): Promise<KeyRevocationList | undefined> };
  readonly cookies: Pick<HandshakeCookies, 'claim'>;
  readonly nowMs: () => number;
}

/** A key that is somebody's, if he can prove that he has it. */
export interface GoodKey {
  readonly key: SshPublicKey;
  readonly mustVerify: boolean;
  /** For the audit trail: which key, or which certificate of whom. */
  readonly description: string;
}

type Shown = Extract<AuthCheck, { readonly method: 'key' | 'key-probe' }>;
/** What is looked at before anything is proven. */
type ShownKey = Pick<Shown, 'user' | 'algorithm' | 'key' | 'peer'>;
type Signed = Extract<AuthCheck, { readonly method: 'key' }>;
export interface Proven {
  /** The SSH session identifier that was signed, base64. */
  readonly identifier: string;
  /** `SHA256:…` of the host key that the partner's program saw. */
  readonly hostKey: string;
}
interface Refused {
  readonly rejected: RejectReason;
}

/** Of the handshake, which is fresh with the next try: nothing that a partner did wrong. */
export const staleHandshake: RejectReason = 'handshake is not fresh';

export class KeyLogins {
  readonly #deps: KeyLoginsDeps;

  constructor(deps: KeyLoginsDeps) {
    this.#deps = deps;
  }

  /**
   * @param when Of a session that lives already the dates of its certificate are not asked.
   * @throws SallyportError `config-invalid` when the list of revoked keys cannot be used.
   */
  async recognise(shown: ShownKey, account: Account, when: 'now' | 'whatever the date' = 'now'): Promise<GoodKey | Refused> {
    const blob = Buffer.from(shown.key, 'base64');
    const { algorithm } = shown;
    const good = isCertificateAlgorithm(algorithm)
      ? await this.#certified(shown, blob, account, when === 'now' ? this.#deps.nowMs() : undefined)
      : await this.#registered(blob, account);
    if ('rejected' in good || fitsAlgorithm(good.key, algorithm)) return good;
    return { rejected: 'algorithm does not fit the key' };
  }

  prove(login: Signed, { key, mustVerify }: GoodKey): Proven | Refused {
    const { user, algorithm } = login;
    const [blob, signed, signature, transcript] = [login.key, login.signed, login.signature, login.transcript].map((text) =>
      Buffer.from(text, 'base64'),
    ) as [Buffer, Buffer, Buffer, Buffer];
    const proven = verifySignedLogin({ user, algorithm, blob, signed, signature }, key);
    if (!proven) return { rejected: 'bad signature' };
    const { identifier, device } = proven;
    if (device && !device.present) return { rejected: 'device was not touched' };
    if (device && mustVerify && !device.verified) return { rejected: 'device did not verify its user' };
    const handshake = readHandshake(transcript, identifier);
    if (!handshake) return { rejected: 'handshake does not make the SSH session identifier' };
    const { hostKeys } = this.#deps.trust();
    if (hostKeys && !hostKeys.includes(handshake.hostKey)) return { rejected: 'handshake with an unknown host key' };
    if (!this.#deps.cookies.claim(handshake.cookie, identifier)) return { rejected: staleHandshake };
    return { identifier: identifier.toString('base64'), hostKey: handshake.hostKey };
  }

  async #registered(blob: Buffer, account: Account): Promise<GoodKey | Refused> {
    const key = account.keys.find((registered) => registered.blob.equals(blob));
    if (!key) return { rejected: 'key not registered' };
    const revoked = await this.#deps.revoked.current();
    if (revoked?.hasKey(key)) return { rejected: 'key revoked' };
    return {
      key,
      mustVerify: key.verify || this.#deps.trust().devices === 'verify',
      description: `${key.fingerprint}${key.comment === '' ? '' : ` ${key.comment}`}`,
    };
  }

  async #certified(
    { user, peer }: ShownKey,
    blob: Buffer,
    account: Account,
    nowMs: number | undefined,
  ): Promise<GoodKey | Refused> {
    const certificate = readCertificate(blob);
    if (!certificate) return { rejected: 'no certificate' };
    const { authority, key, keyId, serial } = certificate;
    const { authorities, devices } = this.#deps.trust();
    const isOneOf = (trusted: readonly SshPublicKey[]): boolean => trusted.some((one) => one.blob.equals(authority.blob));
    const ofPartner = isOneOf(account.authorities);
    if (!ofPartner && !isOneOf(authorities)) return { rejected: 'authority not trusted' };
    const principals = ofPartner ? account.principals : [user];
    const objection = certificateObjection(certificate, { principals, peer, nowMs });
    if (objection) return { rejected: objection };
    const revoked = await this.#deps.revoked.current();
    if (revoked?.hasCertificate(certificate)) return { rejected: 'key revoked' };
    return {
      key,
      mustVerify: wantsVerification(certificate) || devices === 'verify',
      description: `${key.fingerprint} certificate ${keyId} (serial ${serial}) of ${authority.fingerprint}`,
    };
  }
}

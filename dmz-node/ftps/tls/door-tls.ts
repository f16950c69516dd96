/**
 * TLS of the FTPS door: which certificate is shown, which versions and algorithms are admitted, and how a data connection is
 * bound to its control connection.
 *
 * Each control connection has a context of its own with ticket keys of its own, used for it and all its data connections.
 * Only the client of that control connection holds a ticket that opens with these keys, so a data connection that resumes
 * is proven to be his. Certificates may be replaced at any time; sessions under way keep those that they began with.
 */
import { constants, randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import {
  createSecureContext,
  type DetailedPeerCertificate,
  type SecureContext,
  type SecureContextOptions,
  TLSSocket,
} from 'node:tls';
import { SallyportError } from '../../../shared/errors.ts';
import { limits } from '../../../shared/tunnel/messages.ts';
import type { Certificate } from './certificate.ts';

export interface DoorTlsOptions {
  readonly minimum: 'TLSv1.2' | 'TLSv1.3';
  /** `required`: who shows none, or none that `clientAuthorities` has issued, is refused. */
  readonly clientCertificates: 'none' | 'optional' | 'required';
  /** PEM. Without them the door tells no one from another: what was shown is carried inside, where it is judged. */
  readonly clientAuthorities?: string;
}

/** The certificates to show; the first one to who asks for no name, or for one that none has. */
export interface Certificates {
  current(): readonly Certificate[];
}

/** Version 1.2 with forward secrecy and authenticated encryption only (RFC 9325 §4.2); all of version 1.3. */
const ciphers = [
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'TLS_AES_128_GCM_SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
].join(':');
const groups = 'X25519MLKEM768:X25519:P-256:P-384';
/** A client that offers application protocols at all must offer one of FTP's: no other service's client is let in (ALPACA). */
const applicationProtocols = ['ftp', 'ftp-data'];
/** Seconds; a data connection late in a long session must still be able to resume. */
const sessionSeconds = 86_400;

export class DoorTls {
  readonly #certificates: Certificates;
  readonly #options: DoorTlsOptions;

  constructor(certificates: Certificates, options: DoorTlsOptions) {
    this.#certificates = certificates;
    this.#options = options;
  }

  get clientCertificates(): DoorTlsOptions['clientCertificates'] {
    return this.#options.clientCertificates;
  }

  /** Whether one of the certificates is for this host name or address. */
  serves(name: string): boolean {
    return this.#certificates.current().some((certificate) => certificate.serves(name));
  }

  /** @throws SallyportError `key-file` when no certificate is usable. */
  forControl(): SessionTls {
    return new SessionTls(this.#certificates.current(), this.#options);
  }
}

/** TLS of one control connection and its data connections. */
export class SessionTls {
  readonly #contexts: readonly { readonly certificate: Certificate; readonly context: SecureContext }[];
  readonly #options: DoorTlsOptions;
  /** SHA-256 of what the control connection showed; null when that was nothing that counts. */
  #client: string | null | undefined;
  #chain: readonly Buffer[] = [];

  constructor(certificates: readonly Certificate[], options: DoorTlsOptions) {
    if (certificates.length === 0) throw new SallyportError('key-file', 'the FTPS door has no certificate');
    this.#options = options;
    const shared = { ...base(options), ticketKeys: randomBytes(48), sessionIdContext: randomBytes(16).toString('hex') };
    this.#contexts = certificates.map((certificate) => ({
      certificate,
      context: createSecureContext({ ...shared, cert: certificate.chainPem, key: certificate.keyPem }),
    }));
  }

  /** Begins the server's half of TLS on a stream; `handshake` waits for its end. */
  secure(stream: Duplex): TLSSocket {
    const secureContext = this.#contexts[0]?.context;
    return new TLSSocket(stream as Socket, {
      isServer: true,
      ...(secureContext ? { secureContext } : {}),
      requestCert: this.#options.clientCertificates !== 'none',
      // Decided by `clientRefusal`, so that the reason can be said.
      rejectUnauthorized: false,
      ALPNProtocols: applicationProtocols,
      SNICallback: (name, answer) => answer(null, this.#contextFor(name)),
    });
  }

  /**
   * Why the client's certificate does not do; undefined when it does, or none is needed. What the control connection showed,
   * which is asked about first, its data connections must show as well.
   */
  clientRefusal(socket: TLSSocket): string | undefined {
    const { clientCertificates } = this.#options;
    if (clientCertificates === 'none') return undefined;
    const shown = socket.getPeerCertificate().fingerprint256;
    const counts = this.#options.clientAuthorities === undefined || isTrusted(socket);
    const trusted = shown !== undefined && counts ? shown : null;
    if (this.#client === undefined) {
      this.#client = trusted;
      if (trusted !== null) this.#chain = chainOf(socket);
    }
    if (clientCertificates === 'optional') return undefined;
    if (shown === undefined) return 'no client certificate';
    if (trusted === null) return 'a client certificate that is not trusted';
    return trusted === this.#client ? undefined : 'another client certificate than that of the control connection';
  }

  /** What the control connection showed, DER, the client's own certificate first; empty when it was nothing that counts. */
  get clientChain(): readonly Buffer[] {
    return this.#chain;
  }

  #contextFor(name: string): SecureContext | undefined {
    const found = this.#contexts.find(({ certificate }) => certificate.serves(name)) ?? this.#contexts[0];
    return found?.context;
  }
}

/** As far as it may be carried inside. */
function chainOf(socket: TLSSocket): readonly Buffer[] {
  const chain: Buffer[] = [];
  let next: DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
  while (next?.raw && chain.length < limits.certificates && next.raw.length <= limits.certificateBytes) {
    const { raw } = next;
    if (chain.some((der) => der.equals(raw))) break;
    chain.push(raw);
    next = next.issuerCertificate;
  }
  return chain;
}

/**
 * Whether OpenSSL found the client's certificate good. Node fills `authorized` in for sockets that a `tls.Server` has accepted
 * only, from the same question; when it can no longer be asked, nobody is trusted.
 */
function isTrusted(socket: TLSSocket): boolean {
  const { _handle: handle } = socket as unknown as { readonly _handle?: { verifyError?(): Error | null } };
  return handle?.verifyError !== undefined && !handle.verifyError();
}

const base = (options: DoorTlsOptions): SecureContextOptions => ({
  minVersion: options.minimum,
  ciphers,
  ecdhCurve: groups,
  honorCipherOrder: true,
  sessionTimeout: sessionSeconds,
  secureOptions: constants.SSL_OP_NO_RENEGOTIATION | constants.SSL_OP_NO_COMPRESSION,
  ...(options.clientAuthorities === undefined ? {} : { ca: options.clientAuthorities }),
});

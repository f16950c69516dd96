/**
 * TLS of the tunnel, both ends: version 1.3 only, hybrid post-quantum key exchange unless configured otherwise, both ends
 * with a certificate, one fixed application protocol, nothing resumed. OpenSSL proves possession of the keys; who the peer is
 * is decided afterwards by peer-check.ts, which is why nothing is rejected here for its chain.
 */
import { constants } from 'node:crypto';
import type { ConnectionOptions, TLSSocket, TlsOptions } from 'node:tls';
import type { NodeKeys } from './pki/node-keys.ts';

export const tunnelProtocol = 'sallyport/1';
const hybridGroup = 'X25519MLKEM768';
const classicalGroups = `${hybridGroup}:X25519:P-256`;

export interface TunnelTls {
  readonly keys: NodeKeys;
  /** Also accept X25519 and P-256 without ML-KEM. */
  readonly classicalKeyExchange: boolean;
}

const common = ({ keys, classicalKeyExchange }: TunnelTls) => ({
  key: keys.tunnelKeyPem,
  cert: keys.tunnelCertificatePem + keys.caCertificatePem,
  minVersion: 'TLSv1.3' as const,
  maxVersion: 'TLSv1.3' as const,
  ecdhCurve: classicalKeyExchange ? classicalGroups : hybridGroup,
  ALPNProtocols: [tunnelProtocol],
  secureOptions: constants.SSL_OP_NO_TICKET,
  rejectUnauthorized: false,
});

/** Options of the DMZ's listener. */
export function serverTlsOptions(tls: TunnelTls): TlsOptions {
  // Without tickets and without a session store (no `newSession` listener) no session can be resumed.
  return { ...common(tls), requestCert: true, handshakeTimeout: 10_000, sessionTimeout: 1 };
}

/** Options of the inside's connection; no name is sent and none is checked: the pin decides. */
export function clientTlsOptions(tls: TunnelTls): ConnectionOptions {
  return { ...common(tls), servername: '', checkServerIdentity: () => undefined };
}

/** The negotiated key exchange group. Only the client's end of a connection knows it. */
export function groupOf(socket: TLSSocket): string {
  const info: unknown = socket.getEphemeralKeyInfo();
  const name = typeof info === 'object' && info !== null && 'name' in info ? info.name : undefined;
  return typeof name === 'string' ? name : 'unknown';
}

/** What the DMZ can say of the group: exact when only one is allowed. */
export const allowedGroups = (classicalKeyExchange: boolean): string => (classicalKeyExchange ? classicalGroups : hybridGroup);

export const isHybrid = (group: string): boolean => group === hybridGroup;

/** A connection that came up but must not be used, or undefined. */
export function connectionFault(socket: TLSSocket): string | undefined {
  if (socket.getProtocol() !== 'TLSv1.3') return `the TLS version is ${socket.getProtocol() ?? 'unknown'}`;
  if (socket.alpnProtocol !== tunnelProtocol) return `the application protocol ${tunnelProtocol} was not agreed on`;
  if (socket.isSessionReused()) return 'the TLS session was resumed';
  return undefined;
}

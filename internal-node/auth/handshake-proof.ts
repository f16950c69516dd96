/**
 * What an SSH session identifier is made of: the exchange hash of the first key exchange (RFC 4253 §8, RFC 5656 §4), over both
 * greetings, both KEXINIT messages, the host key, both halves of the exchange and its secret. The DMZ node tells all of it; here
 * the hash is computed again and compared with what the partner's key signed. Then nobody can have made up one of the parts:
 * neither the cookie in the KEXINIT of the server, nor the host key that the partner's program saw.
 *
 * The fields stand before each other's ends by their lengths, so two lists of fields never look alike; what comes behind the
 * host key differs between methods of exchange, and is hashed without being read.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { sshFingerprint } from '../ssh-public-key.ts';
import { WireReader } from '../ssh-wire.ts';

export interface Handshake {
  /** 16 bytes that the server chose. */
  readonly cookie: Buffer;
  /** `SHA256:…` of the host key that the client was shown. */
  readonly hostKey: string;
}

const kexInit = 20;
const cookieBytes = 16;
/** The hash of each method of exchange that may be offered has another length. */
const hashOf: Readonly<Record<number, string>> = { 32: 'sha256', 48: 'sha384', 64: 'sha512' };

/**
 * @param transcript All that is hashed, each field as a string of RFC 4251 §5.
 * @returns undefined when it is not what made this identifier. Never throws for what a stranger sent.
 */
export function readHandshake(transcript: Buffer, identifier: Buffer): Handshake | undefined {
  const hash = hashOf[identifier.length];
  if (hash === undefined) return undefined;
  if (!timingSafeEqual(createHash(hash).update(transcript).digest(), identifier)) return undefined;
  try {
    const reader = new WireReader(transcript);
    for (let i = 0; i < 3; i += 1) reader.string(); // greetings, KEXINIT of the client
    const ofServer = reader.string();
    const hostKey = sshFingerprint(reader.string());
    if (ofServer[0] !== kexInit || ofServer.length <= cookieBytes) return undefined;
    return { cookie: Buffer.from(ofServer.subarray(1, 1 + cookieBytes)), hostKey };
  } catch {
    return undefined;
  }
}

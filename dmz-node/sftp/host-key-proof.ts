/**
 * Host keys that change without alarming anybody (OpenSSH's PROTOCOL §2.5): after a login the client hears of all keys of this
 * server, may ask for a proof of those that it does not know, and with `UpdateHostKeys yes` remembers them and forgets old ones.
 */
import { readSshStrings, sshString } from './ssh-strings.ts';
import { type ParsedKey, signAsHost } from './ssh2-seam.ts';

export const announceRequest = 'hostkeys-00@openssh.com';
export const proofRequest = 'hostkeys-prove-00@openssh.com';

/** Data of the announcement: all keys, in use or not. */
export const announcement = (keys: readonly ParsedKey[]): Buffer =>
  Buffer.concat(keys.map((key) => sshString(key.getPublicSSH())));

/**
 * Answers one request for proofs.
 * @param wanted The request's data: public keys.
 * @param rsaAlgorithm What RSA keys sign with.
 * @returns one signature for each; undefined when it asks for a key that is not ours, or for one twice.
 */
export function proofs(wanted: Buffer, keys: readonly ParsedKey[], sessionId: Buffer, rsaAlgorithm: string): Buffer | undefined {
  const blobs = readSshStrings(wanted);
  if (!blobs || blobs.length === 0 || blobs.length > keys.length) return undefined;
  const left = new Set(keys);
  const signatures: Buffer[] = [];
  for (const blob of blobs) {
    const key = [...left].find((candidate) => candidate.getPublicSSH().equals(blob));
    if (!key) return undefined;
    left.delete(key);
    const proven = Buffer.concat([sshString(proofRequest), sshString(sessionId), sshString(blob)]);
    signatures.push(sshString(signAsHost(key, key.type === 'ssh-rsa' ? rsaAlgorithm : key.type, proven)));
  }
  return Buffer.concat(signatures);
}

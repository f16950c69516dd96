/**
 * Makes new SSH host keys as text that OpenSSH and this node read: Ed25519 in OpenSSH's private format (PROTOCOL.key), RSA as
 * PKCS#1 and ECDSA as SEC1. Not by the package `ssh2`, which leaves a zero at the beginning of a key out: one in 256 of its
 * keys cannot be read again.
 */
import { generateKeyPair, generateKeyPairSync, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { sshString } from './ssh-strings.ts';

export const hostKeyTypes = ['ed25519', 'rsa', 'ecdsa'] as const;
export type HostKeyType = (typeof hostKeyTypes)[number];

const rsaBits = 3072;
const generate = promisify(generateKeyPair);

export async function newHostKey(type: HostKeyType): Promise<string> {
  switch (type) {
    case 'ed25519':
      return newEd25519Key('sallyport');
    case 'rsa': {
      const { privateKey } = await generate('rsa', { modulusLength: rsaBits });
      return privateKey.export({ type: 'pkcs1', format: 'pem' }).toString();
    }
    case 'ecdsa': {
      const { privateKey } = await generate('ec', { namedCurve: 'P-256' });
      return privateKey.export({ type: 'sec1', format: 'pem' }).toString();
    }
  }
}

export function newEd25519Key(comment: string): string {
  const { d = '', x = '' } = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' });
  const seed = Buffer.from(d, 'base64url');
  const point = Buffer.from(x, 'base64url');
  const publicKey = Buffer.concat([sshString('ssh-ed25519'), sshString(point)]);
  const check = randomBytes(4);
  const secret = Buffer.concat([check, check, publicKey, sshString(Buffer.concat([seed, point])), sshString(comment)]);
  const padding = Buffer.from([1, 2, 3, 4, 5, 6, 7]).subarray(0, (8 - (secret.length % 8)) % 8);
  const none = [sshString('none'), sshString('none'), sshString('')];
  const one = Buffer.from([0, 0, 0, 1]);
  const all = [Buffer.from('openssh-key-v1\0'), ...none, one, sshString(publicKey), sshString(Buffer.concat([secret, padding]))];
  const lines =
    Buffer.concat(all)
      .toString('base64')
      .match(/.{1,70}/g) ?? [];
  return `-----BEGIN OPENSSH PRIVATE KEY-----\n${lines.join('\n')}\n-----END OPENSSH PRIVATE KEY-----\n`;
}

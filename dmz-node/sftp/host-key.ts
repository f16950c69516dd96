/**
 * The keys by which partners recognise this server: private key files that only their owner can read, in OpenSSH's format or as
 * PEM (PKCS#1, SEC1).
 *
 * A key is made once and never overwritten: a changed host key alarms every partner. A file that others can read is refused
 * and not repaired, because nobody knows who has read it. So is one whose halves do not belong together, or that is not the
 * key of the `.pub` file beside it: partners would be shown a key that they were not told of.
 */
import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { SallyportError } from '../../shared/errors.ts';
import { readKeyFile, writeNewKeyFile } from '../../shared/pki/key-files.ts';
import { type HostKeyType, newHostKey } from './new-host-key.ts';
import { type ParsedKey, parseSshKey } from './ssh2-seam.ts';

export interface HostKey {
  /** What it can sign with, preferred first. */
  readonly algorithms: readonly string[];
  /** `SHA256:…` as `ssh-keygen -l` prints it. */
  readonly fingerprint: string;
  readonly key: ParsedKey;
}

const algorithmsByType: Readonly<Record<string, readonly string[]>> = {
  'ssh-ed25519': ['ssh-ed25519'],
  'ecdsa-sha2-nistp256': ['ecdsa-sha2-nistp256'],
  'ecdsa-sha2-nistp384': ['ecdsa-sha2-nistp384'],
  'ecdsa-sha2-nistp521': ['ecdsa-sha2-nistp521'],
  // Never plain `ssh-rsa`, which signs with SHA-1.
  'ssh-rsa': ['rsa-sha2-512', 'rsa-sha2-256'],
};

/** `ssh-ed25519 AAAA…`, for known_hosts. */
export const hostKeyLine = ({ key }: HostKey): string => `${key.type} ${key.getPublicSSH().toString('base64')}`;

/**
 * Makes a new key and its `.pub` file, flushed to disk.
 * @throws SallyportError `key-file` when a file exists or cannot be made.
 */
export async function makeHostKey(path: string, type: HostKeyType): Promise<HostKey> {
  const text = await newHostKey(type);
  const made = asHostKey(parseSshKey(Buffer.from(text)), path);
  await writeNewKeyFile(path, text);
  await writeNewKeyFile(`${path}.pub`, `${hostKeyLine(made)} sallyport\n`);
  return made;
}

/** @throws SallyportError `key-file`: missing, no private key, of a type we do not use, open to others, or not one pair. */
export async function loadHostKey(path: string): Promise<HostKey> {
  const owner = await ownerFor(path);
  const text = await readKeyFile(dirname(path), basename(path), owner, true);
  let key: ParsedKey;
  try {
    key = parseSshKey(Buffer.from(text));
  } catch (error) {
    throw new SallyportError(
      'key-file',
      `${path} is not a private key in OpenSSH's format or PEM`,
      { file: path },
      { cause: error },
    );
  }
  const loaded = asHostKey(key, path);
  await checkPublicFile(loaded, path, owner);
  return loaded;
}

/** @param path For messages. @throws SallyportError `key-file` when it cannot sign, or not for its public half. */
export function asHostKey(key: ParsedKey, path: string): HostKey {
  const algorithms = algorithmsByType[key.type];
  if (!algorithms || !key.isPrivateKey()) {
    throw new SallyportError('key-file', `${path} holds no private key of a usable type (found ${key.type})`, { file: path });
  }
  const hash = key.type === 'ssh-rsa' ? 'sha256' : undefined;
  const trial = Buffer.from('sallyport');
  const signature = key.sign(trial, hash);
  if (signature instanceof Error || key.verify(trial, signature, hash) !== true) {
    const detail = `the private and the public half in ${path} do not belong together; restore the file from where it was copied`;
    throw new SallyportError('key-file', detail, { file: path });
  }
  const digest = createHash('sha256').update(key.getPublicSSH()).digest('base64').replace(/=+$/, '');
  return { algorithms, fingerprint: `SHA256:${digest}`, key };
}

/** As OpenSSH's sshd does: a `.pub` file is not needed, but where there is one it must be the key's. */
async function checkPublicFile(loaded: HostKey, path: string, owner: number): Promise<void> {
  const file = `${path}.pub`;
  const there = await stat(file).catch(() => undefined);
  if (!there) return;
  const [type, blob] = (await readKeyFile(dirname(file), basename(file), owner, false)).trim().split(/\s+/);
  if (`${type} ${blob}` === hostKeyLine(loaded)) return;
  const detail = `${file} is not the public half of ${path}; put the key back that partners know, or remove the .pub file`;
  throw new SallyportError('key-file', detail, { file });
}

/** Keys belong to the user who runs the node; to the owner of their folder when the superuser looks. */
async function ownerFor(path: string): Promise<number> {
  const user = process.getuid?.() ?? 0;
  if (user !== 0) return user;
  const folder = await stat(dirname(path)).catch(() => undefined);
  return folder?.uid ?? user;
}

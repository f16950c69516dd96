/**
 * The key by which partners recognise this server: a file in OpenSSH's private format, readable by its owner only.
 *
 * A key is made once and never overwritten: a changed host key alarms every partner. A file that others can read is refused
 * and not repaired, because nobody knows who has read it.
 */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { SallyportError } from '../../shared/errors.ts';
import { newSshKey, type ParsedKey, parseSshKey } from './ssh2-seam.ts';

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
const maxFileBytes = 16_384;

/**
 * Makes a new Ed25519 key, flushed to disk.
 * @throws SallyportError `key-file` when the file exists or cannot be made.
 */
export async function makeHostKey(path: string): Promise<HostKey> {
  const text = newSshKey('sallyport');
  try {
    const file = await open(path, constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY | constants.O_NOFOLLOW, 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (error) {
    throw new SallyportError('key-file', `the SSH host key ${path} cannot be made`, { file: path }, { cause: error });
  }
  return asHostKey(parseSshKey(Buffer.from(text)), path);
}

/** @throws SallyportError `key-file` when it is missing, no private key, of a type we do not use, or open to others. */
export async function loadHostKey(path: string): Promise<HostKey> {
  const text = await readPrivateFile(path);
  let key: ParsedKey;
  try {
    key = parseSshKey(text);
  } catch (error) {
    throw new SallyportError('key-file', `${path} is not a private key in OpenSSH's format`, { file: path }, { cause: error });
  }
  return asHostKey(key, path);
}

function asHostKey(key: ParsedKey, path: string): HostKey {
  const algorithms = algorithmsByType[key.type];
  if (!algorithms || !key.isPrivateKey()) {
    throw new SallyportError('key-file', `${path} holds no private key of a usable type (found ${key.type})`, { file: path });
  }
  const digest = createHash('sha256').update(key.getPublicSSH()).digest('base64').replace(/=+$/, '');
  return { algorithms, fingerprint: `SHA256:${digest}`, key };
}

async function readPrivateFile(path: string): Promise<Buffer> {
  let file: FileHandle;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (error) {
    throw new SallyportError('key-file', `the SSH host key ${path} cannot be read`, { file: path }, { cause: error });
  }
  try {
    const found = await file.stat();
    const mode = found.mode & 0o777;
    if (!found.isFile() || (mode & 0o077) !== 0) {
      throw new SallyportError(
        'key-file',
        `${path} must be a file that only its owner can read, its mode is 0${mode.toString(8)}; run: chmod 0600 ${path}`,
        {
          file: path,
          mode: mode.toString(8),
        },
      );
    }
    if (found.size > maxFileBytes) throw new SallyportError('key-file', `${path} is too large for a key`, { file: path });
    return await file.readFile();
  } finally {
    await file.close();
  }
}

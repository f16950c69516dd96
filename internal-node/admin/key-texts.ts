/**
 * Public SSH keys as partners send them, turned into the OpenSSH lines that the configuration holds: lines of OpenSSH, the form of
 * RFC 4716 (`ssh-keygen -e`, `puttygen`, most commercial programs), and the public part of a PuTTY key. What the partner calls his
 * key is kept. Private keys are refused and not quoted.
 */
import { asSallyportError, SallyportError } from '../../shared/errors.ts';
import { isPrivateKey } from '../config-secrets.ts';
import { parseSshPublicKeyBlob, parseSshPublicKeyLine } from '../ssh-public-key.ts';

const begin = '---- BEGIN SSH2 PUBLIC KEY ----';
const end = '---- END SSH2 PUBLIC KEY ----';
const puttyKey = /^PuTTY-User-Key-File-\d+:/;

/**
 * @returns a line for each key, in a form that the configuration takes.
 * @throws SallyportError `usage`, which says what is wrong and not what is in the text.
 */
export function publicKeyLines(text: string): string[] {
  const plain = text.replace(/^\uFEFF/, '').replace(/\r\n?/g, '\n');
  try {
    if (puttyKey.test(plain)) return [fromPutty(plain)];
    if (isPrivateKey(plain)) throw privateKey('this is a private key; it was not stored');
    if (plain.includes(begin)) return fromRfc4716(plain);
    const lines = plain.split('\n').map((line) => line.trim());
    const keys = lines.filter((line) => line !== '' && !line.startsWith('#'));
    for (const line of keys) parseSshPublicKeyLine(line);
    return keys;
  } catch (error) {
    // Nothing was written yet: what is wrong is what was passed, not the configuration.
    if (error instanceof SallyportError && error.code === 'usage') throw error;
    const next = 'pass the file with the public key that the partner sent: OpenSSH, RFC 4716, or the public part of a PuTTY key';
    throw new SallyportError('usage', `--key: ${asSallyportError(error).message}`, { next }, { cause: error });
  }
}

const privateKey = (message: string): SallyportError =>
  new SallyportError('usage', message, { next: 'have the partner make a new key pair and send the public part, the .pub file' });

/** `PuTTY-User-Key-File-3: ssh-ed25519`, `Comment: …`, `Public-Lines: 2`, … */
function fromPutty(text: string): string {
  if (/^Private-Lines:/m.test(text)) {
    throw privateKey(
      'this PuTTY file holds the private key too; it was not stored (`puttygen FILE -O public-openssh` shows the public one)',
    );
  }
  const lines = text.split('\n');
  const place = lines.findIndex((line) => /^Public-Lines: \d{1,3}$/.test(line));
  const count = Number(/\d+$/.exec(lines[place] ?? '')?.[0] ?? 0);
  const comment = /^Comment: (.*)$/m.exec(text)?.[1] ?? '';
  return lineOf(lines.slice(place + 1, place + 1 + count).join(''), comment);
}

/** RFC 4716 §3.2: blocks of headers and base64; a header that ends in a backslash goes on in the next line. */
function fromRfc4716(text: string): string[] {
  return text
    .split(begin)
    .slice(1)
    .map((part) => {
      const [body, rest] = part.split(end);
      if (body === undefined || rest === undefined) throw new SallyportError('usage', `--key: the file has no line "${end}"`);
      const lines = body.replace(/\\\n/g, '').trim().split('\n');
      const headers = lines.filter((line) => line.includes(':'));
      const comment = headers.find((line) => /^comment:/i.test(line))?.replace(/^[^:]*:\s*/, '') ?? '';
      return lineOf(lines.filter((line) => !line.includes(':')).join(''), comment.replace(/^"(.*)"$/, '$1'));
    });
}

function lineOf(base64: string, comment: string): string {
  const blob = Buffer.from(base64.replace(/\s/g, ''), 'base64');
  const name = comment
    .replace(/[^\x20-\x7e\u00a0-\uffff]/g, ' ')
    .trim()
    .slice(0, 256);
  const line = `${parseSshPublicKeyBlob(blob).type} ${blob.toString('base64')} ${name}`.trim();
  parseSshPublicKeyLine(line);
  return line;
}

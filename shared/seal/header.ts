/**
 * The header of an age v1 file (C2SP age.md, "Header"): who can open the file, and the file key wrapped for each of them.
 *
 * Reading is strict: canonical base64, exact line lengths, at most 16 KiB and 32 stanzas, the MAC compared in constant
 * time, points of low order refused. Stanzas of types other than X25519 are skipped, as the format asks. What is wrong with
 * a header is said in the detail of the error only: all failures have the one code `sealed-damaged`.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createSecretKey,
  hkdfSync,
  type KeyObject,
  timingSafeEqual,
} from 'node:crypto';
import { SallyportError } from '../errors.ts';
import { KeyRing, type PrivateKey, type PublicKey } from './key-ring.ts';
import { generatePair, publicKeyFrom, rawPublicKey, sharedSecret } from './x25519.ts';

export const fileKeyBytes = 16;
export const maxHeaderBytes = 16 * 1024;
const maxStanzas = 32;

const versionLine = 'age-encryption.org/v1\n';
const macStart = '\n--- ';
/** 32 bytes in base64 without padding. */
const macLength = 43;
const bodyColumns = 64;
const wrapInfo = 'age-encryption.org/v1/X25519';
const zeroNonce = Buffer.alloc(12);
const tagBytes = 16;

interface Stanza {
  readonly type: string;
  readonly args: readonly string[];
  readonly body: Buffer;
}

interface ParsedHeader {
  readonly stanzas: readonly Stanza[];
  /** Everything that the MAC covers: up to and with `---`. */
  readonly covered: Buffer;
  readonly mac: Buffer;
}

const damaged = (detail: string): SallyportError => new SallyportError('sealed-damaged', detail);

/**
 * @param fileKey 16 bytes; stays the caller's.
 * @returns All bytes up to and with the line feed after the MAC.
 * @throws SallyportError `key-file` when a recipient is none.
 */
export function sealHeader(fileKey: Buffer, recipients: readonly string[], keys = new KeyRing()): Buffer {
  if (recipients.length === 0 || recipients.length > maxStanzas)
    throw new SallyportError('key-file', `a file is sealed to 1 to ${maxStanzas} recipients, not ${recipients.length}`);
  const stanzas = recipients.map((recipient) => wrap(fileKey, keys.recipient(recipient)));
  const covered = Buffer.from(`${versionLine}${stanzas.join('')}---`, 'latin1');
  return Buffer.concat([covered, Buffer.from(` ${toBase64(headerMac(covered, fileKey))}\n`, 'latin1')]);
}

/**
 * @param header Exactly the bytes that `sealHeader` gave or `headerLength` measured.
 * @returns The 16-byte file key; the caller fills it with zeros after use.
 * @throws SallyportError `sealed-damaged`; `key-file` when the identity is none.
 */
export function openHeader(header: Buffer, identity: string, keys = new KeyRing()): Buffer {
  const parsed = parse(header);
  const ours = keys.identity(identity);
  for (const stanza of parsed.stanzas) {
    if (stanza.type !== 'X25519') continue;
    const fileKey = unwrap(stanza, ours);
    if (!fileKey) continue;
    if (timingSafeEqual(headerMac(parsed.covered, fileKey), parsed.mac)) return fileKey;
    fileKey.fill(0);
    throw damaged('the header was changed after sealing: its MAC is wrong');
  }
  throw damaged('no stanza of the header is for this identity');
}

/** Checks that `fileKey` is the one this header was made with. @throws SallyportError `sealed-damaged` */
export function verifyHeader(header: Buffer, fileKey: Buffer): void {
  const { covered, mac } = parse(header);
  if (fileKey.length !== fileKeyBytes || !timingSafeEqual(headerMac(covered, fileKey), mac))
    throw damaged('the file key does not belong to this header');
}

/**
 * @param start The first bytes of a sealed file, as many as are known.
 * @returns Length of the header, undefined when more bytes are needed. The inside of the header is not checked here.
 * @throws SallyportError `sealed-damaged` when this is no age v1 header or it is longer than 16 KiB.
 */
export function headerLength(start: Buffer): number | undefined {
  const seen = Math.min(start.length, versionLine.length);
  if (start.toString('latin1', 0, seen) !== versionLine.slice(0, seen)) throw damaged('this is no age v1 file');
  const at = start.indexOf(macStart, versionLine.length - 1, 'latin1');
  const length = at + macStart.length + macLength + 1;
  if (at < 0 ? start.length >= maxHeaderBytes : length > maxHeaderBytes) throw damaged('the header is longer than 16 KiB');
  if (at < 0 || start.length < length) return undefined;
  if (start[length - 1] !== 0x0a) throw damaged('the last line of the header is malformed');
  return length;
}

/** @returns The type of each stanza, in their order: `X25519` for each recipient. @throws SallyportError `sealed-damaged` */
export const stanzaTypes = (header: Buffer): readonly string[] => parse(header).stanzas.map(({ type }) => type);

/** SHA-256 of the header in hex: what names a sealed file between the nodes. */
export function headerSha256(header: Buffer): string {
  return createHash('sha256').update(header).digest('hex');
}

function wrap(fileKey: Buffer, recipient: PublicKey): string {
  const { publicKey, privateKey } = generatePair();
  const share = rawPublicKey(publicKey);
  const secret = sharedSecret(privateKey, recipient.key);
  if (!secret) throw new SallyportError('key-file', 'the recipient is a point of low order');
  const key = wrapKey(secret, share, recipient.raw);
  const cipher = createCipheriv('chacha20-poly1305', key, zeroNonce, { authTagLength: tagBytes });
  const body = Buffer.concat([cipher.update(fileKey), cipher.final(), cipher.getAuthTag()]);
  return `-> X25519 ${toBase64(share)}\n${toBase64(body)}\n`;
}

/** @returns The file key, or undefined when the stanza is for somebody else. */
function unwrap(stanza: Stanza, ours: PrivateKey): Buffer | undefined {
  const share = stanza.args.length === 1 ? fromBase64(stanza.args[0] ?? '') : undefined;
  if (share?.length !== 32 || stanza.body.length !== fileKeyBytes + tagBytes) throw damaged('an X25519 stanza is malformed');
  const secret = sharedSecret(ours.key, publicKeyFrom(share));
  if (!secret) throw damaged('an X25519 stanza holds a point of low order');
  const key = wrapKey(secret, share, ours.publicRaw);
  const decipher = createDecipheriv('chacha20-poly1305', key, zeroNonce, { authTagLength: tagBytes });
  decipher.setAuthTag(stanza.body.subarray(fileKeyBytes));
  const fileKey = decipher.update(stanza.body.subarray(0, fileKeyBytes));
  try {
    decipher.final();
    return fileKey;
  } catch {
    fileKey.fill(0);
    return undefined;
  }
}

function wrapKey(secret: Buffer, share: Buffer, recipient: Buffer): KeyObject {
  const key = derive(secret, Buffer.concat([share, recipient]), wrapInfo);
  secret.fill(0);
  return key;
}

const headerMac = (covered: Buffer, fileKey: Buffer): Buffer =>
  createHmac('sha256', derive(fileKey, Buffer.alloc(0), 'header'))
    .update(covered)
    .digest();

/** A key object, because node:crypto tries what it is given as one first: bytes cost it a thrown error each time. */
function derive(from: Buffer, salt: Buffer, info: string): KeyObject {
  const raw = Buffer.from(hkdfSync('sha256', createSecretKey(from), salt, info, 32));
  const key = createSecretKey(raw);
  raw.fill(0);
  return key;
}

function parse(header: Buffer): ParsedHeader {
  if (headerLength(header) !== header.length) throw damaged('the header is cut or followed by other bytes');
  const macAt = header.length - macLength - 1;
  const mac = fromBase64(header.toString('latin1', macAt, header.length - 1));
  if (mac?.length !== 32) throw damaged('the MAC of the header is malformed');
  const covered = header.subarray(0, macAt - 1);
  const lines = covered.toString('latin1', versionLine.length, covered.length - 4).split('\n');
  const stanzas = parseStanzas(lines);
  if (stanzas.length > 1 && stanzas.some(({ type }) => type === 'scrypt'))
    throw damaged('a passphrase stanza must be the only one');
  return { stanzas, covered, mac };
}

function parseStanzas(lines: readonly string[]): Stanza[] {
  const stanzas: Stanza[] = [];
  let next = 0;
  while (next < lines.length) {
    const [arrow, type, ...args] = (lines[next++] ?? '').split(' ');
    if (arrow !== '->' || !type || ![type, ...args].every((arg) => /^[\x21-\x7e]+$/.test(arg)))
      throw damaged('a stanza of the header is malformed');
    let text = '';
    let line: string | undefined;
    do {
      line = lines[next++];
      if (line === undefined || line.length > bodyColumns) throw damaged('the body of a stanza is malformed');
      text += line;
    } while (line.length === bodyColumns);
    const body = fromBase64(text);
    if (!body) throw damaged('the body of a stanza is not canonical base64');
    if (stanzas.push({ type, args, body }) > maxStanzas) throw damaged(`the header has more than ${maxStanzas} stanzas`);
  }
  if (stanzas.length === 0) throw damaged('the header has no stanza');
  return stanzas;
}

const toBase64 = (bytes: Buffer): string => bytes.toString('base64').replace(/=+$/, '');

/** Without padding and canonical (RFC 4648 §3.5): one value has one text, so a header cannot be changed unseen. */
function fromBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64');
  return toBase64(bytes) === text ? bytes : undefined;
}

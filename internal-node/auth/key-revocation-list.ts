/**
 * A list of SSH keys and certificates that must not count any more, as `ssh-keygen -k` writes it (PROTOCOL.krl of OpenSSH) or as
 * text with one public key on each line. Of certificates single ones are named, by serial number or key id, for one authority or
 * for all. What is not understood refuses the whole list: half of one would let in whom the other half keeps out.
 */
import { createHash } from 'node:crypto';
import { SallyportError } from '../../shared/errors.ts';
import { parseSshPublicKeyLine, type SshPublicKey } from '../ssh-public-key.ts';
import { WireReader } from '../ssh-wire.ts';
import type { SshCertificate } from './ssh-certificate.ts';

const magic = Buffer.from('SSHKRL\n\0', 'latin1');
const section = { certificates: 1, key: 2, sha1: 3, signature: 4, sha256: 5 } as const;
const part = { serials: 0x20, range: 0x21, bitmap: 0x22, keyIds: 0x23 } as const;
/** ssh-keygen writes bitmaps for serials close to each other. */
const maxBitmapBytes = 1024 * 1024;

interface OfAuthority {
  /** Undefined: of all. */
  readonly authority: Buffer | undefined;
  readonly serials: Set<bigint>;
  readonly ranges: (readonly [bigint, bigint])[];
  readonly bitmaps: { readonly first: bigint; readonly bits: Buffer }[];
  readonly keyIds: Set<string>;
}

export class KeyRevocationList {
  readonly #keys = new Set<string>();
  readonly #sha1 = new Set<string>();
  readonly #sha256 = new Set<string>();
  readonly #certificates: OfAuthority[] = [];

  /** @throws SallyportError `config-invalid` when it is neither of the two forms. */
  static parse(file: Buffer): KeyRevocationList {
    const list = new KeyRevocationList();
    if (!file.subarray(0, magic.length).equals(magic)) {
      list.#readLines(file.toString('utf8'));
      return list;
    }
    try {
      list.#readSections(new WireReader(file.subarray(magic.length)));
    } catch (cause) {
      if (cause instanceof SallyportError && cause.code === 'config-invalid') throw cause;
      throw broken('it is damaged', cause);
    }
    return list;
  }

  hasKey({ blob }: Pick<SshPublicKey, 'blob'>): boolean {
    const digest = (name: string): string => createHash(name).update(blob).digest('hex');
    return this.#keys.has(blob.toString('base64')) || this.#sha256.has(digest('sha256')) || this.#sha1.has(digest('sha1'));
  }

  /** Also when its key or its authority is in the list. */
  hasCertificate({ key, authority, serial, keyId }: SshCertificate): boolean {
    if (this.hasKey(key) || this.hasKey(authority)) return true;
    return this.#certificates.some((of) => {
      if (of.authority && !of.authority.equals(authority.blob)) return false;
      if (of.keyIds.has(keyId)) return true;
      // 0 is the serial of all certificates that were given none.
      return serial !== 0n && hasSerial(of, serial);
    });
  }

  #readLines(text: string): void {
    for (const [index, line] of text.split(/\r?\n/).entries()) {
      if (line.trim() === '' || line.startsWith('#')) continue;
      try {
        this.#keys.add(parseSshPublicKeyLine(line).blob.toString('base64'));
      } catch (cause) {
        throw broken(`line ${index + 1} is no public key`, cause);
      }
    }
  }

  #readSections(reader: WireReader): void {
    if (reader.uint32() !== 1) throw broken('it is of a version that is not known');
    reader.take(3 * 8); // number, date, flags
    reader.string();
    reader.string(); // comment
    while (reader.left > 0) {
      const type = reader.byte();
      const body = new WireReader(reader.string());
      // sshd believes the file, not a signature in it.
      if (type === section.signature) return;
      if (type === section.certificates) this.#readCertificates(body);
      else if (type === section.key) while (body.left > 0) this.#keys.add(body.string().toString('base64'));
      else if (type === section.sha1) while (body.left > 0) this.#sha1.add(body.string().toString('hex'));
      else if (type === section.sha256) while (body.left > 0) this.#sha256.add(body.string().toString('hex'));
      else throw broken(`it has a section of the type ${type}, which is not known`);
    }
  }

  #readCertificates(reader: WireReader): void {
    const authority = reader.string();
    reader.string(); // reserved
    const of: OfAuthority = {
      authority: authority.length === 0 ? undefined : authority,
      ...{ serials: new Set(), ranges: [], bitmaps: [], keyIds: new Set() },
    };
    while (reader.left > 0) readPart(reader.byte(), new WireReader(reader.string()), of);
    this.#certificates.push(of);
  }
}

function readPart(type: number, body: WireReader, of: OfAuthority): void {
  switch (type) {
    case part.serials:
      while (body.left > 0) of.serials.add(body.uint64());
      return;
    case part.range:
      of.ranges.push([body.uint64(), body.uint64()]);
      break;
    case part.bitmap: {
      const first = body.uint64();
      const bits = body.positiveInteger();
      if (bits.length > maxBitmapBytes) throw broken('a bitmap in it is too large');
      of.bitmaps.push({ first, bits });
      break;
    }
    case part.keyIds:
      while (body.left > 0) of.keyIds.add(body.string().toString('utf8'));
      return;
    default:
      throw broken(`it names certificates in a way that is not known (${type})`);
  }
  body.end();
}

function hasSerial({ serials, ranges, bitmaps }: OfAuthority, serial: bigint): boolean {
  if (serials.has(serial) || ranges.some(([first, last]) => serial >= first && serial <= last)) return true;
  return bitmaps.some(({ first, bits }) => {
    const place = serial - first;
    if (place < 0n || place >= BigInt(bits.length * 8)) return false;
    const bit = Number(place);
    // A number: its last byte holds the first eight serials.
    return ((bits[bits.length - 1 - (bit >> 3)] ?? 0) & (1 << (bit & 7))) !== 0;
  });
}

const broken = (why: string, cause?: unknown): SallyportError =>
  new SallyportError('config-invalid', `the list of revoked keys cannot be used: ${why}`, {}, { cause });

/**
 * Bech32 (BIP 173) as age uses it: the text form of keys, with a checksum that catches typing errors. It does not know
 * what the bytes mean and does not apply BIP 173's length limit of 90 characters, as age does not either.
 */
const alphabet = 'qpzry9x8gf2tvdw0s3jn54khce6mua7l';
const generators = [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3] as const;
const checksumLength = 6;

/** The lower-case text of `bytes` with the human-readable part `prefix`. */
export function encodeBech32(prefix: string, bytes: Uint8Array): string {
  const words = regroup(bytes, 8, 5, true) ?? [];
  const sum = polymod([...expand(prefix), ...words, 0, 0, 0, 0, 0, 0]) ^ 1;
  const check = Array.from({ length: checksumLength }, (_, i) => (sum >>> (5 * (5 - i))) & 31);
  return `${prefix}1${[...words, ...check].map((word) => alphabet[word]).join('')}`;
}

/** @returns The bytes, or undefined when the text has another prefix, mixed case, a wrong character, checksum or padding. */
export function decodeBech32(prefix: string, text: string): Buffer | undefined {
  const lower = text.toLowerCase();
  if (text !== lower && text !== text.toUpperCase()) return undefined;
  if (!lower.startsWith(`${prefix}1`)) return undefined;
  const words = [...lower.slice(prefix.length + 1)].map((character) => alphabet.indexOf(character));
  if (words.length < checksumLength || words.includes(-1)) return undefined;
  if (polymod([...expand(prefix), ...words]) !== 1) return undefined;
  const bytes = regroup(words.slice(0, -checksumLength), 5, 8, false);
  return bytes && Buffer.from(bytes);
}

function polymod(words: readonly number[]): number {
  let sum = 1;
  for (const word of words) {
    const top = sum >>> 25;
    sum = ((sum & 0x1ffffff) << 5) ^ word;
    generators.forEach((generator, bit) => {
      if ((top >>> bit) & 1) sum ^= generator;
    });
  }
  return sum;
}

const expand = (prefix: string): number[] => {
  const codes = [...prefix].map((character) => character.charCodeAt(0));
  return [...codes.map((code) => code >>> 5), 0, ...codes.map((code) => code & 31)];
};

/** Without `pad` the left-over bits must be fewer than a group and zero, so that one key has one text. */
function regroup(values: Iterable<number>, from: number, to: number, pad: boolean): number[] | undefined {
  const groups: number[] = [];
  let bits = 0;
  let kept = 0;
  for (const value of values) {
    kept = ((kept << from) | value) & 0xfff;
    bits += from;
    while (bits >= to) {
      bits -= to;
      groups.push((kept >>> bits) & ((1 << to) - 1));
    }
  }
  const rest = kept & ((1 << bits) - 1);
  if (pad) return bits > 0 ? [...groups, (rest << (to - bits)) & ((1 << to) - 1)] : groups;
  return bits >= from || rest !== 0 ? undefined : groups;
}

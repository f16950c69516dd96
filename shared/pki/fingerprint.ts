/**
 * The short text by which two nodes are introduced to each other: `SPI-…` names an internal node, `SPD-…` a DMZ node.
 * A person reads it on one host and types it on the other, so every group carries a check character and a typing error is
 * named with its place. It holds the first 135 bits of the SHA-256 of the key (SubjectPublicKeyInfo, DER): it survives a
 * renewed certificate and changes with the key.
 */
import { createHash } from 'node:crypto';
import { SallyportError } from '../errors.ts';
import { base32 } from '../ids.ts';

export type NodeRole = 'dmz' | 'internal';

const prefixes = { dmz: 'SPD', internal: 'SPI' } as const satisfies Record<NodeRole, string>;
const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
const groups = 9;
const dataPerGroup = 3;

/** Multiplication in GF(32) with x^5 + x^2 + 1. */
function multiply(a: number, b: number): number {
  let product = 0;
  for (let bit = 0; bit < 5; bit++) if (b & (1 << bit)) product ^= a << bit;
  for (let bit = 9; bit >= 5; bit--) if (product & (1 << bit)) product ^= 0b100101 << (bit - 5);
  return product;
}

/** Different weights per place find one wrong and two swapped characters; the group's own number finds swapped groups. */
function checkCharacter(data: string, group: number): string {
  let sum = group + 1;
  for (const [place, character] of [...data].entries()) sum ^= multiply(alphabet.indexOf(character), place + 2);
  return alphabet.charAt(sum);
}

/** @param spkiDer The public key as SubjectPublicKeyInfo in DER. */
export function fingerprintOf(role: NodeRole, spkiDer: Buffer): string {
  const digest = base32(createHash('sha256').update(spkiDer).digest()).toUpperCase();
  const parts: string[] = [prefixes[role]];
  for (let group = 0; group < groups; group++) {
    const data = digest.slice(group * dataPerGroup, (group + 1) * dataPerGroup);
    parts.push(data + checkCharacter(data, group));
  }
  return parts.join('-');
}

/**
 * Reads a fingerprint as typed: any case, hyphens and spaces anywhere, and 0, 1 and 8 for the letters they resemble.
 * @throws SallyportError `usage` that names what is wrong.
 */
export function parseFingerprint(text: string): { role: NodeRole; canonical: string } {
  const compact = text.toUpperCase().replace(/[\s-]/g, '').replace(/0/g, 'O').replace(/1/g, 'I').replace(/8/g, 'B');
  const prefix = compact.slice(0, 3);
  const role = prefix === prefixes.dmz ? 'dmz' : prefix === prefixes.internal ? 'internal' : undefined;
  if (!role) throw new SallyportError('usage', 'a fingerprint begins with SPD- (DMZ node) or SPI- (internal node)');
  const body = compact.slice(3);
  if (!/^[A-Z2-7]*$/.test(body)) {
    throw new SallyportError('usage', 'the fingerprint holds a character that is none of A-Z and 2-7');
  }
  const size = dataPerGroup + 1;
  if (body.length !== groups * size) {
    throw new SallyportError(
      'usage',
      `a fingerprint has ${groups} groups of ${size} after the prefix, this one has ${body.length} characters`,
    );
  }
  const parts: string[] = [prefix];
  for (let group = 0; group < groups; group++) {
    const part = body.slice(group * size, (group + 1) * size);
    if (checkCharacter(part.slice(0, dataPerGroup), group) !== part.charAt(dataPerGroup)) {
      throw new SallyportError('usage', `the fingerprint has a typing error in group ${group + 1} (${part})`, {
        group: group + 1,
      });
    }
    parts.push(part);
  }
  return { role, canonical: parts.join('-') };
}

/**
 * Names for a disk inside, made from a partner's names. The result is harmless for shells, for Windows and SMB targets and
 * for our own drafts, and leaves room for a number.
 *
 * What it promises: a component is never empty, `.`, `..` or reserved, holds no separator or control character, and has at
 * most 215 bytes; a name that is already harmless stays as it is (in NFC). What it does not promise: that different names
 * stay different. `-a` and `_-a`, `a.` and `a`, two long names that differ only near the end, or names that differ only in
 * case on a target that ignores case, may meet: a destination must treat "exists already" by its own rule (`withNumber`).
 */
import { SallyportError } from '../errors.ts';
import { checkComponent, isReservedName, nameLimits } from './name-policy.ts';

/** Left free in each component for a number or the name of a draft, bytes. */
const headRoomBytes = 40;
const maxExtensionBytes = 32;
const windowsCharacters = /[\\:*?"<>|]/g;
const windowsDevice = /^(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])[\s.]*(\.|$)/i;
const windowsSpecial = /^desktop\.ini$/i;
const shortName = /^([^.]{1,6})~(\d+)(?=\.|$)/;

/**
 * The folders and the name to make below a destination for an item whose path below the Inbox is `below`. The name policy is
 * applied again: `below` may come from a DMZ that is not to be believed.
 * @throws SallyportError `bad-name`
 */
export function deliveryComponents(below: string): readonly string[] {
  if (below.length > nameLimits.pathBytes || Buffer.byteLength(below) > nameLimits.pathBytes) {
    throw new SallyportError('bad-name', `the path is longer than ${nameLimits.pathBytes} bytes of UTF-8`);
  }
  const components = below.split('/');
  if (components.length > nameLimits.depth) {
    throw new SallyportError('bad-name', `the path is deeper than ${nameLimits.depth} folders`, { depth: components.length });
  }
  return components.map((component) => {
    checkComponent(component);
    return deliveryName(component);
  });
}

/**
 * The same name with a number: `report (2).pdf`. Cut where needed, between code points, to at most 255 bytes.
 * @param n Whole number, at least 1.
 */
export function withNumber(name: string, n: number): string {
  if (!Number.isSafeInteger(n) || n < 1) throw new SallyportError('internal', 'a number for a name is a whole number above 0');
  return fit(name, ` (${n})`, nameLimits.componentBytes);
}

/** A harmless name with something before its ending: `report.SOMETHING.pdf`; the stem gives way where it must. */
export const withInfix = (name: string, infix: string): string => fit(name, infix, nameLimits.componentBytes - headRoomBytes);

/** A harmless name with something before it. */
export const withPrefix = (name: string, prefix: string): string =>
  trimEnd(fit(prefix + name, '', nameLimits.componentBytes - headRoomBytes));

function deliveryName(component: string): string {
  const mapped = component.normalize('NFC').replace(windowsCharacters, '_');
  const name = trimEnd(mapped.trim()).replace(shortName, '$1_$2');
  const awkward =
    name === '' || name.startsWith('-') || windowsDevice.test(name) || windowsSpecial.test(name) || isReservedName(name);
  // Cutting may lay a blank or a dot bare at the end, or leave only dots.
  return trimEnd(fit(awkward ? `_${name}` : name, '', nameLimits.componentBytes - headRoomBytes)) || '_';
}

// A loop, because /[\s.]+$/ takes quadratic time on blanks in the middle.
function trimEnd(name: string): string {
  let end = name.length;
  while (end > 0 && (name[end - 1] === '.' || name[end - 1]?.trim() === '')) end -= 1;
  return name.slice(0, end);
}

/** `stem + suffix + extension` in at most `maxBytes` bytes: the stem gives way. */
function fit(name: string, suffix: string, maxBytes: number): string {
  const dot = name.lastIndexOf('.');
  const hasExtension = dot > 0 && Buffer.byteLength(name.slice(dot)) <= maxExtensionBytes;
  const stem = hasExtension ? name.slice(0, dot) : name;
  const extension = hasExtension ? name.slice(dot) : '';
  return `${cut(stem, maxBytes - Buffer.byteLength(suffix + extension))}${suffix}${extension}`;
}

/** The longest beginning of `text` of at most `maxBytes` bytes of UTF-8 that ends between code points. */
function cut(text: string, maxBytes: number): string {
  let bytes = 0;
  let end = 0;
  for (const point of text) {
    bytes += Buffer.byteLength(point);
    if (bytes > maxBytes) break;
    end += point.length;
  }
  return text.slice(0, end);
}

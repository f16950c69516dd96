/**
 * The one rule for names: what a single component of a partner's path may be. Applied where a name enters the DMZ and
 * again inside, because the inside believes nothing.
 *
 * It refuses what is dangerous in every listing, log and shell. Names that are only awkward on some targets (leading
 * hyphen, `CON`, trailing dot) are accepted here and mapped at delivery: see delivery-name.ts.
 */
import { SallyportError } from '../errors.ts';
import { printable } from '../log.ts';

/** Limits of a name, in bytes of UTF-8 and in components. */
export const nameLimits = { componentBytes: 255, pathBytes: 1024, depth: 32 } as const;

// Cc control, Cf format (zero-width, bidi, soft hyphen, BOM), Cs lone surrogates, Zl/Zp line and paragraph separators.
// U+FFFD is what a decoder leaves of invalid bytes: two different names would have become one.
const forbidden = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\ufffd]/u;

const refuse = (name: string, rule: string): SallyportError =>
  new SallyportError('bad-name', rule, { name: printable(name, 128) });

/** Names that Sallyport keeps for its own drafts. Compared so that no folding of case or form reaches one of them. */
export function isReservedName(name: string): boolean {
  return name.normalize('NFKC').toUpperCase().startsWith('.SALLYPORT');
}

/**
 * Returns when `name` may be one component of a path.
 * @throws SallyportError `bad-name` saying which rule it breaks.
 */
export function checkComponent(name: string): void {
  if (name === '' || name === '.' || name === '..') throw refuse(name, 'a name cannot be empty, "." or ".."');
  // Cheap first: what follows costs time in proportion to the length.
  if (name.length > nameLimits.componentBytes || Buffer.byteLength(name) > nameLimits.componentBytes) {
    throw refuse(name, `a name is longer than ${nameLimits.componentBytes} bytes of UTF-8`);
  }
  if (name.includes('/')) throw refuse(name, 'a name cannot contain "/"');
  if (forbidden.test(name)) {
    throw refuse(name, 'a name contains a control, invisible, bidirectional or replacement character');
  }
  if (isReservedName(name)) throw refuse(name, 'names that begin with ".sallyport" are reserved');
}

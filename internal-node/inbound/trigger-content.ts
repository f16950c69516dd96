/**
 * What a trigger file says of the files that it completes: digests as `sha256sum` and the like write them, or how many files
 * there are. A trigger may say nothing, or anything else, which is passed over.
 */
export interface Expected {
  /** How many files it completes. */
  readonly count: number | null;
  /** Digests (lower-case hex) by the last component of the name, NFC. */
  readonly digests: Readonly<Record<string, string>>;
  /** A digest without a name. */
  readonly digest: string | null;
}

/** Larger files are no triggers that anybody wrote: nothing is read of them. */
export const maxTriggerBytes = 1024 * 1024;

const algorithms: Readonly<Record<number, string>> = { 32: 'md5', 40: 'sha1', 64: 'sha256', 96: 'sha384', 128: 'sha512' };

/** By which algorithm a digest was made, by its length. */
export const algorithmOf = (digest: string): string | undefined => algorithms[digest.length];

const digestText = '[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128}';
const alone = new RegExp(`^(${digestText})$`, 'i');
/** `sha256sum`: digest, a blank, a blank or `*`, name. */
const beforeName = new RegExp(`^\\\\?(${digestText})[ \\t]+\\*?(.+)$`, 'i');
/** BSD and `openssl dgst`: `SHA256 (name) = digest`. */
const behindName = new RegExp(`^[A-Z0-9-]{3,12} ?\\((.+)\\) ?= ?(${digestText})$`, 'i');
const countLine = /^(?:(?:count|files)\s*[:=]\s*)?(\d{1,7})$/i;

export function parseTrigger(text: string): Expected {
  const digests = new Map<string, string>();
  let count: number | null = null;
  let digest: string | null = null;
  for (const line of text.split(/\r?\n/).map((one) => one.replace(/^\ufeff/, '').trim())) {
    const [, only] = alone.exec(line) ?? [];
    const [, first, name] = beforeName.exec(line) ?? [];
    const [, bsdName, last] = behindName.exec(line) ?? [];
    const [, number] = countLine.exec(line) ?? [];
    // Decimal digits only may be a digest too, but not a count: those are short.
    if (only !== undefined) digest ??= only.toLowerCase();
    else if (first !== undefined && name !== undefined) digests.set(keyOf(name), first.toLowerCase());
    else if (last !== undefined && bsdName !== undefined) digests.set(keyOf(bsdName), last.toLowerCase());
    else if (number !== undefined) count ??= Number(number);
  }
  return { count, digests: Object.fromEntries(digests), digest };
}

const keyOf = (name: string): string => name.slice(Math.max(name.lastIndexOf('/'), name.lastIndexOf('\\')) + 1).normalize('NFC');

/**
 * The digest that a file must have; undefined when the trigger names none for it.
 * @param name Last component of the file.
 * @param single The trigger completes this file alone, so that a single digest is its, whatever name stands beside it.
 */
export function digestFor({ digests, digest }: Expected, name: string, single: boolean): string | undefined {
  const named = new Map(Object.entries(digests)).get(name.normalize('NFC'));
  if (named !== undefined || !single) return named;
  const all = Object.values(digests);
  return digest ?? (all.length === 1 ? all[0] : undefined);
}

/** How many files it must have completed; undefined when it does not say. */
export function countOf({ count, digests }: Expected, single: boolean): number | undefined {
  if (single) return undefined;
  const named = Object.keys(digests).length;
  return count ?? (named > 0 ? named : undefined);
}

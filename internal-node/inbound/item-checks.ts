/** What must hold of a description from the DMZ before anything is believed of it. Says why not, touches nothing. */
import { printable } from '../../shared/log.ts';
import { deliveryComponents } from '../../shared/paths/delivery-name.ts';
import { belowInbox, parseVirtualPath } from '../../shared/paths/virtual-path.ts';
import type { ItemDescription } from '../../shared/tunnel/messages.ts';

/** age v1: a payload nonce, then chunks of 64 KiB with a tag each; a file has at least one chunk. */
const nonceBytes = 16;
const tagBytes = 16;
const chunkBytes = 64 * 1024;
/** Version line, one recipient stanza and MAC line cannot be shorter. */
const leastHeaderBytes = 100;

/** The fewest bytes an age file with so many plaintext bytes can have. */
const leastSealedBytes = (plainBytes: number): number =>
  leastHeaderBytes + nonceBytes + plainBytes + tagBytes * Math.max(1, Math.ceil(plainBytes / chunkBytes));

/**
 * The path below the Inbox, for rules and for delivery.
 * @returns a reason instead, when the name may not be used.
 */
export function checkPath(path: string): { readonly below: string } | { readonly wrong: string } {
  try {
    const parsed = parseVirtualPath(path);
    if (parsed !== path) return { wrong: 'the path is not in its plain form' };
    const below = belowInbox(parsed);
    deliveryComponents(below);
    return { below };
  } catch (error) {
    return { wrong: `the path may not be used: ${printable(error instanceof Error ? error.message : '')}` };
  }
}

/** @returns why the numbers cannot be true, or undefined. */
export function checkSizes(item: ItemDescription): string | undefined {
  let total = 0;
  for (const { plainBytes, sealedBytes } of item.segments) {
    total += plainBytes;
    if (sealedBytes < leastSealedBytes(plainBytes)) return 'a segment is shorter than its content needs';
  }
  if (total !== item.size) return 'the sizes of the segments do not add up';
  const [only] = item.segments;
  if (item.segments.length === 1 && only && only.sha256 !== null && item.sha256 !== null && only.sha256 !== item.sha256) {
    return 'the digest of the only segment is not that of the item';
  }
  return undefined;
}

/** A rule set from a text, whatever printed it: JSON of nftables or of a cloud, or lines of iptables-save. */
import { SallyportError } from '../errors.ts';
import { parseCloud } from './parse-cloud.ts';
import { parseIptables } from './parse-iptables.ts';
import { parseNft } from './parse-nft.ts';
import type { Ruleset } from './ruleset.ts';

/** @throws SallyportError `usage` for what nothing of that kind prints. */
export function readRuleset(text: string): Ruleset {
  if (!/^\s*[[{]/.test(text)) return parseIptables(text);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new SallyportError('usage', 'the rules are no valid JSON', {}, { cause });
  }
  return (value as { nftables?: unknown } | null)?.nftables === undefined ? parseCloud(value) : parseNft(text);
}

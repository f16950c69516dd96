/** The packet filter of this host as it is now, read by the tools that it comes with. Needs root. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { SallyportError } from '../shared/errors.ts';
import { readRuleset } from '../shared/firewall/read-ruleset.ts';
import type { Ruleset } from '../shared/firewall/ruleset.ts';

const run = promisify(execFile);
const options = { maxBuffer: 32 * 1024 * 1024, timeout: 20_000, env: { PATH: '/usr/sbin:/sbin:/usr/bin:/bin' } } as const;

/** What nftables shows, which has rules of iptables-nft in it too; on a host without it, what the older tools save. */
export async function liveRuleset(signal: AbortSignal): Promise<Ruleset> {
  const nft = await output('nft', ['-j', 'list', 'ruleset'], signal);
  if (nft !== undefined) return readRuleset(nft);
  const saved = await Promise.all([output('iptables-save', [], signal), output('ip6tables-save', [], signal)]);
  const texts = saved.filter((text) => text !== undefined);
  if (texts.length > 0) return readRuleset(texts.join('\n'));
  throw new SallyportError('usage', 'this host has neither nft nor iptables-save', {
    next: 'give the rules of a firewall with --from FILE',
  });
}

/** Undefined: there is no such program. */
async function output(program: string, args: readonly string[], signal: AbortSignal): Promise<string | undefined> {
  try {
    return (await run(program, args, { ...options, signal })).stdout;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new SallyportError(
      'permission-denied',
      `${program} did not show the rules of this host`,
      { next: 'run the command as root' },
      { cause },
    );
  }
}

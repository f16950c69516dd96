/** `firewall` on the internal node: it knows whom it dials, and asks the DMZ node over the tunnel where that one listens. */
import { readFile } from 'node:fs/promises';
import type { Program, VerbContext } from '../../shared/admin/cli.ts';
import { asSallyportError, SallyportError } from '../../shared/errors.ts';
import { type DmzNetwork, dmzNetworkSchema } from '../../shared/firewall/dmz-network.ts';
import type { Place, RuleBase } from '../../shared/firewall/flows.ts';
import { addFirewallVerbs as addVerbs, type GivenAddresses } from '../../shared/firewall/verbs.ts';
import { liveRuleset } from '../live-rules.ts';
import { pairRuleBase } from '../pair-rule-base.ts';
import { nodeOf } from './verbs-files.ts';

export function addFirewallVerbs(program: Program): void {
  addVerbs(program, { own: 'internal', ruleBase: ruleBaseFor, live: liveRuleset });
}

async function ruleBaseFor(
  context: VerbContext,
  given: GivenAddresses,
  needs: Place | 'all',
  toldFile: string | undefined,
): Promise<RuleBase> {
  return await pairRuleBase(context.configFile, await toldByDmz(context, needs, toldFile), given);
}

/** What is missing without it is only what others need. */
async function toldByDmz(context: VerbContext, needs: Place | 'all', file: string | undefined): Promise<DmzNetwork | undefined> {
  if (file !== undefined) return readTold(file);
  try {
    return dmzNetworkSchema.parse(await (await nodeOf(context)).get<unknown>(['v1', 'network']));
  } catch (error) {
    const failure = asSallyportError(error);
    if (needs === 'internal' || failure.code === 'config-invalid') {
      if (failure.code === 'config-invalid') throw failure;
      return undefined;
    }
    throw new SallyportError(failure.code, `the DMZ node cannot be asked where it listens: ${failure.message}`, {
      next: 'start both nodes; or run `sallyport-dmz firewall tell > edge.json` there, and give --told edge.json here',
    });
  }
}

async function readTold(file: string): Promise<DmzNetwork> {
  try {
    return dmzNetworkSchema.parse(JSON.parse(await readFile(file, 'utf8')));
  } catch (cause) {
    throw new SallyportError('usage', `${file} is not what \`sallyport-dmz firewall tell\` prints`, {}, { cause });
  }
}

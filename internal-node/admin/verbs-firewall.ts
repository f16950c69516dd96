/** `firewall` on the internal node: it knows whom it dials, and asks the DMZ node over the tunnel where that one listens. */
import { readFile } from 'node:fs/promises';
import type { Program, VerbContext } from '../../shared/admin/cli.ts';
import { asSallyportError, SallyportError } from '../../shared/errors.ts';
import { type DmzNetwork, dmzNetworkSchema } from '../../shared/firewall/dmz-network.ts';
import type { Place, RuleBase } from '../../shared/firewall/flows.ts';
import { ruleBase } from '../../shared/firewall/rule-base.ts';
import { addFirewallVerbs as addVerbs, type GivenAddresses } from '../../shared/firewall/verbs.ts';
import { hostNames, localAddresses } from '../host-names.ts';
import { loadInsideNetwork } from '../inside-network.ts';
import { liveRuleset } from '../live-rules.ts';
import { nodeOf } from './verbs-files.ts';

export function addFirewallVerbs(program: Program): void {
  addVerbs(program, { own: 'internal', ruleBase: pairRuleBase, live: liveRuleset });
}

async function pairRuleBase(
  context: VerbContext,
  given: GivenAddresses,
  needs: Place | 'all',
  toldFile: string | undefined,
): Promise<RuleBase> {
  const { network: inside, surroundings } = await loadInsideNetwork(context.configFile, hostNames);
  const told = await toldByDmz(context, needs, toldFile);
  const around = { ...surroundings, ...given };
  const dialled = inside.dials.find(({ use }) => use === 'tunnel')?.addresses ?? [];
  const own = around.inside.length > 0 ? around.inside : await localAddresses(dialled);
  const base = ruleBase({
    inside,
    ...(told ? { dmz: { network: told, told: true, allowFrom: [] } } : {}),
    surroundings: { ...around, inside: own },
  });
  if (around.inside.length > 0 || own.length === 0) return base;
  const finding = `the internal node dials from ${own.join(', ')} as this host sees it; where something translates that, give --inside-address`;
  return { ...base, findings: [...base.findings, finding] };
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

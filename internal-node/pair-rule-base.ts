/** The rule base of the pair as the inside can make it: its own configuration, what the DMZ node told, and what this host resolves. */
import type { DmzNetwork } from '../shared/firewall/dmz-network.ts';
import type { RuleBase } from '../shared/firewall/flows.ts';
import { ruleBase } from '../shared/firewall/rule-base.ts';
import type { Surroundings } from '../shared/firewall/rule-base-input.ts';
import { hostNames, localAddresses } from './host-names.ts';
import { loadInsideNetwork } from './inside-network.ts';

/**
 * @param told By the DMZ node of itself: a claim, which only ever opens ports of the DMZ node.
 * @param given Instead of what the configuration says.
 * @throws ConfigError
 */
export async function pairRuleBase(
  configFile: string,
  told: DmzNetwork | undefined,
  given: Partial<Surroundings> = {},
): Promise<RuleBase> {
  const { network: inside, surroundings } = await loadInsideNetwork(configFile, hostNames);
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

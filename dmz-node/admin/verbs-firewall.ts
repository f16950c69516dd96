/** `firewall` on the DMZ node: the rules of this host and of the firewall in front of it. Starts no program. */
import type { Program, VerbContext } from '../../shared/admin/cli.ts';
import { SallyportError } from '../../shared/errors.ts';
import type { Place, RuleBase } from '../../shared/firewall/flows.ts';
import { ruleBase } from '../../shared/firewall/rule-base.ts';
import { addFirewallVerbs as addVerbs, type GivenAddresses } from '../../shared/firewall/verbs.ts';
import { loadDmzConfig } from '../config.ts';
import { dmzNetwork } from '../dmz-network.ts';

export function addFirewallVerbs(program: Program): void {
  const group = addVerbs(program, { own: 'dmz', ruleBase: dmzRuleBase });
  program.verb(
    {
      usage: 'tell',
      summary: 'print where this node listens, for `sallyport firewall --told FILE` on the internal node',
      examples: ['firewall tell > edge1.json', 'firewall tell --config ./edge'],
    },
    () => {},
    async ({ output, configFile }) => output.document(dmzNetwork(await loadDmzConfig(configFile))),
    group,
  );
}

async function dmzRuleBase({ configFile }: VerbContext, given: GivenAddresses, needs: Place | 'all'): Promise<RuleBase> {
  if (needs === 'internal') {
    throw new SallyportError('usage', 'this node does not know whom the internal node dials', {
      next: 'run `sallyport firewall --for internal` there',
    });
  }
  const config = await loadDmzConfig(configFile);
  const { partners = ['0.0.0.0/0', '::/0'], dmz = [], inside = [], insideNetworks = [] } = given;
  return ruleBase({
    dmz: { network: dmzNetwork(config), told: false, allowFrom: config.tunnel.allowFrom },
    surroundings: { partners, dmz, inside, insideNetworks, declared: [], owner: null, reviewedOn: null, reviewDays: 182 },
  });
}

/** The statement of a DMZ node: all claims about it, and what the inside needs for claims of its own. */
import type { Claim } from '../../shared/proof/claim.ts';
import { seccompClaim } from '../../shared/proof/common-claims.ts';
import { firewallClaims } from '../../shared/proof/firewall-claims.ts';
import { mostHeaders, type Statement } from '../../shared/proof/statement.ts';
import { programVersion } from '../../shared/version.ts';
import { dmzNetwork } from '../dmz-network.ts';
import { declaredClaims } from './claims-declared.ts';
import { observedClaims } from './claims-observed.ts';
import type { DmzFacts } from './facts.ts';

export const claimsOf = (facts: DmzFacts): Claim[] => [
  ...declaredClaims(facts.config),
  ...observedClaims(facts),
  ...firewallClaims('dmz', facts),
  seccompClaim('dmz', facts.processes, 'connections of its own (connect)'),
];

export function statementOf(facts: DmzFacts, claims: readonly Claim[]): Statement {
  const { config, running, policy, audit, objects, inventory } = facts;
  const sealed = 'value' in objects ? objects.value : [];
  return {
    schema: 'sallyport-dmz-statement-1',
    node: config.name,
    version: programVersion,
    host: facts.host,
    atMs: Math.floor(facts.nowMs),
    configuration: 'value' in running ? [...running.value.configuration] : [],
    network: dmzNetwork(config),
    recipients: 'value' in policy ? policy.value.recipients : [],
    policyNumber: 'value' in running ? running.value.policyNumber : 0,
    auditHead: 'value' in audit ? audit.value.head : '',
    headers: sealed.flatMap(({ file, header }) => (header === undefined ? [] : [{ file, header }])).slice(-mostHeaders),
    objects: sealed.length,
    inventory: 'value' in inventory ? [...inventory.value] : [],
    claims: claims.map((claim) => ({ ...claim, evidence: [...claim.evidence], offending: [...claim.offending] })),
  };
}

/**
 * Network security groups of Azure as resources of an ARM template. The last rule of each direction drops everything, before
 * the rules that every group has can let anything through.
 */
import type { HostPolicy, TrafficRule } from '../host-policy.ts';
import { groupName } from './aws-sg.ts';
import { anyNetwork, short } from './words.ts';

/** Longest description. */
const descriptionBytes = 140;

export function renderAzureNsg(policies: readonly HostPolicy[]): string {
  const resources = policies.map((policy) => ({
    type: 'Microsoft.Network/networkSecurityGroups',
    apiVersion: '2023-11-01',
    name: groupName(policy),
    location: '[resourceGroup().location]',
    properties: { securityRules: [...rulesOf(policy, 'input'), ...rulesOf(policy, 'output')] },
  }));
  const document = {
    $schema: 'https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#',
    contentVersion: '1.0.0.0',
    resources,
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}

const direction = { input: 'Inbound', output: 'Outbound' } as const;

function rulesOf(policy: HostPolicy, hook: 'input' | 'output') {
  const rules = policy.rules.flatMap((rule) => (rule.kind === 'traffic' && rule.hook === hook ? [rule] : []));
  const named = rules.map((rule, index) => ({
    name: `sallyport-${rule.id}-${hook}-${rule.family}`.slice(0, 80),
    properties: {
      ...common(rule.comment, 100 + index * 10, hook),
      ...matchOf(rule),
      access: rule.action === 'accept' ? 'Allow' : 'Deny',
    },
  }));
  const rest = {
    name: `sallyport-everything-else-${hook}`,
    properties: {
      ...common('What no rule takes is dropped.', 4096, hook),
      ...{
        protocol: '*',
        sourceAddressPrefix: '*',
        sourcePortRange: '*',
        destinationAddressPrefix: '*',
        destinationPortRange: '*',
      },
      access: 'Deny',
    },
  };
  return [...named, rest];
}

const common = (comment: string, priority: number, hook: 'input' | 'output') => ({
  description: short(comment, descriptionBytes),
  priority,
  direction: direction[hook],
});

function matchOf({ family, from, to, protocol, ports, sourcePort }: TrafficRule) {
  const list = (networks: readonly string[]): readonly string[] => (networks.length === 0 ? [anyNetwork[family]] : networks);
  return {
    protocol: protocol === 'any' ? '*' : protocol === 'tcp' ? 'Tcp' : 'Udp',
    sourceAddressPrefixes: list(from),
    sourcePortRange: sourcePort === null ? '*' : String(sourcePort),
    destinationAddressPrefixes: list(to),
    destinationPortRange: ports ? (ports.first === ports.last ? String(ports.first) : `${ports.first}-${ports.last}`) : '*',
  };
}

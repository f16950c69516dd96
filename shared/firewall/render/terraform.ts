/** Terraform for security groups of AWS (provider hashicorp/aws, version 5 and newer), laid out as `terraform fmt` does. */
import type { HostPolicy } from '../host-policy.ts';
import { awsDescription, groupName, groupRules } from './aws-sg.ts';
import { heading } from './words.ts';

export function renderTerraform(policies: readonly HostPolicy[]): string {
  const variable = ['variable "vpc_id" {', '  description = "VPC of the hosts"', '  type        = string', '}', ''];
  return [...variable, ...policies.flatMap(groupLines)].join('\n');
}

function groupLines(policy: HostPolicy): string[] {
  const name = groupName(policy).replaceAll('-', '_');
  const group = block('aws_security_group', name, [
    ['name', quoted(groupName(policy))],
    ['description', quoted(awsDescription(`Sallyport: rules of the ${policy.title}`))],
    ['vpc_id', 'var.vpc_id'],
  ]);
  const rules = (['input', 'output'] as const).flatMap((hook) =>
    groupRules(policy, hook).flatMap(({ rule, networks }) =>
      networks.flatMap((network, index) => {
        const type = hook === 'input' ? 'aws_vpc_security_group_ingress_rule' : 'aws_vpc_security_group_egress_rule';
        const label = `${name}_${rule.id.replaceAll('-', '_')}_${rule.family}${index === 0 ? '' : `_${index + 1}`}`;
        return block(type, label, [
          ['security_group_id', `aws_security_group.${name}.id`],
          ['description', quoted(awsDescription(rule.comment))],
          ['ip_protocol', quoted(rule.protocol === 'any' ? '-1' : rule.protocol)],
          ...(rule.ports
            ? ([
                ['from_port', String(rule.ports.first)],
                ['to_port', String(rule.ports.last)],
              ] as const)
            : []),
          [rule.family === 'ipv4' ? 'cidr_ipv4' : 'cidr_ipv6', quoted(network)],
        ]);
      }),
    ),
  );
  return [...heading(policy).map((line) => `# ${line}`), ...group, ...rules];
}

function block(type: string, name: string, entries: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...entries.map(([key]) => key.length));
  return [`resource "${type}" "${name}" {`, ...entries.map(([key, value]) => `  ${key.padEnd(width)} = ${value}`), '}', ''];
}

/** `${` and `%{` would begin an expression. */
const quoted = (text: string): string => JSON.stringify(text).replace(/([$%])\{/g, '$1$1{');

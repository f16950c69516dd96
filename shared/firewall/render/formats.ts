/** Every format by its name. A new one is a file beside this and a line here. */
import type { RuleBase } from '../flows.ts';
import type { HostPolicy } from '../host-policy.ts';
import { renderAwsSg } from './aws-sg.ts';
import { renderAzureNsg } from './azure-nsg.ts';
import { renderCsv } from './csv.ts';
import { renderFirewalld } from './firewalld.ts';
import { renderIptables } from './iptables.ts';
import { renderMarkdown } from './markdown.ts';
import { renderNft } from './nft.ts';
import { renderPf } from './pf.ts';
import { renderTable } from './table.ts';
import { renderTerraform } from './terraform.ts';
import { renderUfw } from './ufw.ts';

export type Format =
  /** The rule base as such. */
  | { readonly of: 'base'; readonly render: (base: RuleBase) => string }
  /** The rules of one host or firewall. */
  | { readonly of: 'place'; readonly render: (policy: HostPolicy) => string }
  /** Groups that are attached to hosts: one or both of them, never the firewall between. */
  | { readonly of: 'hosts'; readonly render: (policies: readonly HostPolicy[]) => string };

export const formats = {
  table: { of: 'base', render: renderTable },
  md: { of: 'base', render: renderMarkdown },
  csv: { of: 'base', render: renderCsv },
  json: { of: 'base', render: (base) => `${JSON.stringify(base, null, 2)}\n` },
  nft: { of: 'place', render: renderNft },
  iptables: { of: 'place', render: renderIptables },
  ufw: { of: 'place', render: renderUfw },
  firewalld: { of: 'place', render: renderFirewalld },
  pf: { of: 'place', render: renderPf },
  'aws-sg': { of: 'hosts', render: renderAwsSg },
  'azure-nsg': { of: 'hosts', render: renderAzureNsg },
  terraform: { of: 'hosts', render: renderTerraform },
} as const satisfies Readonly<Record<string, Format>>;

export type FormatName = keyof typeof formats;
export const formatNames = Object.keys(formats) as FormatName[];

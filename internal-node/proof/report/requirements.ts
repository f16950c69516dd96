/**
 * Which items of the usual frameworks a claim is evidence for. The wording is ours and short; what an item asks in full stands in
 * its source. Evidence supports an assessment, it does not replace the assessor.
 */
import type { Claim, Holds } from '../../../shared/proof/claim.ts';

export interface Requirement {
  readonly source: 'PCI DSS 4.0.1' | 'NIST SP 800-53 r5' | 'NIST SP 800-41 r1' | 'CIS Controls v8';
  readonly item: string;
  readonly asks: string;
  /** Ids of claims; a name that ends in `.*` is all of that beginning. */
  readonly claims: readonly string[];
  /** What of this report answers it, beside the claims. */
  readonly section?: string;
}

const pci = (item: string, asks: string, claims: readonly string[], section?: string): Requirement => ({
  ...{ source: 'PCI DSS 4.0.1', item, asks, claims },
  ...(section === undefined ? {} : { section }),
});
const nist = (item: string, asks: string, claims: readonly string[], section?: string): Requirement => ({
  ...{ source: 'NIST SP 800-53 r5', item, asks, claims },
  ...(section === undefined ? {} : { section }),
});
const cis = (item: string, asks: string, claims: readonly string[], section?: string): Requirement => ({
  ...{ source: 'CIS Controls v8', item, asks, claims },
  ...(section === undefined ? {} : { section }),
});

const listeners = ['dmz.listeners', 'dmz.other-listeners', 'inside.no-listener'];
const inward = ['inside.no-listener', 'inside.firewall-in', 'inside.tunnel-dialled', 'probe.inside-closed'];
const outward = ['dmz.no-outgoing', 'dmz.no-dialling', 'dmz.firewall-out', 'probe.internet-closed'];
const atRest = ['dmz.sealed', 'dmz.recipients', 'inside.opens-all', 'dmz.no-inside-keys'];
const inTransit = ['dmz.no-clear-text', 'dmz.post-quantum', 'inside.post-quantum', 'inside.pinned'];
const trail = ['dmz.audit', 'inside.audit'];
const settings = ['dmz.configuration', 'inside.configuration', 'dmz.modes', 'inside.modes'];

export const requirements: readonly Requirement[] = [
  pci('1.2.4', 'a data-flow diagram that is kept up to date', [], 'Data flow'),
  pci(
    '1.2.5',
    'all services, protocols and ports that are allowed, each with a reason',
    ['dmz.doors', ...listeners],
    'Connections',
  ),
  pci('1.2.6', 'insecure services are named, and what makes up for it', ['dmz.no-clear-text']),
  pci('1.2.8', 'settings of controls are protected, and the running ones are those on file', settings),
  pci('1.3.1', 'inbound: what is needed, everything else denied', [
    'dmz.firewall-in',
    'dmz.firewall-ipv6',
    'dmz.passive-range',
    ...inward,
  ]),
  pci('1.3.2', 'outbound: what is needed, everything else denied', outward),
  pci('1.4.2', 'from untrusted networks only to what is meant to be public', [
    'dmz.tunnel-source',
    'dmz.firewall-tunnel',
    ...inward,
  ]),
  pci('1.4.4', 'what stores account data cannot be reached from untrusted networks', [...atRest, 'inside.no-listener']),
  pci('2.2.4', 'only needed services and functions are on', listeners),
  pci('3.5.1', 'stored data is unreadable', atRest),
  pci('4.2.1', 'strong cryptography in transit', inTransit),
  pci('4.2.1.1', 'an inventory of keys and certificates', ['dmz.certificates', 'inside.certificates'], 'Keys and certificates'),
  pci('8.3.2', 'passwords unreadable in storage; here: none in the DMZ at all', ['dmz.no-accounts']),
  pci('10.3.2', 'audit logs cannot be changed unnoticed', trail),
  nist('AC-4', 'flows of information follow a policy', ['dmz.doors', ...inward, ...outward], 'Data flow'),
  nist('AC-6', 'least privilege', ['dmz.modes', 'inside.modes', 'dmz.seccomp', 'inside.seccomp']),
  nist('AU-9', 'the audit trail is protected', trail),
  nist('CM-6', 'settings are as documented', settings),
  nist('SC-7', 'traffic across the boundary is watched and controlled', ['dmz.firewall-in', ...inward, ...outward]),
  nist('SC-7(5)', 'deny by default, allow by exception', [
    'dmz.firewall-in',
    'dmz.firewall-out',
    'inside.firewall-in',
    'dmz.firewall-ipv6',
  ]),
  nist('SC-8', 'confidentiality and integrity in transit', inTransit),
  nist(
    'SC-12',
    'keys are made, kept and retired in an orderly way',
    ['dmz.no-inside-keys', 'dmz.certificates', 'inside.certificates'],
    'Keys and certificates',
  ),
  nist('SC-28', 'protection at rest', atRest),
  {
    source: 'NIST SP 800-41 r1',
    item: '4.1',
    asks: 'deny by default in both directions, rules as specific as can be, tested',
    claims: ['dmz.firewall-in', 'dmz.firewall-out', 'inside.firewall-in', 'probe.*'],
  },
  cis('3.10', 'encrypt sensitive data in transit', inTransit),
  cis('3.11', 'encrypt sensitive data at rest', atRest),
  cis('4.4', 'a firewall on servers', ['dmz.firewall-in', 'inside.firewall-in']),
  cis('4.8', 'no unnecessary services', listeners),
  cis('12.2', 'a secure network architecture: segments, least privilege', [...inward, ...outward]),
  cis('12.4', 'architecture diagrams', [], 'Data flow'),
  cis('13.4', 'traffic between segments is filtered, and that is tested', ['dmz.firewall-in', 'dmz.firewall-out', 'probe.*']),
];

export interface MetRequirement extends Requirement {
  /** `yes` when every claim that is evidence for it holds. */
  readonly holds: Holds;
  /** Ids of claims that do not hold. */
  readonly failing: readonly string[];
}

export function metRequirements(claims: readonly Claim[]): MetRequirement[] {
  return requirements.map((requirement) => {
    const wanted = requirement.claims.flatMap((id) => {
      const found = claims.filter((claim) => (id.endsWith('.*') ? claim.id.startsWith(id.slice(0, -1)) : claim.id === id));
      return found.length > 0 ? found.map(({ id: name, holds }) => ({ name, holds })) : [{ name: id, holds: 'unknown' as const }];
    });
    const failing = wanted.filter(({ holds }) => holds !== 'yes').map(({ name }) => name);
    const holds = wanted.some((claim) => claim.holds === 'no') ? 'no' : failing.length > 0 ? 'unknown' : 'yes';
    return { ...requirement, holds, failing };
  });
}

/** What this report does not show, said before anybody asks. */
export const notCovered: readonly string[] = [
  'Firewalls, routers and cloud rules between the hosts are not read. What they let through is shown only from where a probe was made, and only for what it tried.',
  'What the DMZ node says of itself is its word: who has taken that host can make it say anything. What does not rest on its word: all claims about the internal node, the claim that our key opens the headers of stored files, and whatever is tried from a neutral host.',
  'Other programs on both hosts, their updates, the hypervisor and physical access. Of other programs on the DMZ host only their listeners are looked at.',
  'Probes try TCP. UDP, ICMP and other protocols are left to the rules of the kernel, which are read for all protocols.',
  'A report shows one moment. `sallyport prove --watch` repeats the check and raises an alarm when something changes.',
  'Contents of files are not examined, and what becomes of them after delivery is not ours to say.',
];

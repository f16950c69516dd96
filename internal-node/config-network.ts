/**
 * The section `network:` of the main file: what no node can know of itself, for the firewall rules that `sallyport firewall`
 * makes. Nothing here changes what the node does.
 */
import { z } from 'zod';
import { network } from '../shared/config/fields.ts';
import { type Loaded, lineOf } from '../shared/config/load.ts';
import { duration, type PortRange, UnitError } from '../shared/config/units.ts';
import type { DeclaredFlow, Surroundings } from '../shared/firewall/rule-base-input.ts';

const networks = (what: string) => z.array(network()).max(1000).default([]).describe(what);
const person = z.string().min(1).max(128);
const day = z.iso.date('expected a day like 2026-11-01');

const ports = z.union([z.int(), z.string()]).transform((given, context): PortRange => {
  try {
    return parsePorts(String(given));
  } catch (error) {
    if (!(error instanceof UnitError)) throw error;
    context.addIssue({ code: 'custom', message: error.message });
    return z.NEVER;
  }
});

function parsePorts(text: string): PortRange {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text);
  const first = Number(match?.[1]);
  const last = match?.[2] === undefined ? first : Number(match[2]);
  if (!match || first < 1 || last > 65_535 || last < first) throw new UnitError('expected a port, or ports like 50000-50999');
  return { first, last };
}

const end = z.union([z.enum(['dmz', 'inside']), z.array(network()).min(1).max(100)]);

const declared = z.strictObject({
  name: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}$/, 'letters, digits, blank, dot, underscore and hyphen, at most 64'),
  from: end.describe('Who opens the connection: dmz, inside, or networks.'),
  to: end.describe('dmz, inside, or networks; from dmz to inside is refused.'),
  port: ports.describe('A port, or ports like 50000-50999.'),
  protocol: z.enum(['tcp', 'udp']).default('tcp'),
  purpose: z.string().min(5).max(100).describe('Why; it stands in every rule and report.'),
  owner: person.optional(),
  reviewed: day.optional(),
});

export const networkSchema = z
  .strictObject({
    partners: z
      .array(network())
      .min(1)
      .max(1000)
      .default(['0.0.0.0/0', '::/0'])
      .describe('Networks that partners come from; default: everywhere, IPv4 and IPv6.'),
    dmz: networks('All addresses of the DMZ node, as a firewall in front of it sees them; default: where the tunnel is dialled.'),
    inside: networks('Addresses from which the internal node dials; default: the one that this host dials the DMZ node from.'),
    insideNetworks: networks('Networks that the DMZ must never reach, beside the internal node.'),
    nameServers: networks('Name servers of this host; default: as the host is set up.'),
    hosts: z
      .record(z.string().min(1).max(253), z.array(network()).min(1).max(64))
      .default({})
      .describe('Addresses of names that are dialled; default: as they resolve when rules are made.'),
    also: z.array(declared).max(100).default([]).describe('Further rows: NTP, log servers, shares, SSH of administrators.'),
    owner: person.optional().describe('Who answers for the rules.'),
    reviewed: day.optional().describe('Day of the last review, like 2026-11-01.'),
    reviewEvery: duration({ min: '1d', max: '3650d' }).prefault('182d').describe('How long a review holds.'),
  })
  .prefault({})
  .describe('Addresses and people for the firewall rules; docs/firewall.md.');

export type NetworkSettings = z.output<typeof networkSchema>;

/** The section as the rule base takes it. @param main Where the lines of the rows stand. */
export function surroundingsOf(settings: NetworkSettings, main: Loaded<unknown>): Surroundings {
  const { partners, dmz, inside, insideNetworks, owner = null, reviewed = null, reviewEvery } = settings;
  const rows = settings.also.map(
    ({ name, from, to, port, protocol, purpose, owner: whose = null, reviewed: when = null }, index): DeclaredFlow => ({
      ...{ name, from, to, protocol, ports: port, purpose, owner: whose, reviewedOn: when },
      source: lineOf(main, ['network', 'also', index]),
    }),
  );
  const reviewDays = Math.floor(reviewEvery / 86_400_000);
  return { partners, dmz, inside, insideNetworks, declared: rows, owner, reviewedOn: reviewed, reviewDays };
}

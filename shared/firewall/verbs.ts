/**
 * `firewall`, `firewall explain` and `firewall diff`, the same on both nodes: each brings what it knows of itself. Nothing is ever
 * changed on the host: rules are printed, and rule sets are read.
 */
import { readFile } from 'node:fs/promises';
import { readInput } from '../admin/ask.ts';
import { EarlyExit, type Program, type VerbContext } from '../admin/cli.ts';
import { SallyportError } from '../errors.ts';
import { exitCodes } from '../exit-codes.ts';
import { printable } from '../log.ts';
import { compare, differenceText } from './compare.ts';
import { explain, explanationText } from './explain.ts';
import { type Place, places, type RuleBase } from './flows.ts';
import { hostPolicy } from './host-policy.ts';
import { intervalOf } from './networks.ts';
import { readRuleset } from './read-ruleset.ts';
import { type FormatName, formatNames, formats } from './render/formats.ts';
import type { Ruleset } from './ruleset.ts';

/** Addresses as given on the command line; undefined: as configured. */
export interface GivenAddresses {
  readonly partners?: readonly string[];
  readonly dmz?: readonly string[];
  readonly inside?: readonly string[];
  readonly insideNetworks?: readonly string[];
}

export interface FirewallDeps {
  /** Where the command runs. */
  readonly own: 'dmz' | 'internal';
  /** @param needs The place that rules are for; `all`: the whole table. @throws SallyportError */
  readonly ruleBase: (
    context: VerbContext,
    given: GivenAddresses,
    needs: Place | 'all',
    told: string | undefined,
  ) => Promise<RuleBase>;
  /** The rules that the kernel of this host has now; undefined: this program starts no other one. */
  readonly live?: (signal: AbortSignal) => Promise<Ruleset>;
}

interface BaseOptions {
  readonly partners?: string;
  readonly dmzAddress?: string;
  readonly insideAddress?: string;
  readonly insideNetworks?: string;
  readonly told?: string;
}

interface RulesOptions extends BaseOptions {
  readonly for?: string;
  readonly format?: string;
}

interface DiffOptions extends BaseOptions {
  readonly for?: string;
  readonly live?: true;
  readonly from?: readonly string[];
}

const mostBytes = 32 * 1024 * 1024;

/** @returns the group, for verbs that only one node has. */
export function addFirewallVerbs(program: Program, deps: FirewallDeps): ReturnType<Program['group']> {
  const group = program.group('firewall', 'the firewall rules that this configuration needs, and whether a firewall has them');
  group.addHelpText('after', '\n`firewall` alone is `firewall rules` and takes its options: firewall rules --help shows them.');
  const asFile = deps.own === 'internal' ? '--told edge1.json' : '--inside-address 10.1.2.3';
  program.verb<RulesOptions>(
    {
      usage: 'rules',
      summary: 'print the rules (this is what `firewall` alone does); nothing is changed on this host',
      examples: [
        'firewall --for all --format table',
        `firewall --for ${deps.own} --format nft > sallyport.nft`,
        `firewall --for dmz --format terraform ${asFile}`,
      ],
      isDefault: true,
    },
    (command) => {
      withAddresses(command, deps)
        .option('--for <place>', `all, ${places.join(', ')} (default: all, or this host where rules of one host are printed)`)
        .option('--format <format>', `${formatNames.join(', ')} (default: table)`);
    },
    (context, options) => printRules(context, options, deps),
    group,
  );
  program.verb<BaseOptions>(
    {
      usage: 'explain <port>',
      summary: 'who uses a port, why, and which line says so',
      examples: ['firewall explain 8443', 'firewall explain 50010/tcp'],
    },
    (command) => void withAddresses(command, deps),
    async (context, options, [port = '']) => {
      const { output } = context;
      const found = explain(await deps.ruleBase(context, given(options), 'all', options.told), port);
      if (output.json) output.document(found);
      else for (const line of explanationText(found)) output.line(printable(line, 1000));
      if (found.flows.length === 0) throw new EarlyExit(exitCodes.notFound);
    },
    group,
  );
  program.verb<DiffOptions>(
    {
      usage: 'diff',
      summary: 'hold the rules that a firewall has against those that it needs, by what they mean; 5: they differ',
      examples: [
        deps.live
          ? 'firewall diff --live'
          : 'firewall diff --from -   # nft -j list ruleset | sallyport-dmz firewall diff --from -',
        'firewall diff --for dmz --from rules.v4 --from rules.v6',
      ],
    },
    (command) => {
      withAddresses(command, deps).option('--for <place>', `${places.join(', ')} (default: ${deps.own})`);
      if (deps.live) command.option('--live', 'the rules of the kernel of this host (root)');
      command.option(
        '--from <file>',
        'what `nft -j list ruleset`, iptables-save and ip6tables-save, `aws ec2 describe-security-groups` or `az network nsg show` printed; - is standard input; again for a second file',
        (value: string, before: readonly string[] = []) => [...before, value],
      );
    },
    (context, options) => printDiff(context, options, deps),
    group,
  );
  return group;
}

type Declaring = Parameters<Parameters<Program['verb']>[1]>[0];

function withAddresses(command: Declaring, { own }: FirewallDeps): Declaring {
  const told = own === 'internal' ? 'what `sallyport-dmz firewall tell` printed, where the tunnel is not up' : undefined;
  command
    .option('--partners <networks>', 'networks that partners come from, with commas (default: 0.0.0.0/0,::/0)')
    .option('--dmz-address <addresses>', 'addresses of the DMZ node, IPv4 and IPv6, with commas')
    .option('--inside-address <addresses>', 'addresses that the internal node dials from, IPv4 and IPv6, with commas')
    .option('--inside-networks <networks>', 'networks that the DMZ must never reach, with commas');
  return told === undefined ? command : command.option('--told <file>', told);
}

const networkList = (text: string | undefined, option: string): readonly string[] | undefined =>
  text?.split(',').map((part) => {
    try {
      intervalOf(part.trim());
      return part.trim();
    } catch (error) {
      if (error instanceof RangeError) throw new SallyportError('usage', `${option}: ${error.message}`);
      throw error;
    }
  });

function given(options: BaseOptions): GivenAddresses {
  const lists = {
    partners: networkList(options.partners, '--partners'),
    dmz: networkList(options.dmzAddress, '--dmz-address'),
    inside: networkList(options.insideAddress, '--inside-address'),
    insideNetworks: networkList(options.insideNetworks, '--inside-networks'),
  };
  return Object.fromEntries(Object.entries(lists).filter(([, list]) => list !== undefined));
}

async function printRules(context: VerbContext, options: RulesOptions, deps: FirewallDeps): Promise<void> {
  const { output } = context;
  const format = formats[oneOf(options.format ?? (output.json ? 'json' : 'table'), formatNames, '--format') satisfies FormatName];
  const place = oneOf(options.for ?? (format.of === 'place' ? deps.own : 'all'), ['all', ...places], '--for');
  if (format.of === 'place' && place === 'all')
    throw wrongPlace(`rules in this format are for one host: --for ${places.join(', --for ')}`);
  if (format.of === 'hosts' && place === 'perimeter')
    throw wrongPlace('a security group belongs to a host: --for dmz, --for internal or --for all');
  const base = await deps.ruleBase(context, given(options), place, options.told);
  const policy = (of: Place) => hostPolicy(base, of);
  if (format.of === 'base') write(context, format.render(place === 'all' ? base : onlyFor(base, place)));
  else if (format.of === 'place') write(context, format.render(policy(place === 'all' ? deps.own : place)));
  else write(context, format.render(place === 'all' ? [policy('dmz'), policy('internal')] : [policy(place)]));
  for (const finding of base.findings) output.note(`note: ${printable(finding, 1000)}`);
}

const wrongPlace = (message: string): SallyportError => new SallyportError('usage', message);

/** The rows that a place has a rule for. */
function onlyFor(base: RuleBase, place: Place): RuleBase {
  const ids = new Set(hostPolicy(base, place).rules.flatMap((rule) => (rule.kind === 'traffic' ? [rule.id] : [])));
  return { ...base, flows: base.flows.filter(({ id }) => ids.has(id)) };
}

const write = ({ out }: VerbContext, text: string): void => void out.write(text);

function oneOf<T extends string>(text: string, known: readonly T[], option: string): T {
  const found = known.find((one) => one === text);
  if (found === undefined) throw new SallyportError('usage', `${option} is one of ${known.join(', ')}`);
  return found;
}

async function printDiff(context: VerbContext, options: DiffOptions, deps: FirewallDeps): Promise<void> {
  const { output } = context;
  const place = oneOf(options.for ?? deps.own, places, '--for');
  const live = await rulesetOf(context, options, deps);
  const policy = hostPolicy(await deps.ruleBase(context, given(options), place, options.told), place);
  const differences = compare(policy, live);
  if (output.json)
    output.document({ place, read: live.kind, holds: differences.length === 0, differences, remarks: live.remarks });
  else {
    for (const difference of differences) {
      output.line(printable(differenceText(difference), 1000));
      for (const packets of difference.packets) output.line(`    ${printable(packets, 500)}`);
    }
    for (const remark of live.remarks) output.note(`note: ${printable(remark, 500)}`);
    if (differences.length === 0) output.line(`the rules of the ${policy.title} are those that it needs (${live.kind})`);
  }
  if (differences.length > 0) throw new EarlyExit(exitCodes.checkFailed);
}

async function rulesetOf({ input, signal }: VerbContext, { live, from = [] }: DiffOptions, deps: FirewallDeps): Promise<Ruleset> {
  if (live && deps.live && from.length === 0) return deps.live(signal);
  if (from.length === 0 || live) {
    throw new SallyportError(
      'usage',
      deps.live ? 'name the rules: --live, or --from FILE' : 'name the rules: --from FILE, or --from -',
    );
  }
  const texts = await Promise.all(from.map((file) => (file === '-' ? readInput(input, mostBytes) : readText(file))));
  return readRuleset(texts.join('\n'));
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw new SallyportError('usage', `${file} cannot be read`, {}, { cause });
  }
}

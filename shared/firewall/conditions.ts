/**
 * The conditions of one rule as they are read from a packet filter, and the boxes that come of them. Each parser fills this in;
 * what it cannot read it says, and the rule becomes uncertain.
 */
import { intersect, type NumberSet, nothing, single, span, union, without } from './intervals.ts';
import { allAddresses, type Family, families } from './networks.ts';
import { type Box, everything, type Field, isEmpty, protocolNumbers, type Region } from './region.ts';
import type { ConnectionState, FilterRule, RuleAction } from './ruleset.ts';

/** The interfaces that a rule set names; the loopback is 0, all others together the last. */
export class InterfaceNames {
  readonly #names = ['lo'];

  /** A name, or one that ends in `*` or `+`: every name that begins so. */
  note(name: string): void {
    if (!this.#names.includes(name)) this.#names.push(name);
  }

  get names(): readonly string[] {
    return this.#names;
  }

  /** How many numbers there are, with the one of all others. */
  get count(): number {
    return this.#names.length + 1;
  }

  /** The numbers that a name stands for. */
  numbersOf(name: string): NumberSet {
    if (name === '*' || name === '+') return span(0, this.count - 1);
    const begins = /[*+]$/.test(name) ? name.slice(0, -1) : undefined;
    const fit = (known: string): boolean => known === name || (begins !== undefined && known.startsWith(begins));
    return union(...this.#names.flatMap((known, number) => (fit(known) ? [single(number)] : [])));
  }
}

const wholeField: Readonly<Record<Exclude<Field, 'from' | 'to' | 'inside' | 'outside'>, NumberSet>> = {
  protocol: span(0, 255),
  port: span(0, 65_535),
  sourcePort: span(0, 65_535),
};

const withPorts = union(single(protocolNumbers.tcp), single(protocolNumbers.udp));

export class Conditions {
  readonly #interfaces: InterfaceNames;
  readonly #fields = new Map<Field, NumberSet>();
  readonly #addresses: Record<Family, { from?: NumberSet; to?: NumberSet }> = { ipv4: {}, ipv6: {} };
  #families: readonly Family[];
  #states: readonly ConnectionState[] | null = null;
  #uncertain: string[] = [];

  constructor(interfaces: InterfaceNames, of: readonly Family[]) {
    this.#interfaces = interfaces;
    this.#families = of;
  }

  family(of: readonly Family[]): void {
    this.#families = this.#families.filter((family) => of.includes(family));
  }

  states(of: readonly ConnectionState[]): void {
    this.#states = this.#states === null ? of : this.#states.filter((state) => of.includes(state));
  }

  unclear(what: string): void {
    this.#uncertain.push(what);
  }

  protocol(of: NumberSet): void {
    this.#narrow('protocol', of, wholeField.protocol);
  }

  /** Ports are of TCP and UDP only, whatever else the rule says. */
  port(which: 'port' | 'sourcePort', of: NumberSet, negated = false): void {
    this.protocol(withPorts);
    this.#narrow(which, negated ? without(wholeField[which], of) : of, wholeField[which]);
  }

  icmpType(protocol: 'icmp' | 'icmpv6', of: NumberSet): void {
    this.family([protocol === 'icmp' ? 'ipv4' : 'ipv6']);
    this.protocol(single(protocolNumbers[protocol]));
    this.#narrow('port', of, wholeField.port);
  }

  interface(which: 'inside' | 'outside', of: NumberSet, negated: boolean): void {
    const all = span(0, this.#interfaces.count - 1);
    this.#narrow(which, negated ? without(all, of) : of, all);
  }

  /** An address of one family; the rule is then of that family. */
  address(which: 'from' | 'to', family: Family, of: NumberSet, negated: boolean): void {
    this.family([family]);
    const whole: NumberSet = [allAddresses(family)];
    const wanted = negated ? without(whole, of) : of;
    const before = this.#addresses[family][which] ?? whole;
    this.#addresses[family][which] = intersect(before, wanted);
  }

  rule(text: string, comment: string | null, action: RuleAction): FilterRule {
    const boxes: Partial<Record<Family, Region>> = {};
    for (const family of this.#families) {
      const box = this.#box(family);
      boxes[family] = isEmpty(box) ? [] : [box];
    }
    const family = this.#families.length === families.length ? 'both' : (this.#families[0] ?? 'both');
    const uncertain = this.#uncertain.length === 0 ? null : this.#uncertain.join(', ');
    return { text, comment, family, states: this.#states, boxes, uncertain, action };
  }

  #box(family: Family): Box {
    const { from, to } = this.#addresses[family];
    const all = everything(family, this.#interfaces.count);
    return { ...all, ...Object.fromEntries(this.#fields), from: from ?? all.from, to: to ?? all.to } as Box;
  }

  #narrow(field: Field, of: NumberSet, whole: NumberSet): void {
    const left = intersect(this.#fields.get(field) ?? whole, of);
    this.#fields.set(field, left.length === 0 ? nothing : left);
  }
}

/** Rules of nftables' JSON for people. */

/** A rule for people, near to what `nft list ruleset` shows. */
export function textOf(expr: readonly Record<string, unknown>[]): string {
  const value = (given: unknown): string => {
    if (Array.isArray(given)) return `{ ${given.map(value).join(', ')} }`;
    if (typeof given !== 'object' || given === null) return String(given);
    const { set, prefix, range, payload, meta, ct, elem } = given as Record<string, Record<string, unknown> & unknown[]>;
    if (set) return value(set);
    if (prefix) return `${prefix.addr}/${prefix.len}`;
    if (range) return `${value(range[0])}-${value(range[1])}`;
    if (payload) return `${payload.protocol} ${payload.field}`;
    if (meta) return String(meta.key);
    if (ct) return `ct ${ct.key}`;
    if (elem) return value(elem.val);
    return JSON.stringify(given);
  };
  const words = expr.flatMap((statement) => {
    const [kind = '', details] = Object.entries(statement)[0] ?? [];
    if (kind === 'counter') return [];
    if (kind === 'match') {
      const { op, left, right } = details as { op: string; left: unknown; right: unknown };
      return [`${value(left)} ${op === '==' || op === 'in' ? '' : `${op} `}${value(right)}`];
    }
    if (kind === 'jump' || kind === 'goto') return [`${kind} ${(details as { target?: string }).target}`];
    return [kind];
  });
  return words.join(' ').slice(0, 400);
}

/** What a port is for: who opens it, why, by which line, and who answers for it. */
import { SallyportError } from '../errors.ts';
import type { Flow, RuleBase } from './flows.ts';
import { rowOf } from './render/words.ts';

export interface Explanation {
  readonly port: number;
  readonly protocol: 'tcp' | 'udp' | null;
  /** Those that name the port; rows of "nobody, all ports" are not among them. */
  readonly flows: readonly Flow[];
}

/** @param text `8443`, `53/udp`. @throws SallyportError `usage` */
export function explain({ flows }: RuleBase, text: string): Explanation {
  const [, digits = '', protocol] = /^(\d{1,5})(?:\/(tcp|udp))?$/.exec(text) ?? [];
  const port = Number(digits);
  if (digits === '' || port < 1 || port > 65_535) throw new SallyportError('usage', `"${text}" is no port; write 8443 or 53/udp`);
  const wanted = protocol === 'tcp' || protocol === 'udp' ? protocol : null;
  const named = flows.filter(
    (flow) => flow.ports && flow.ports.first <= port && port <= flow.ports.last && (wanted === null || flow.protocol === wanted),
  );
  return { port, protocol: wanted, flows: named };
}

export function explanationText({ port, protocol, flows }: Explanation): string[] {
  const name = `${protocol ?? 'port'} ${port}`;
  if (flows.length === 0) return [`${name}: nothing of ours uses it`];
  return flows.flatMap((flow) => {
    const row = rowOf(flow);
    return [
      `${name}: ${row.purpose}`,
      ...entry('opened by', row.opened),
      ...entry('from', row.from),
      ...entry('to', `${row.to}, ${row.protocol} ${row.port}`),
      ...entry('line', row.line),
      ...entry('owner', `${row.owner}, last reviewed ${row.reviewed}${row.reviewBy === '' ? '' : `, review by ${row.reviewBy}`}`),
      ...entry('look twice', row.exception),
    ];
  });
}

const entry = (name: string, text: string): string[] => (text === '' ? [] : [`  ${name.padEnd(10)} ${text}`]);

/** Claims for people: one line each, and for what fails the rule or file and the command that shows it without this program. */
import type { Output } from '../admin/output.ts';
import { printable } from '../log.ts';
import { type Claim, countClaims } from './claim.ts';

export interface ClaimGroup {
  /** `DMZ node edge1, by its statement of 14:02:11`. */
  readonly title: string;
  readonly claims: readonly Claim[];
}

const marks = { yes: '✔', no: '✘', unknown: '?' } as const;
const styles = { yes: 'green', no: 'red', unknown: 'yellow' } as const;

export function printClaims(groups: readonly ClaimGroup[], output: Output): void {
  for (const { title, claims } of groups) {
    if (!output.isTerminal) {
      for (const { id, kind, holds, statement, offending } of claims) {
        output.line([id, kind, holds, statement, ...offending].map((cell) => printable(cell, 2000)).join('\t'));
      }
      continue;
    }
    output.line(output.style('bold', title));
    for (const claim of claims) printClaim(claim, output);
  }
  printResult(
    groups.flatMap(({ claims }) => claims),
    output,
  );
}

function printClaim({ kind, statement, holds, evidence, offending, command }: Claim, output: Output): void {
  output.line(` ${output.style(styles[holds], marks[holds])} ${output.style('dim', kind.padEnd(9))} ${statement}`);
  if (holds === 'yes') {
    const [first, ...more] = evidence;
    if (first !== undefined)
      output.line(
        output.style('dim', `             ${printable(first, 150)}${more.length > 0 ? ` (and ${more.length} more)` : ''}`),
      );
    return;
  }
  for (const line of offending) output.line(output.style(styles[holds], `             ${printable(line, 1000)}`));
  output.line(output.style('dim', `             look yourself: ${printable(command, 1000)}`));
}

function printResult(claims: readonly Claim[], output: Output): void {
  if (!output.isTerminal) return;
  const { yes, no, unknown } = countClaims(claims);
  const rest = [no > 0 ? `${no} do not` : '', unknown > 0 ? `${unknown} could not be found out, which counts as not` : ''].filter(
    (part) => part !== '',
  );
  const text = `RESULT  ${yes} of ${claims.length} hold${rest.length > 0 ? `; ${rest.join(', ')}` : ''}`;
  output.line(output.style(rest.length === 0 ? 'green' : 'red', text));
}

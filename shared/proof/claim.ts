/**
 * A claim: one sentence about an installation that an auditor can check, with what it rests on. Four kinds of evidence are
 * never mixed, because they are worth different things. Nothing is read here: facts are gathered elsewhere and judged by the
 * node they are about.
 */

export const claimKinds = {
  declared: 'what the configuration says',
  observed: 'what the system shows right now: sockets, processes, files',
  enforced: 'what the kernel refuses whatever the program does: firewall, seccomp',
  probed: 'what somebody tried from another place, and what came of it',
} as const;
export type ClaimKind = keyof typeof claimKinds;

/** `unknown`: it could not be found out. That counts as failing: a proof with a hole is none. */
export type Holds = 'yes' | 'no' | 'unknown';

export interface ClaimText {
  /** Stable, for comparing reports: `dmz.listeners`. */
  readonly id: string;
  readonly kind: ClaimKind;
  /** In plain words, true when it holds. */
  readonly statement: string;
  /** Checks the same without this program. */
  readonly command: string;
}

export interface Claim extends ClaimText {
  readonly holds: Holds;
  /** What was seen, in words. */
  readonly evidence: readonly string[];
  /** Rules, files (`dmz.yaml:12`) or sockets that break it. Empty when it holds. */
  readonly offending: readonly string[];
}

/** A fact that could be gathered, or why not. */
export type Fact<T> = { readonly value: T } | { readonly missing: string };

export const known = <T>(value: T): Fact<T> => ({ value });
export const missing = (why: string): { readonly missing: string } => ({ missing: why });

/** Gathers a fact; a failure becomes the reason why it is missing. */
export async function factOf<T>(gather: () => Promise<T> | T): Promise<Fact<T>> {
  try {
    return known(await gather());
  } catch (error) {
    return missing(error instanceof Error ? error.message : String(error));
  }
}

/** How many lines of one list a claim keeps. */
const mostLines = 20;

function shortened(lines: readonly string[]): readonly string[] {
  if (lines.length <= mostLines) return lines;
  return [...lines.slice(0, mostLines), `… and ${lines.length - mostLines} more`];
}

/** The claim holds when nothing offends. */
export const judged = (text: ClaimText, offending: readonly string[], evidence: readonly string[]): Claim => ({
  ...text,
  holds: offending.length === 0 ? 'yes' : 'no',
  evidence: shortened(evidence),
  offending: shortened(offending),
});

/** @param why What is missing, with what to do about it. */
export const unknown = (text: ClaimText, why: string): Claim => ({ ...text, holds: 'unknown', evidence: [], offending: [why] });

/** A claim about a fact; unknown when there is none. */
export const about = <T>(
  text: ClaimText,
  fact: Fact<T>,
  judge: (value: T) => { readonly offending: readonly string[]; readonly evidence: readonly string[] },
): Claim => {
  if ('missing' in fact) return unknown(text, fact.missing);
  const { offending, evidence } = judge(fact.value);
  return judged(text, offending, evidence);
};

export interface ClaimCounts {
  readonly yes: number;
  readonly no: number;
  readonly unknown: number;
}

export function countClaims(claims: readonly Claim[]): ClaimCounts {
  const of = (holds: Holds): number => claims.filter((claim) => claim.holds === holds).length;
  return { yes: of('yes'), no: of('no'), unknown: of('unknown') };
}

export const allHold = (claims: readonly Claim[]): boolean => claims.length > 0 && claims.every(({ holds }) => holds === 'yes');

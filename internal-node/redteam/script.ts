/** What a script of the red team is: one row of the threat model, tried on a stage. */
import type { Stage } from './stage.ts';

export interface Script {
  /** Row of the threat model. */
  readonly row: `D${number}`;
  /** What is tried. */
  readonly tries: string;
  /**
   * @returns what stopped it, as it was seen.
   * @throws Breach when something got through; any other error when it could not be told.
   */
  run(stage: Stage): Promise<string>;
}

export type Answer = Readonly<Record<string, unknown>>;

export const routeOf = (answer: Answer): string => {
  const decision = answer.decision as { readonly route?: { readonly action?: string } } | undefined;
  return decision?.route?.action ?? 'none';
};
export const errorOf = (answer: Answer): string => String(answer.error ?? '');

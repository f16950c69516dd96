/** Runs the scripts one after the other, and says of each what it tried and what stopped it. */

import type { Script } from './script.ts';
import { accessScripts } from './scripts-access.ts';
import { itemScripts } from './scripts-items.ts';
import { messageScripts } from './scripts-messages.ts';
import { Breach, type Stage } from './stage.ts';

export interface Tried {
  readonly row: string;
  readonly tries: string;
  /** `unclear`: the script could not be played to its end. Counts as not stopped. */
  readonly outcome: 'stopped' | 'got through' | 'unclear';
  /** What stopped it, or what got through. */
  readonly detail: string;
}

/** Rows that no message over the tunnel can try, and where they are looked at. */
export const notTried: Readonly<Record<string, string>> = {
  D10: 'passwords typed while a host is taken over are seen by it: use keys; `sallyport exposed` lists who typed one',
};

const number = ({ row }: { readonly row: string }): number => Number(row.slice(1));

/** In the order of the threat model, those that cut links last: the pauses between links grow. */
export const scripts: readonly Script[] = [
  ...[...accessScripts, ...itemScripts].sort((a, b) => number(a) - number(b)),
  ...messageScripts,
];

export async function tryScript(script: Script, stage: Stage): Promise<Tried> {
  const { row, tries } = script;
  try {
    const detail = await script.run(stage);
    await stage.assertSound();
    return { row, tries, outcome: 'stopped', detail };
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    return { row, tries, outcome: error instanceof Breach ? 'got through' : 'unclear', detail };
  }
}

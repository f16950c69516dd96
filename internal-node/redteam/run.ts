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

/** Those that use up a budget, and those that cut links, each of which makes the next pause longer. */
const last = ['D8', 'D11', 'D1', 'D2', 'D3', 'D22', 'D25'];
const number = (row: string): number => Number(row.slice(1));
const placeOf = ({ row }: Script): number => (row === 'D24' ? 0 : last.includes(row) ? 100 + last.indexOf(row) : number(row));

/** In the order of the threat model, as far as one does not make the next one slow. */
export const scripts: readonly Script[] = [...accessScripts, ...itemScripts, ...messageScripts].sort(
  (a, b) => placeOf(a) - placeOf(b),
);

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

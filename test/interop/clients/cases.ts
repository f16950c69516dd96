/** The cases of the client matrix, in the order of the table. Each asserts what is true afterwards, not what the client says. */
import { nameCases } from './cases-names.ts';
import { resumeCases } from './cases-resume.ts';
import { sessionCases } from './cases-sessions.ts';
import { transferCases } from './cases-transfers.ts';
import type { Feature } from './client.ts';
import type { Play } from './play.ts';

export interface Case {
  readonly id: string;
  /** Stands in the table. */
  readonly title: string;
  readonly needs: readonly Feature[];
  /** `suite`: the tests play it as well. `table`: only `scripts/clients`. `full`: takes minutes, only `scripts/clients --full`. */
  readonly extent: 'suite' | 'table' | 'full';
  /** @throws what deviates. */
  readonly play: (play: Play) => Promise<void>;
}

export const cases: readonly Case[] = [...transferCases, ...resumeCases, ...nameCases, ...sessionCases];

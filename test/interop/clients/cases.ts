/** The cases of the client matrix, in the order of the table. Each asserts what is true afterwards, not what the client says. */

import { ftpsCases } from './cases-ftps.ts';
import { nameCases } from './cases-names.ts';
import { resumeCases } from './cases-resume.ts';
import { sessionCases } from './cases-sessions.ts';
import { transferCases } from './cases-transfers.ts';
import type { Client, Feature } from './client.ts';
import type { Play } from './play.ts';

export interface Case {
  readonly id: string;
  /** Stands in the table. */
  readonly title: string;
  readonly needs: readonly Feature[];
  /** A case for clients of this protocol only. */
  readonly protocol?: Client['protocol'];
  /** `suite`: the tests play it as well; cases of both protocols with clients of SFTP, which take less time. `table`: only `scripts/clients`. `full`: takes minutes, only `scripts/clients --full`. */
  readonly extent: 'suite' | 'table' | 'full';
  /** @throws what deviates. */
  readonly play: (play: Play) => Promise<void>;
}

export const cases: readonly Case[] = [...transferCases, ...resumeCases, ...nameCases, ...sessionCases, ...ftpsCases];

export const casesOf = (asked: Client['protocol']): readonly Case[] => cases.filter(({ protocol = asked }) => protocol === asked);

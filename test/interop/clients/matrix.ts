/** Plays clients in cases, and knows what the table of docs/clients.md says of each. */

import { asyncssh } from './asyncssh.ts';
import type { Case } from './cases.ts';
import type { Client } from './client.ts';
import { curl } from './curl.ts';
import { lftp } from './lftp.ts';
import { opensshScp } from './openssh-scp.ts';
import { opensshSftp } from './openssh-sftp.ts';
import { paramiko } from './paramiko.ts';
import { Play } from './play.ts';
import { psftp } from './psftp.ts';
import { rclone } from './rclone.ts';
import { sshfs } from './sshfs.ts';
import type { Stage } from './stage.ts';

import { winscp } from './winscp.ts';

export { type Case, cases } from './cases.ts';
export type { Client } from './client.ts';

export const clients: readonly Client[] = [opensshSftp, opensshScp, lftp, curl, rclone, psftp, paramiko, asyncssh, sshfs, winscp];

/** What one cell of the table says. */
export type Verdict =
  | { readonly verdict: 'works' }
  /** The client has no way to do it. */
  | { readonly verdict: 'lacks'; readonly why: string }
  | { readonly verdict: 'deviates'; readonly why: string };

export async function judge(stage: Stage, client: Client, one: Case): Promise<Verdict> {
  const missing = one.needs.find((feature) => client.lacks[feature] !== undefined);
  if (missing) return { verdict: 'lacks', why: client.lacks[missing] ?? '' };
  const play = await Play.prepare(stage, client, one.id);
  try {
    await one.play(play);
    await play.finish();
    return { verdict: 'works' };
  } catch (error) {
    await play.sweep();
    return { verdict: 'deviates', why: withoutPaths(error instanceof Error ? error.message : String(error)) };
  }
}

/** Folders of one run say nothing to others. */
const withoutPaths = (text: string): string =>
  text
    .replaceAll(/\/[^\s"']*\/sallyport-test-[^\s"']*\/([^\s"'/]*)/g, '…/$1')
    .replaceAll(/\s+/g, ' ')
    .slice(0, 400);

/** Plays clients in cases, and knows what the table of docs/clients.md says of each. */

import { asyncssh } from './asyncssh.ts';
import { type Case, casesOf } from './cases.ts';
import type { Client } from './client.ts';
import { curl } from './curl.ts';
import { basicFtp } from './ftps/basic-ftp.ts';
import { curlFtps } from './ftps/curl.ts';
import { ftplib, ftplibResuming } from './ftps/ftplib.ts';
import { lftpFtps } from './ftps/lftp.ts';
import { rcloneFtps } from './ftps/rclone.ts';
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

export { type Case, cases, casesOf } from './cases.ts';
export type { Client } from './client.ts';

const sftpClients: readonly Client[] = [opensshSftp, opensshScp, lftp, curl, rclone, psftp, paramiko, asyncssh, sshfs, winscp];
const ftpsClients: readonly Client[] = [lftpFtps, curlFtps, ftplib, ftplibResuming, rcloneFtps, basicFtp];
export const clients: readonly Client[] = [...sftpClients, ...ftpsClients];

/** What every client of SFTP does in its own way. */
const withEvery = new Set('put get overwrite cut-resume resume-get stat list-many names-accepted password rekey'.split(' '));

/** What the tests play: all cases with the first client, with each other one those above. Clients of FTPS take turns with the ways: each costs seconds, and `scripts/clients` plays them all. */
export function inSuite(client: Client): readonly Case[] {
  const { protocol } = client;
  const own = casesOf(protocol).filter((one) => one.extent === 'suite' && (one.protocol ?? 'sftp') === protocol);
  if (protocol === 'sftp') return client === clients[0] ? own : own.filter(({ id }) => withEvery.has(id));
  return own.filter((_, n) => n % 2 !== ftpsClients.indexOf(client) % 2);
}

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

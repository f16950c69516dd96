/**
 * An entry as `ls -l` prints it, for SFTP's long names and FTP's LIST. Owner, group and mode are the same for everything,
 * because a relay has none; only whether the session may write is shown in the mode.
 */
import type { FileEntry } from './partner-view.ts';

const regularFile = 0o100000;
const folder = 0o040000;
/** Of every entry, as its owner and its group. No account of this host. */
export const ownerName = 'partner';

export function modeOf(entry: FileEntry): number {
  if (entry.kind === 'folder') return folder | (entry.writable ? 0o750 : 0o550);
  return regularFile | (entry.writable ? 0o640 : 0o440);
}

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const halfYearMs = 182 * 86_400_000;

/** One line as `ls -l` prints it, times in UTC. */
export function longName(entry: FileEntry, nowMs: number): string {
  const mode = modeOf(entry);
  let rights = entry.kind === 'folder' ? 'd' : '-';
  for (let bit = 8; bit >= 0; bit--) rights += (mode >> bit) & 1 ? ('xwr'[bit % 3] ?? '-') : '-';
  const time = new Date(Number.isFinite(entry.modifiedAtMs) ? Math.min(8.64e15, Math.max(0, entry.modifiedAtMs)) : 0);
  const two = (n: number): string => String(n).padStart(2, '0');
  const recent = Math.abs(nowMs - time.getTime()) < halfYearMs;
  const last = recent ? `${two(time.getUTCHours())}:${two(time.getUTCMinutes())}` : ` ${time.getUTCFullYear()}`;
  const date = `${months[time.getUTCMonth()]} ${String(time.getUTCDate()).padStart(2)} ${last}`;
  return `${rights}    1 ${ownerName}  ${ownerName}  ${String(entry.size).padStart(12)} ${date} ${entry.name}`;
}

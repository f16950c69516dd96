/**
 * What a partner's program sees of an entry: the attributes of §5 and the `ls -l` line of §7. Owner, group and mode are the
 * same for everything, because a relay has none; only whether the session may write is shown in the mode.
 */
import type { FileEntry } from '../partner-view.ts';
import { attributeFlag } from './codec/protocol.ts';

const regularFile = 0o100000;
const folder = 0o040000;
/** No account of this host: a number that says nothing. */
const owner = 1000;
export const attributeBytes = 32;

export function modeOf(entry: FileEntry): number {
  if (entry.kind === 'folder') return folder | (entry.writable ? 0o750 : 0o550);
  return regularFile | (entry.writable ? 0o640 : 0o440);
}

/** Seconds since 1970 in 32 bits, as version 3 has them. */
const seconds = (timeMs: number): number => Math.min(0xffff_ffff, Math.max(0, Math.floor(timeMs / 1000)));

/** Writes `attributeBytes` bytes. */
export function writeAttributes(target: Buffer, at: number, entry: FileEntry): void {
  const time = seconds(entry.modifiedAtMs);
  target.writeUInt32BE(attributeFlag.size | attributeFlag.owner | attributeFlag.permissions | attributeFlag.times, at);
  target.writeUInt32BE(Math.floor(entry.size / 0x1_0000_0000), at + 4);
  target.writeUInt32BE(entry.size % 0x1_0000_0000, at + 8);
  target.writeUInt32BE(owner, at + 12);
  target.writeUInt32BE(owner, at + 16);
  target.writeUInt32BE(modeOf(entry), at + 20);
  target.writeUInt32BE(time, at + 24);
  target.writeUInt32BE(time, at + 28);
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
  return `${rights}    1 partner  partner  ${String(entry.size).padStart(12)} ${date} ${entry.name}`;
}

/** What a partner's program sees of an entry: the attributes of §5. The `ls -l` line of §7 is in `entry-line.ts`. */
import { modeOf, ownerName } from '../entry-line.ts';
import type { FileEntry } from '../partner-view.ts';
import { attributeFlag } from './codec/protocol.ts';

/** No account of this host: a number that says nothing. */
const owner = 1000;
export const attributeBytes = 32;

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

/** The name of an owner or group as listings show it; empty for any number that no listing has. */
export const ownerNameOf = (id: number): string => (id === owner ? ownerName : '');

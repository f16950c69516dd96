/** Commands about single files that move no data (RFC 959, 3659, draft-somers-ftp-mfxx, draft-bryan-ftp-hash). */
import type { VirtualPath } from '../../../shared/paths/virtual-path.ts';
import type { FileEntry } from '../../partner-view.ts';
import { Refused, type Reply, reply } from '../control/replies.ts';
import { parseTimeValue, timeValue } from '../listing.ts';
import { required, unquoted } from './arguments.ts';
import type { CommandTable, Conversation } from './conversation.ts';

async function fileEntry(conversation: Conversation, path: VirtualPath): Promise<FileEntry> {
  const entry = await conversation.partner().view.stat(path);
  if (entry.kind !== 'file') throw new Refused(550, 'Not a file');
  return entry;
}

/** The stored size, also under TYPE A: nothing is converted. */
async function size(conversation: Conversation, argument: Buffer): Promise<Reply> {
  return reply(213, String((await fileEntry(conversation, conversation.path(required(argument)))).size));
}

/** With a time in front of the name it sets the time: what clients did before there was MFMT. */
async function mdtm(conversation: Conversation, argument: Buffer): Promise<Reply> {
  const timed = timeAndName(argument);
  if (timed) return setTime(conversation, timed.timeMs, timed.name);
  return reply(213, timeValue((await fileEntry(conversation, conversation.path(required(argument)))).modifiedAtMs));
}

function mfmt(conversation: Conversation, argument: Buffer): Promise<Reply> {
  const timed = timeAndName(argument);
  if (!timed) throw new Refused(501, 'A time is needed, as YYYYMMDDHHMMSS, and a name');
  return setTime(conversation, timed.timeMs, timed.name);
}

async function setTime(conversation: Conversation, modifiedAtMs: number, name: Buffer): Promise<Reply> {
  const path = conversation.path(name);
  await conversation.partner().view.setAttributes(path, { modifiedAtMs });
  return reply(213, `Modify=${timeValue(modifiedAtMs)}; ${path}`);
}

/** `YYYYMMDDHHMMSS name` */
function timeAndName(argument: Buffer): { readonly timeMs: number; readonly name: Buffer } | undefined {
  const end = argument.indexOf(0x20);
  const timeMs = end > 0 ? parseTimeValue(argument.subarray(0, end).toString('latin1')) : undefined;
  const name = argument.subarray(end + 1);
  return timeMs === undefined || name.length === 0 ? undefined : { timeMs, name };
}

async function remove(conversation: Conversation, argument: Buffer): Promise<Reply> {
  await conversation.partner().view.removeFile(conversation.path(required(argument)));
  return reply(250, 'File removed');
}

async function renameFrom(conversation: Conversation, argument: Buffer): Promise<Reply> {
  const path = conversation.path(required(argument));
  await conversation.partner().view.stat(path);
  conversation.state.renameFrom = path;
  return reply(350, 'Ready for RNTO');
}

async function renameTo(conversation: Conversation, argument: Buffer): Promise<Reply> {
  const from = conversation.state.renameFrom;
  if (from === undefined) throw new Refused(503, 'Use RNFR first');
  await conversation.partner().view.rename(from, conversation.path(required(argument)), true);
  return reply(250, 'Renamed');
}

/** What was recorded when the bytes came; nothing is read for it. */
async function hash(conversation: Conversation, argument: Buffer): Promise<Reply> {
  const path = conversation.path(required(argument));
  const { sha256, size: bytes } = await conversation.partner().view.digest(path);
  return reply(213, `SHA-256 0-${bytes} ${sha256} ${path}`);
}

/** As clients that knew it before HASH expect it; they put the name between quotes. */
async function xsha256(conversation: Conversation, argument: Buffer): Promise<Reply> {
  const { sha256 } = await conversation.partner().view.digest(conversation.path(unquoted(required(argument))));
  return reply(250, sha256);
}

async function site(conversation: Conversation, argument: Buffer): Promise<Reply> {
  const text = required(argument).toString('latin1');
  const [verb = ''] = text.split(' ', 1);
  const rest = argument.subarray(verb.length + 1);
  switch (verb.toUpperCase()) {
    case 'CHMOD':
      return changeMode(conversation, rest);
    case 'UTIME':
      return utime(conversation, rest);
    case 'HELP':
      return reply(214, 'SITE CHMOD <mode> <path>; SITE UTIME <time> <path>');
    default:
      return reply(504, 'There is no such SITE command');
  }
}

/** A relay has no modes: accepted and ignored, but not for what is not there. */
async function changeMode(conversation: Conversation, argument: Buffer): Promise<Reply> {
  const match = /^[0-7]{3,4} /.exec(argument.toString('latin1'));
  if (!match) throw new Refused(501, 'A mode and a path are needed');
  await conversation.partner().view.setAttributes(conversation.path(argument.subarray(match[0].length)), {});
  return reply(200, 'Modes mean nothing here; nothing was changed');
}

/** `time path`, or `path access modified changed UTC`. */
async function utime(conversation: Conversation, argument: Buffer): Promise<Reply> {
  const text = argument.toString('latin1');
  const long = /^(.+) (\d{14}) (\d{14}) (\d{14}) UTC$/.exec(text);
  const short = /^(\d{12}(?:\d\d)?) (.+)$/.exec(text);
  const time = long?.[3] ?? short?.[1]?.padEnd(14, '0') ?? '';
  const name = long?.[1] ?? short?.[2];
  const modifiedAtMs = parseTimeValue(time);
  if (modifiedAtMs === undefined || name === undefined) throw new Refused(501, 'A time and a path are needed');
  await conversation.partner().view.setAttributes(conversation.path(Buffer.from(name, 'latin1')), { modifiedAtMs });
  return reply(200, 'Time set');
}

const XSHA256 = { needs: 'login', syntax: '<file>', about: 'SHA-256 of a file', run: xsha256, feat: () => ['XSHA256'] } as const;

export const fileCommands: CommandTable = {
  SIZE: { needs: 'login', syntax: '<file>', about: 'Bytes of a file', run: size, feat: () => ['SIZE'] },
  MDTM: { needs: 'login', syntax: '<file>', about: 'Time of a file', run: mdtm, feat: () => ['MDTM'] },
  MFMT: { needs: 'login', syntax: '<time> <file>', about: 'Set the time of a file', run: mfmt, feat: () => ['MFMT'] },
  DELE: { needs: 'login', syntax: '<file>', about: 'Remove a file', run: remove },
  RNFR: { needs: 'login', syntax: '<path>', about: 'Rename from', run: renameFrom },
  RNTO: { needs: 'login', syntax: '<path>', about: 'Rename to', run: renameTo },
  HASH: { needs: 'login', syntax: '<file>', about: 'SHA-256 of a file', run: hash, feat: () => ['HASH SHA-256*'] },
  XSHA256,
  SITE: { needs: 'login', syntax: '<command>', about: 'CHMOD, UTIME, HELP', run: site },
};

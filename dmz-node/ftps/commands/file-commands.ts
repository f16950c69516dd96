/** Commands about single files that move no data (RFC 959, 3659). */
import { Refused, type Reply, reply } from '../control/replies.ts';
import { parseTimeValue, timeValue } from '../listing.ts';
import { required } from './arguments.ts';
import type { CommandTable, Conversation } from './conversation.ts';

async function fileEntry(conversation: Conversation, argument: Buffer) {
  const entry = await conversation.partner().view.stat(conversation.path(required(argument)));
  if (entry.kind !== 'file') throw new Refused(550, 'Not a file');
  return entry;
}

/** The stored size, also under TYPE A: nothing is converted. */
async function size(conversation: Conversation, argument: Buffer): Promise<Reply> {
  return reply(213, String((await fileEntry(conversation, argument)).size));
}

async function mdtm(conversation: Conversation, argument: Buffer): Promise<Reply> {
  return reply(213, timeValue((await fileEntry(conversation, argument)).modifiedAtMs));
}

/** `YYYYMMDDHHMMSS name` (draft-somers-ftp-mfxx). */
async function mfmt(conversation: Conversation, argument: Buffer): Promise<Reply> {
  const end = argument.indexOf(0x20);
  const time = end > 0 ? argument.subarray(0, end).toString('latin1') : '';
  const modifiedAtMs = parseTimeValue(time);
  if (modifiedAtMs === undefined) throw new Refused(501, 'A time is needed, as YYYYMMDDHHMMSS, and a name');
  const path = conversation.path(required(argument.subarray(end + 1)));
  await conversation.partner().view.setAttributes(path, { modifiedAtMs });
  return reply(213, `Modify=${timeValue(modifiedAtMs)}; ${path}`);
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

export const fileCommands: CommandTable = {
  SIZE: { needs: 'login', syntax: 'file', run: size, feat: () => ['SIZE'] },
  MDTM: { needs: 'login', syntax: 'file', run: mdtm, feat: () => ['MDTM'] },
  MFMT: { needs: 'login', syntax: 'time file', run: mfmt, feat: () => ['MFMT'] },
  DELE: { needs: 'login', syntax: 'file', run: remove },
  RNFR: { needs: 'login', syntax: 'path', run: renameFrom },
  RNTO: { needs: 'login', syntax: 'path', run: renameTo },
};

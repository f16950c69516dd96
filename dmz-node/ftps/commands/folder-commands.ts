/** Commands about where one is and what is there (RFC 959, 3659). */
import { parentOf } from '../../../shared/paths/virtual-path.ts';
import { Refused, type Reply, reply } from '../control/replies.ts';
import type { DataConnection } from '../data/data-connection.ts';
import { send } from '../data/send.ts';
import { allFacts, type EntryLine, factsLine, folderLines, longLine } from '../listing.ts';
import { quoted, required, withoutSwitches } from './arguments.ts';
import type { CommandTable, Conversation } from './conversation.ts';

const pwd = ({ state }: Conversation): Reply => reply(257, `${quoted(state.folder)} is the current folder`);

async function changeTo(conversation: Conversation, path: Conversation['state']['folder']): Promise<Reply> {
  const entry = await conversation.partner().view.stat(path);
  if (entry.kind !== 'folder') throw new Refused(550, 'Not a folder');
  conversation.state.folder = path;
  return reply(250, `${quoted(path)} is the current folder`);
}

const cwd = (conversation: Conversation, argument: Buffer): Promise<Reply> => changeTo(conversation, conversation.path(argument));
const cdup = (conversation: Conversation): Promise<Reply> => changeTo(conversation, parentOf(conversation.state.folder));

/** The entries of a folder, or the one file that the path names. */
async function entryLines(conversation: Conversation, argument: Buffer, line: EntryLine): Promise<AsyncIterable<Buffer>> {
  const { view } = conversation.partner();
  const path = conversation.path(argument);
  const entry = await view.stat(path);
  if (entry.kind === 'file') return oneLine(line(entry));
  return folderLines(await view.openFolder(path), line);
}

async function* oneLine(text: string): AsyncGenerator<Buffer> {
  yield Buffer.from(`${text}\r\n`);
}

async function list(conversation: Conversation, argument: Buffer, line: EntryLine): Promise<undefined> {
  conversation.checkTransfer();
  const source = await entryLines(conversation, argument, line);
  conversation.begin({
    opening: reply(150, 'Here comes the listing'),
    move: async (connection: DataConnection, signal) => {
      await send(connection, source, { clock: conversation.clock, stallMs: conversation.settings.stallMs }, signal);
      return reply(226, 'Listing sent');
    },
    abandon: async () => {},
  });
  return undefined;
}

const nameLine: EntryLine = ({ name }) => name;

async function mlsd(conversation: Conversation, argument: Buffer): Promise<undefined> {
  const { view } = conversation.partner();
  if ((await view.stat(conversation.path(argument))).kind !== 'folder') throw new Refused(501, 'MLSD is for folders; use MLST');
  return list(conversation, argument, (entry) => factsLine(entry, conversation.state.facts));
}

async function mlst(conversation: Conversation, argument: Buffer): Promise<Reply> {
  const path = conversation.path(argument);
  const entry = await conversation.partner().view.stat(path);
  return reply(250, `Facts of ${path}`, factsLine(entry, conversation.state.facts, path), 'End');
}

async function makeFolder(conversation: Conversation, argument: Buffer): Promise<Reply> {
  const path = conversation.path(required(argument));
  await conversation.partner().view.makeFolder(path);
  return reply(257, `${quoted(path)} was made`);
}

async function removeFolder(conversation: Conversation, argument: Buffer): Promise<Reply> {
  await conversation.partner().view.removeFolder(conversation.path(required(argument)));
  return reply(250, 'Folder removed');
}

const mlstFeature = ({ state }: Conversation): readonly string[] => [
  `MLST ${allFacts.map((fact) => `${fact}${state.facts.has(fact) ? '*' : ''};`).join('')}`,
];

const PWD = { needs: 'login', syntax: '', run: pwd } as const;
const CWD = { needs: 'login', syntax: 'folder', run: cwd } as const;
const CDUP = { needs: 'login', syntax: '', run: cdup } as const;
const MKD = { needs: 'login', syntax: 'folder', run: makeFolder } as const;
const RMD = { needs: 'login', syntax: 'folder', run: removeFolder } as const;

export const folderCommands: CommandTable = {
  PWD,
  XPWD: PWD,
  CWD,
  XCWD: CWD,
  CDUP,
  XCUP: CDUP,
  MKD,
  XMKD: MKD,
  RMD,
  XRMD: RMD,
  LIST: {
    needs: 'login',
    syntax: '[path]',
    run: (conversation, argument) => list(conversation, withoutSwitches(argument), longLine(conversation.clock.nowMs())),
  },
  NLST: {
    needs: 'login',
    syntax: '[path]',
    run: (conversation, argument) => list(conversation, withoutSwitches(argument), nameLine),
  },
  MLSD: { needs: 'login', syntax: '[folder]', run: mlsd, feat: () => ['TVFS'] },
  MLST: { needs: 'login', syntax: '[path]', run: mlst, feat: mlstFeature },
};

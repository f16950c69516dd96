/** Commands about where one is and what is there (RFC 959, 3659). */
import { asSallyportError } from '../../../shared/errors.ts';
import { matcherOf } from '../../../shared/matching/expression.ts';
import { nameOf, parentOf, type VirtualPath } from '../../../shared/paths/virtual-path.ts';
import type { FileEntry } from '../../partner-view.ts';
import { Refused, type Reply, reply } from '../control/replies.ts';
import type { DataConnection } from '../data/data-connection.ts';
import { send } from '../data/send.ts';
import { allFacts, type EntryLine, factsLine, folderLines, longLine } from '../listing.ts';
import { quoted, required, withoutSwitches } from './arguments.ts';
import type { CommandTable, Conversation } from './conversation.ts';

/** Entries that STAT sends over the control connection; a longer listing belongs on a data connection. */
const maxStatusEntries = 1000;

const pwd = ({ state }: Conversation): Reply => reply(257, `${quoted(state.folder)} is the current folder`);

async function changeTo(conversation: Conversation, path: VirtualPath): Promise<Reply> {
  const entry = await conversation.partner().view.stat(path);
  if (entry.kind !== 'folder') throw new Refused(550, 'Not a folder');
  conversation.state.folder = path;
  return reply(250, `${quoted(path)} is the current folder`);
}

const cwd = (conversation: Conversation, argument: Buffer): Promise<Reply> => changeTo(conversation, conversation.path(argument));
const cdup = (conversation: Conversation): Promise<Reply> => changeTo(conversation, parentOf(conversation.state.folder));

/** The entries of a folder, the one file that the path names, or what a glob in its last component matches. */
async function entryLines(conversation: Conversation, argument: Buffer, line: EntryLine): Promise<AsyncIterable<Buffer>> {
  const { view } = conversation.partner();
  const path = conversation.path(argument);
  const entry = await view.stat(path).catch((error: unknown) => {
    if (hasWildcards(path)) return undefined;
    throw error;
  });
  if (entry?.kind === 'file') return oneLine(line(entry));
  const folder = await view.openFolder(entry ? path : parentOf(path));
  // A list of bare names cannot say that these are only the folders.
  if (folder.shown === 'folders' && line === nameLine) throw new Refused(553, 'Permission denied');
  return folderLines(folder, line, entry ? undefined : matching(nameOf(path)));
}

const hasWildcards = (path: VirtualPath): boolean => /[*?[]/.test(nameOf(path));

/** Only in the last component: `a*` under `*` would be a search of everything. */
function matching(glob: string): (entry: FileEntry) => boolean {
  try {
    const matches = matcherOf(`g/${glob}/`);
    return ({ name }) => matches(name);
  } catch {
    throw new Refused(550, 'No such file or folder');
  }
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
      await send(connection, source, { clock: conversation.clock, stall: conversation.settings.stall }, signal);
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

/** RFC 959: of the session without an argument, of a path with one; over the control connection. */
async function status(conversation: Conversation, argument: Buffer): Promise<Reply> {
  if (argument.length === 0) return reply(211, 'Status', ...conversation.describe(), 'End');
  if (conversation.transferring) throw new Refused(450, 'A transfer is running');
  const path = withoutSwitches(argument);
  const lines: string[] = [];
  let more = false;
  for await (const page of await entryLines(conversation, path, longLine(conversation.clock.nowMs()))) {
    lines.push(
      ...page
        .toString()
        .split('\r\n')
        .filter((line) => line !== ''),
    );
    more = lines.length > maxStatusEntries;
    if (more) break;
  }
  const last = more ? 'End; there is more, use LIST' : 'End';
  return reply(213, 'Status', ...lines.slice(0, maxStatusEntries), last);
}

async function makeFolder(conversation: Conversation, argument: Buffer): Promise<Reply> {
  const path = conversation.path(required(argument));
  try {
    await conversation.partner().view.makeFolder(path);
  } catch (error) {
    // RFC 959 gives MKD no 553, and clients that make every folder of a path go on after 550 only.
    if (asSallyportError(error).partnerReply === 'already-exists') return reply(550, 'Already exists');
    throw error;
  }
  return reply(257, `${quoted(path)} was made`);
}

async function removeFolder(conversation: Conversation, argument: Buffer): Promise<Reply> {
  await conversation.partner().view.removeFolder(conversation.path(required(argument)));
  return reply(250, 'Folder removed');
}

async function available(conversation: Conversation, argument: Buffer): Promise<Reply> {
  const { freeBytes } = await conversation.partner().view.space(conversation.path(argument));
  return reply(213, String(freeBytes));
}

const mlstFeature = ({ state }: Conversation): readonly string[] => [
  `MLST ${allFacts.map((fact) => `${fact}${state.facts.has(fact) ? '*' : ''};`).join('')}`,
];

const PWD = { needs: 'login', syntax: '', about: 'The current folder', run: pwd } as const;
const CWD = { needs: 'login', syntax: '<folder>', about: 'Change the current folder', run: cwd } as const;
const CDUP = { needs: 'login', syntax: '', about: 'Change to the folder above', run: cdup } as const;
const MKD = { needs: 'login', syntax: '<folder>', about: 'Make a folder', run: makeFolder } as const;
const RMD = { needs: 'login', syntax: '<folder>', about: 'Remove an empty folder', run: removeFolder } as const;

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
    syntax: '[<path>]',
    about: 'List a folder',
    run: (conversation, argument) => list(conversation, withoutSwitches(argument), longLine(conversation.clock.nowMs())),
  },
  NLST: {
    needs: 'login',
    syntax: '[<path>]',
    about: 'List the names in a folder',
    run: (conversation, argument) => list(conversation, withoutSwitches(argument), nameLine),
  },
  MLSD: { needs: 'login', syntax: '[<folder>]', about: 'List a folder for programs', run: mlsd, feat: () => ['TVFS'] },
  MLST: { needs: 'login', syntax: '[<path>]', about: 'Facts of one entry', run: mlst, feat: mlstFeature },
  STAT: { needs: 'login', syntax: '[<path>]', about: 'Status of the session or of a path', run: status, duringTransfer: true },
  AVBL: { needs: 'login', syntax: '[<folder>]', about: 'Bytes that may still be sent', run: available, feat: () => ['AVBL'] },
};

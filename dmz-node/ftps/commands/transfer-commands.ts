/** Commands that move data, and what is set for them (RFC 959, 2428, 3659). */

import { isIPv4 } from 'node:net';
import { asSallyportError, SallyportError } from '../../../shared/errors.ts';
import type { OpenForWriting, WriteHandle } from '../../partner-view.ts';
import { Refused, type Reply, reply } from '../control/replies.ts';
import type { DataConnection } from '../data/data-connection.ts';
import { receive } from '../data/receive.ts';
import { fileBlocks, send } from '../data/send.ts';
import { required, word } from './arguments.ts';
import type { CommandTable, Conversation } from './conversation.ts';

async function passive(conversation: Conversation): Promise<Reply> {
  if (conversation.state.onlyExtendedPassive) throw new Refused(503, 'EPSV ALL was given');
  const address = conversation.settings.passiveAddress ?? conversation.localAddress;
  if (!isIPv4(conversation.localAddress) && conversation.settings.passiveAddress === undefined) {
    throw new Refused(522, 'Network protocol not supported, use EPSV');
  }
  const { port } = await conversation.openPassive();
  return reply(227, `Entering passive mode (${address.replaceAll('.', ',')},${port >> 8},${port & 255})`);
}

async function extendedPassive(conversation: Conversation, argument: Buffer): Promise<Reply> {
  const asked = word(argument).toUpperCase();
  if (asked === 'ALL') {
    conversation.state.onlyExtendedPassive = true;
    return reply(200, 'Only EPSV from now on');
  }
  const own = isIPv4(conversation.localAddress) ? '1' : '2';
  if (asked !== '' && asked !== own) throw new Refused(522, `Network protocol not supported, use (${own})`);
  const { port } = await conversation.openPassive();
  return reply(229, `Entering extended passive mode (|||${port}|)`);
}

function type(conversation: Conversation, argument: Buffer): Reply {
  const wanted = word(argument).toUpperCase();
  if (/^A( N)?$/.test(wanted)) conversation.state.type = 'A';
  else if (/^(I|L ?8)$/.test(wanted)) conversation.state.type = 'I';
  else return reply(504, 'Only TYPE I and TYPE A are offered');
  return reply(200, `Type is ${conversation.state.type}`);
}

function rest(conversation: Conversation, argument: Buffer): Reply {
  const text = word(argument);
  const offset = Number(text);
  if (!/^\d{1,19}$/.test(text) || !Number.isSafeInteger(offset)) return reply(501, 'An offset that no file can have');
  conversation.state.restart = offset;
  return reply(350, `Restarting at ${offset}`);
}

/** The offset for this transfer; the next one begins at 0 again. */
function takeRestart({ state }: Conversation): number {
  const { restart } = state;
  state.restart = 0;
  return restart;
}

const watching = ({ clock, settings }: Conversation) => ({ clock, stallMs: settings.stallMs });

async function retrieve(conversation: Conversation, argument: Buffer): Promise<undefined> {
  conversation.checkTransfer();
  const offset = takeRestart(conversation);
  const path = conversation.path(required(argument));
  const handle = await conversation.partner().view.openForReading(path);
  if (offset > handle.size) {
    await handle.close();
    throw new Refused(554, 'The file ends before that offset');
  }
  conversation.begin({
    opening: reply(150, `Sending ${handle.size - offset} bytes`),
    move: async (connection, signal) => {
      try {
        const bytes = await send(connection, fileBlocks(handle, offset), watching(conversation), signal);
        return reply(226, `Sent ${bytes} bytes`);
      } finally {
        await handle.close();
      }
    },
    abandon: () => handle.close().catch(() => undefined),
  });
  return undefined;
}

interface Upload {
  readonly argument: Buffer;
  readonly options: OpenForWriting;
  /** Bytes of the file that are kept. */
  readonly from: (handle: WriteHandle) => number;
}

async function upload(conversation: Conversation, { argument, options, from }: Upload): Promise<undefined> {
  conversation.checkTransfer();
  const path = conversation.path(required(argument));
  const handle = await conversation.partner().view.openForWriting(path, options);
  const offset = from(handle);
  if (offset > handle.size) {
    await handle.abandon('resumed behind its end');
    throw new Refused(554, `Only ${handle.size} bytes are kept`);
  }
  conversation.begin({
    opening: reply(150, 'Send the data'),
    move: (connection, signal) => complete(conversation, connection, handle, offset, signal),
    abandon: (reason) => handle.abandon(reason).catch(() => undefined),
  });
  return undefined;
}

/** Complete when the sender said so and everything is durable; whatever else happens, what came is kept as a partial. */
async function complete(
  conversation: Conversation,
  connection: DataConnection,
  handle: WriteHandle,
  offset: number,
  signal: AbortSignal,
): Promise<Reply> {
  try {
    const { bytes, clean } = await receive(connection, handle, offset, watching(conversation), signal);
    if (!clean && conversation.settings.requireEndOfData) {
      throw new SallyportError('link-closed', 'the data connection was closed without TLS close');
    }
    if (signal.aborted) throw new SallyportError('link-closed', 'the transfer was given up');
    await handle.close();
    return reply(226, `Received ${bytes} bytes`);
  } catch (error) {
    await handle.abandon(asSallyportError(error).message).catch(() => undefined);
    throw error;
  }
}

async function store(conversation: Conversation, argument: Buffer): Promise<undefined> {
  const offset = takeRestart(conversation);
  const options = { create: true, exclusive: false, truncate: offset === 0, append: false };
  return upload(conversation, { argument, options, from: () => offset });
}

async function append(conversation: Conversation, argument: Buffer): Promise<undefined> {
  conversation.state.restart = 0;
  const options = { create: true, exclusive: false, truncate: false, append: true };
  return upload(conversation, { argument, options, from: (handle) => handle.size });
}

async function abort(conversation: Conversation): Promise<Reply> {
  await conversation.abort();
  return reply(226, 'Aborted');
}

export const transferCommands: CommandTable = {
  PASV: { needs: 'login', syntax: '', run: passive },
  EPSV: { needs: 'login', syntax: '[1|2|ALL]', run: extendedPassive, feat: () => ['EPSV'] },
  TYPE: { needs: 'login', syntax: 'I|A', run: type },
  MODE: {
    needs: 'login',
    syntax: 'S',
    run: (_, mode) => (/^s$/i.test(word(mode)) ? reply(200, 'Mode is stream') : reply(504, 'Only MODE S is offered')),
  },
  STRU: {
    needs: 'login',
    syntax: 'F',
    run: (_, structure) =>
      /^f$/i.test(word(structure)) ? reply(200, 'Structure is file') : reply(504, 'Only STRU F is offered'),
  },
  REST: { needs: 'login', syntax: 'offset', run: rest, feat: () => ['REST STREAM'] },
  RETR: { needs: 'login', syntax: 'file', run: retrieve },
  STOR: { needs: 'login', syntax: 'file', run: store },
  APPE: { needs: 'login', syntax: 'file', run: append },
  ABOR: { needs: 'login', syntax: '', run: abort, duringTransfer: true },
};

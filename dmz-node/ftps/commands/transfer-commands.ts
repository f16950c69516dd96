/** Commands that move data, and what is set for them (RFC 959, 2428, 3659). */

import { randomBytes } from 'node:crypto';
import { isIPv4 } from 'node:net';
import { asSallyportError, SallyportError } from '../../../shared/errors.ts';
import { nameOf } from '../../../shared/paths/virtual-path.ts';
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

/** RFC 959 PORT: h1,h2,h3,h4,p1,p2 */
function port(conversation: Conversation, argument: Buffer): Reply {
  const numbers = word(argument).split(',').map(Number);
  if (numbers.length !== 6 || numbers.some((n) => !Number.isInteger(n) || n < 0 || n > 255)) {
    throw new Refused(501, 'An address and a port are needed');
  }
  const [high = 0, low = 0] = numbers.slice(4);
  return useActive(conversation, numbers.slice(0, 4).join('.'), high * 256 + low);
}

/** RFC 2428 EPRT: |1|192.0.2.1|6446| */
function extendedPort(conversation: Conversation, argument: Buffer): Reply {
  const match = /^([!-~])([12])\1([0-9a-fA-F:.]{2,45})\1(\d{1,5})\1$/.exec(word(argument));
  if (!match) throw new Refused(501, 'An address and a port are needed');
  return useActive(conversation, match[3] ?? '', Number(match[4]));
}

/** Only to whom the control connection is with, and to no port of a service there: this server attacks nobody (RFC 2577). */
function useActive(conversation: Conversation, address: string, port: number): Reply {
  if (conversation.state.onlyExtendedPassive) throw new Refused(503, 'EPSV ALL was given');
  if (!conversation.settings.activeMode) throw new Refused(502, 'Only passive mode is offered');
  if (address !== conversation.peerAddress) throw new Refused(504, 'Only to your own address');
  if (port < 1024 || port > 65_535) throw new Refused(504, 'Only to ports from 1024 on');
  conversation.useActive(port);
  return reply(200, 'Active mode');
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

const uniqueAttempts = 5;

const watching = ({ clock, settings }: Conversation) => ({ clock, stall: settings.stall });

async function retrieve(conversation: Conversation, argument: Buffer): Promise<undefined> {
  conversation.checkTransfer();
  const offset = takeRestart(conversation);
  const path = conversation.path(required(argument));
  const handle = await conversation.partner().view.openForReading(path);
  if (offset > handle.size) {
    await handle.abandon();
    throw new Refused(554, 'The file ends before that offset');
  }
  conversation.begin({
    opening: reply(150, `Sending ${handle.size - offset} bytes`),
    move: async (connection, signal) => {
      try {
        const bytes = await send(connection, fileBlocks(handle, offset), watching(conversation), signal);
        await handle.close();
        return reply(226, `Sent ${bytes} bytes`);
      } catch (error) {
        await handle.abandon();
        throw error;
      }
    },
    abandon: () => handle.abandon().catch(() => undefined),
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
  const { announcedBytes } = conversation.state;
  const announced = options.truncate && announcedBytes !== undefined ? { announcedBytes } : {};
  const handle = await conversation.partner().view.openForWriting(path, { ...options, ...announced });
  const offset = from(handle);
  if (offset > handle.size) {
    await handle.abandon('resumed behind its end');
    throw new Refused(554, `Only ${handle.size} bytes are kept`);
  }
  return beginUpload(conversation, handle, offset, 'Send the data');
}

function beginUpload(conversation: Conversation, handle: WriteHandle, offset: number, opening: string): undefined {
  conversation.begin({
    opening: reply(150, opening),
    move: (connection, signal) => complete(conversation, connection, handle, offset, signal),
    abandon: (reason) => handle.abandon(reason).catch(() => undefined),
  });
}

/** Complete when the sender said so and everything is durable; whatever else happens, what came is kept as a partial. */
async function complete(
  conversation: Conversation,
  connection: DataConnection,
  handle: WriteHandle,
  offset: number,
  signal: AbortSignal,
): Promise<Reply> {
  handle.keepEmpty();
  try {
    const { bytes, clean } = await receive(
      connection,
      handle,
      offset,
      { ...watching(conversation), blocks: conversation.blocks },
      signal,
    );
    if (!clean && conversation.requireEndOfData) {
      throw new SallyportError('link-closed', 'the data connection was closed without TLS close');
    }
    if (signal.aborted) throw new SallyportError('link-closed', 'the transfer was given up');
    await handle.close(!connection.endIsProven || !clean);
    noteAnnounced(conversation, offset + bytes);
    return reply(226, `Received ${bytes} bytes of ${nameOf(handle.path)}`);
  } catch (error) {
    await handle.abandon(asSallyportError(error).message).catch(() => undefined);
    throw error;
  }
}

/** What was announced may be refused, but promises nothing; a difference is worth a line in the log. */
function noteAnnounced({ state, log }: Conversation, bytes: number): void {
  const { announcedBytes } = state;
  state.announcedBytes = undefined;
  if (announcedBytes !== undefined && announcedBytes !== bytes) {
    log.warn({ announcedBytes, bytes }, 'an upload has another size than its client had announced');
  }
}

function allocate(conversation: Conversation, argument: Buffer): Reply {
  const match = /^(\d{1,16})(?: R \d{1,16})?$/i.exec(word(argument));
  if (!match) return reply(501, 'A number of bytes is needed');
  conversation.state.announcedBytes = Number(match[1]);
  return reply(202, 'Not needed');
}

async function store(conversation: Conversation, argument: Buffer): Promise<undefined> {
  const offset = takeRestart(conversation);
  const options = { create: true, exclusive: false, truncate: offset === 0, append: false };
  return upload(conversation, { argument, options, from: () => offset });
}

/** A name that nothing has yet, told before and after (RFC 1123 §4.1.2.9). */
async function storeUnique(conversation: Conversation, argument: Buffer): Promise<undefined> {
  conversation.checkTransfer();
  conversation.state.restart = 0;
  const wanted = argument.length === 0 ? Buffer.from('upload') : argument;
  const options = { create: true, exclusive: true, truncate: true, append: false };
  for (let attempt = 0; attempt < uniqueAttempts; attempt++) {
    const suffix = `.${randomBytes(5).toString('hex')}`;
    const path = conversation.path(Buffer.concat([wanted, Buffer.from(suffix)]));
    const handle = await conversation
      .partner()
      .view.openForWriting(path, options)
      .catch((error: unknown) => {
        if (asSallyportError(error).code === 'already-exists') return undefined;
        throw error;
      });
    if (handle) return beginUpload(conversation, handle, 0, `FILE: ${path}`);
  }
  throw new Refused(450, 'No unique name was found');
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
  PASV: { needs: 'login', syntax: '', about: 'Open a port for data (IPv4)', run: passive },
  EPSV: { needs: 'login', syntax: '[1|2|ALL]', about: 'Open a port for data', run: extendedPassive, feat: () => ['EPSV'] },
  PORT: { needs: 'login', syntax: '<address>', about: 'Connect to the client (IPv4)', run: port },
  EPRT: {
    needs: 'login',
    syntax: '<address>',
    about: 'Connect to the client',
    run: extendedPort,
    feat: ({ settings }) => (settings.activeMode ? ['EPRT'] : []),
  },
  TYPE: { needs: 'login', syntax: 'I|A', about: 'Type of data; bytes are never changed', run: type },
  REST: { needs: 'login', syntax: '<offset>', about: 'Begin the next transfer there', run: rest, feat: () => ['REST STREAM'] },
  ALLO: { needs: 'login', syntax: '<bytes>', about: 'Announce the size of an upload', run: allocate },
  RETR: { needs: 'login', syntax: '<file>', about: 'Fetch a file', run: retrieve },
  STOR: { needs: 'login', syntax: '<file>', about: 'Send a file', run: store },
  STOU: { needs: 'login', syntax: '[<file>]', about: 'Send a file under a new name', run: storeUnique },
  APPE: { needs: 'login', syntax: '<file>', about: 'Go on with an interrupted upload', run: append },
  ABOR: { needs: 'login', syntax: '', about: 'End the transfer', run: abort, duringTransfer: true },
};

/**
 * The one place that knows the inside of the package `ssh2` (pinned to 1.17.0; every field below was read in its source).
 *
 * Its public server announces itself only after the client's first line, offers algorithms that it cannot switch off, and
 * has no back-pressure in its SFTP layer. So we own the TCP socket, hand it to the exported `IncomingClient`, and take raw
 * channels. What the package gets wrong and can be set right from outside is set right here: the bounded first line, the
 * list of signature algorithms, the number of keyboard-interactive answers, data beyond the window, keys and signatures of
 * kinds that it does not know. Nothing here decides who may come in.
 */
import type { EventEmitter } from 'node:events';
import { createRequire } from 'node:module';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { SallyportError } from '../../shared/errors.ts';
import type { AlgorithmOffer } from './algorithms.ts';
import { sshString } from './ssh-strings.ts';
import { type BufferedProtocol, freeSentPackets, ReceivedMemory } from './ssh2-buffers.ts';
import { type FirstLineArgs, type FirstLineProtocol, readFirstLine } from './ssh2-first-line.ts';
import './ssh2-requests.ts';

type Handler = (protocol: SshProtocol, ...args: never[]) => void;

export interface SshProtocol extends BufferedProtocol, FirstLineProtocol {
  /** Set from the first byte of a key exchange to its end. */
  readonly _kexinit: unknown;
  readonly _kex:
    | { remoteExtInfoEnabled: boolean; readonly sessionID: Buffer; readonly negotiated: { readonly serverHostKey: string } }
    | undefined;
  readonly _cipher: { encrypt(packet: Buffer): void };
  readonly _packetRW: {
    readonly write: {
      readonly allocStart: number;
      readonly allocStartKEX: number;
      alloc(payloadBytes: number, force?: boolean): Buffer;
      finalize(packet: Buffer, force?: boolean): Buffer;
    };
  };
  readonly _handlers: Record<string, Handler | undefined>;
  /** Methods of requests that were not answered yet. */
  readonly _authsQueue: string[];
  /** Packets that wait for the end of a key exchange. */
  readonly _queue: readonly Buffer[] | undefined;
  /** What the session identifier is the hash of. By `patches/`. */
  _transcript: Buffer | undefined;
  _onHandshakeComplete: (...args: unknown[]) => void;
  channelClose(channel: number): void;
  requestSuccess(data: Buffer): void;
  requestFailure(): void;
  channelWindowAdjust(channel: number, bytes: number): void;
  /** Asks for a sign of life, which any answer is (OpenSSH's `keepalive@openssh.com`). */
  ping(): void;
}

interface Direction {
  readonly id: number;
  window: number;
  readonly packetSize: number;
  state: 'open' | 'eof' | 'closing' | 'closed';
}

/** A raw channel. Bytes are taken by `takeChannelData` and written by `ChannelWriter`, past the stream, which says when it ends. */
export interface SshChannel extends Duplex {
  readonly incoming: Direction;
  readonly outgoing: Direction;
  _waitWindow: boolean;
  _chunkcb: (() => void) | undefined;
  readonly stderr: { write(text: string): void };
  exit(code: number): void;
}

export interface SshSession extends EventEmitter {
  readonly _chanInfo: { readonly incoming: Direction; readonly outgoing: Direction };
  readonly _channel: SshChannel | undefined;
}

interface FoundChannel {
  readonly _channel?: SshChannel;
  readonly incoming?: Direction;
}

export interface SshClient extends EventEmitter {
  readonly _protocol: SshProtocol;
  readonly _chanMgr: { get(id: number): unknown; remove(id: number): void };
  readonly authenticated: boolean;
  rekey(): void;
}

/** One request of RFC 4252 as the package hands it over. Which fields exist depends on `method`. */
export interface AuthContext {
  readonly username: string;
  readonly method: string;
  /** An object when the client asks to change its password, which nobody invited it to do. */
  readonly password?: unknown;
  /** `algo` as the client wrote it. */
  readonly key?: { readonly algo: string; readonly data: Buffer };
  /** The signed data of RFC 4252 §7, and the signature as it came. */
  readonly blob?: Buffer;
  readonly signature?: Buffer;
  accept(): void;
  reject(methodsLeft: readonly string[], isPartial?: boolean): void;
  prompt?(
    prompts: { prompt: string; echo: boolean }[],
    title: string,
    instructions: string,
    answered: (responses: unknown) => void,
  ): void;
  /** Of `password`: asks for another one (RFC 4252 §8). Undefined when the client sends something else instead. */
  requestChange?(prompt: string, answered: (newPassword: unknown) => void): void;
}

export interface ParsedKey {
  readonly type: string;
  getPublicSSH(): Buffer;
  isPrivateKey(): boolean;
  /** An Error when it fails; ECDSA in ASN.1. */
  sign(data: Buffer, hash?: string): Buffer | Error;
  verify(data: Buffer, signature: Buffer, hash?: string): boolean | Error;
}

interface Header {
  readonly header: { readonly identRaw: string };
}
interface ClientConfig {
  readonly banner?: string;
  readonly keepaliveInterval: number;
  readonly keepaliveCountMax: number;
}

const require = createRequire(import.meta.url);
const { IncomingClient } = require('ssh2/lib/server.js') as {
  IncomingClient: new (
    socket: Socket,
    hostKeys: Readonly<Record<string, ParsedKey>>,
    ident: Buffer,
    offer: object,
    debug: undefined,
    server: { emit(event: string, client: SshClient, info: Header): boolean },
    config: ClientConfig,
  ) => SshClient;
};
const { KexInit } = require('ssh2/lib/protocol/kex.js') as { KexInit: new (offer: AlgorithmOffer) => object };
const crypto = require('ssh2/lib/protocol/crypto.js') as { bindingAvailable: boolean; patches?: readonly string[] };
const keyParser = require('ssh2/lib/protocol/keyParser.js') as {
  parseKey(data: Buffer): ParsedKey | readonly ParsedKey[] | Error;
};
const { convertSignature } = require('ssh2/lib/protocol/utils.js') as {
  convertSignature(signature: Buffer, type: string): Buffer | false;
};
/** Of `patches/`, in their order. */
const neededPatches = ['addon-freed-in-any-task', 'mlkem768x25519', 'packets-while-rekeying', 'handshake-transcript'];

/** @throws SallyportError `config-invalid`: the package lacks a patch without which a node must not run. */
export function checkPatches(): void {
  const missing = neededPatches.filter((name) => !crypto.patches?.includes(name));
  if (missing.length === 0) return;
  throw new SallyportError(
    'config-invalid',
    `ssh2 in node_modules/ lacks ${missing.join(', ')} of patches/; start the node with its command in scripts/, which installs and patches it`,
  );
}

/** Whether the native cipher code is loaded; without it every transfer costs several times the processor time. */
export const nativeCryptoLoaded = (): boolean => crypto.bindingAvailable;

/** @throws Error the package's own, when the text is no private or public key it knows. */
export function parseSshKey(data: Buffer): ParsedKey {
  const parsed = keyParser.parseKey(data);
  if (parsed instanceof Error) throw parsed;
  const key = Array.isArray(parsed) ? (parsed as readonly ParsedKey[])[0] : (parsed as ParsedKey);
  if (!key) throw new Error('no key in the file');
  return key;
}

export interface ClientArgs extends FirstLineArgs {
  readonly hostKeys: Readonly<Record<string, ParsedKey>>;
  readonly offer: AlgorithmOffer;
  readonly banner: string;
  readonly keepAliveMs: number;
  /** Unanswered signs of life after which the client counts as gone. */
  readonly keepAliveMisses: number;
  readonly onIdent: (ident: string) => void;
  /** The client sent more than it was allowed to, or broke the framing of a channel. */
  readonly onViolation: (what: string) => void;
}

/** Begins the SSH protocol on an accepted socket. The caller puts an `error` listener on the result at once. */
export function createSshClient(args: ClientArgs): SshClient {
  const server = {
    emit: (event: string, _client: SshClient, info: Header): boolean => {
      if (event === 'connection') args.onIdent(info.header.identRaw);
      return true;
    },
  };
  const client = new IncomingClient(
    args.socket,
    args.hostKeys,
    Buffer.from('Sallyport'),
    new KexInit(args.offer),
    undefined,
    server,
    {
      ...(args.banner === '' ? {} : { banner: args.banner.replace(/\r?\n/g, '\r\n') }),
      keepaliveInterval: args.keepAliveMs,
      keepaliveCountMax: args.keepAliveMisses,
    },
  );
  readFirstLine(client._protocol, args);
  sendOwnSignatureAlgorithms(client._protocol);
  freeSentPackets(client._protocol, args.socket);
  watchWindow(client, new ReceivedMemory(client._protocol), args.onViolation);
  return client;
}

/** RFC 8308 §3.1: the package forgets a comma in its list and names SHA-1 algorithms, so the list is sent from here. */
function sendOwnSignatureAlgorithms(protocol: SshProtocol): void {
  const complete = protocol._onHandshakeComplete;
  let first = true;
  protocol._onHandshakeComplete = (...args) => {
    const wanted = first && protocol._kex?.remoteExtInfoEnabled === true;
    first = false;
    if (protocol._kex) protocol._kex.remoteExtInfoEnabled = false;
    if (wanted) sendPayload(protocol, [Buffer.from([7, 0, 0, 0, 1]), sshString('server-sig-algs'), sshString(signatureList)]);
    complete(...args);
  };
}
const signatureList = [
  'ssh-ed25519',
  'sk-ssh-ed25519@openssh.com',
  ...['ecdsa-sha2-nistp256', 'ecdsa-sha2-nistp384', 'ecdsa-sha2-nistp521'],
  'sk-ecdsa-sha2-nistp256@openssh.com',
  ...['rsa-sha2-512', 'rsa-sha2-256'],
].join();

/** The package drops data that comes at a window of zero and lets it go negative otherwise: both would corrupt the stream. */
function watchWindow(client: SshClient, memory: ReceivedMemory, onViolation: (what: string) => void): void {
  const handlers = client._protocol._handlers;
  const deliver = handlers.CHANNEL_DATA as ((p: SshProtocol, id: number, data: Buffer) => void) | undefined;
  handlers.CHANNEL_DATA = ((protocol: SshProtocol, id: number, data: Buffer) => {
    const found = client._chanMgr.get(id) as FoundChannel | undefined;
    const incoming = found?.incoming ?? found?._channel?.incoming;
    if (incoming && data.length > incoming.window) return onViolation('data beyond the window');
    const take = found?._channel && takers.get(found._channel);
    if (!incoming || !take) return deliver?.(protocol, id, data);
    incoming.window -= data.length;
    take(data);
    memory.consumed();
  }) as Handler;
}

/** Asks nothing: a global request without answer (RFC 4254 §4). Left out while keys are exchanged, when it is not allowed. */
export function sendGlobalNotice(client: SshClient, name: string, data: Buffer): void {
  if (!isRekeying(client)) sendPayload(client._protocol, [Buffer.from([80]), sshString(name), Buffer.from([0]), data]);
}

/** Answers one kind of global request once logged in; the package refuses all others, each before the next is read. */
export function answerGlobalRequest(client: SshClient, name: string, answer: (data: Buffer) => Buffer | undefined): void {
  const handlers = client._protocol._handlers;
  type Request = (protocol: SshProtocol, name: string, wantsReply: boolean, data: Buffer) => void;
  const refuse = handlers.GLOBAL_REQUEST as Request | undefined;
  handlers.GLOBAL_REQUEST = ((protocol: SshProtocol, asked: string, wantsReply: boolean, data: Buffer) => {
    const reply = asked === name && wantsReply && client.authenticated ? answer(data) : undefined;
    if (reply) protocol.requestSuccess(reply);
    else refuse?.(protocol, asked, wantsReply, data);
  }) as Handler;
}

/**
 * Measures from each sign of life that is asked for, by the package or here, to its answer. Answers come in the order of the
 * questions (RFC 4254 §4), and no other request of ours wants one.
 * @returns asks for one, unless an answer is still due.
 */
export function watchRoundTrips(client: SshClient, nowMs: () => number, onAnswer: (ms: number) => void): () => void {
  const protocol = client._protocol;
  const asked: number[] = [];
  const ping = protocol.ping.bind(protocol);
  protocol.ping = () => {
    asked.push(nowMs());
    ping();
  };
  const answered = (): void => {
    const at = asked.shift();
    if (at !== undefined) onAnswer(nowMs() - at);
  };
  protocol._handlers.REQUEST_SUCCESS = answered;
  protocol._handlers.REQUEST_FAILURE = answered;
  return () => {
    if (asked.length === 0 && !isRekeying(client)) protocol.ping();
  };
}

/** Of the first key exchange, whatever came after it (RFC 4253 §7.2). */
export const sessionIdOf = (client: SshClient): Buffer => client._protocol._kex?.sessionID ?? Buffer.alloc(0);

/** What the session identifier is the hash of (RFC 4253 §8): it holds the secret of the exchange, so drop it when it has been used. */
export const transcriptOf = (client: SshClient): Buffer => client._protocol._transcript ?? Buffer.alloc(0);

export function forgetTranscript(client: SshClient): void {
  client._protocol._transcript = undefined;
}

/** What the server signed the last key exchange with. */
export const hostKeyAlgorithmOf = (client: SshClient): string => client._protocol._kex?.negotiated.serverHostKey ?? '';

const rsaHashes: Readonly<Record<string, string>> = { 'rsa-sha2-256': 'sha256', 'rsa-sha2-512': 'sha512' };

/** A signature as it goes over the wire: the name of the algorithm, then the bytes (RFC 4253 §6.6). */
export function signAsHost(key: ParsedKey, algorithm: string, data: Buffer): Buffer {
  const signature = key.sign(data, rsaHashes[algorithm]);
  if (signature instanceof Error) throw signature;
  const converted = convertSignature(signature, key.type);
  if (converted === false) throw new Error(`${key.type} made an unexpected signature`);
  return Buffer.concat([sshString(algorithm), sshString(converted)]);
}

const takers = new WeakMap<SshChannel, (data: Buffer) => void>();

/**
 * Hands what arrives on a channel to `take` instead of the channel's stream, which still says when the client has ended it.
 * `take` copies what it needs: the memory is used again when it returns. The window opens again only by `openWindow`.
 */
export function takeChannelData(channel: SshChannel, take: (data: Buffer) => void): void {
  takers.set(channel, take);
  channel.resume();
}

/** Lets the client send so many bytes more. */
export function openWindow(client: SshClient, { incoming, outgoing }: SshChannel, bytes: number): void {
  if (outgoing.state === 'closing' || outgoing.state === 'closed') return;
  incoming.window += bytes;
  client._protocol.channelWindowAdjust(outgoing.id, bytes);
}

export const isRekeying = (client: SshClient): boolean => client._protocol._kexinit !== undefined;

/** Packets that wait for the end of a key exchange. */
export const owedAnswers = (client: SshClient): number => client._protocol._queue?.length ?? 0;

/**
 * The package answers the oldest request that it remembers, which is the wrong one after a request replaced another. Each
 * request that is handed over gets exactly one answer, so the one at hand is all that has to be remembered.
 */
export function oweAnswer(client: SshClient, context: AuthContext): void {
  client._protocol._authsQueue.splice(0, Number.POSITIVE_INFINITY, context.method);
}

/** The package forgets to answer the close of a channel on which nothing was started. @returns whether this was one. */
export function closeUnusedChannel(client: SshClient, session: SshSession): boolean {
  if (session._channel) return false;
  client._chanMgr.remove(session._chanInfo.incoming.id);
  client._protocol.channelClose(session._chanInfo.outgoing.id);
  return true;
}

/** One CHANNEL_DATA packet of `length` bytes that `fill` writes in place. Never call it while `isRekeying`. */
export function sendChannelData(
  protocol: SshProtocol,
  channel: number,
  length: number,
  fill: (packet: Buffer, at: number) => void,
): void {
  const writer = protocol._packetRW.write;
  const at = writer.allocStart;
  const packet = writer.alloc(9 + length);
  packet[at] = 94;
  packet.writeUInt32BE(channel, at + 1);
  packet.writeUInt32BE(length, at + 5);
  fill(packet, at + 9);
  protocol._cipher.encrypt(writer.finalize(packet));
}

/** RFC 4253 §11.1, with a text, which the package always leaves empty. Allowed at any time. */
export function sendDisconnect(client: SshClient, reason: number, text: string): void {
  const head = Buffer.alloc(5);
  head[0] = 1;
  head.writeUInt32BE(reason, 1);
  sendPayload(client._protocol, [head, sshString(text), sshString('')]);
}

function sendPayload(protocol: SshProtocol, parts: readonly Buffer[]): void {
  const payload = Buffer.concat(parts);
  const writer = protocol._packetRW.write;
  const packet = writer.alloc(payload.length, true);
  payload.copy(packet, writer.allocStartKEX);
  protocol._cipher.encrypt(writer.finalize(packet, true));
}

/**
 * The one place that knows the inside of the package `ssh2` (pinned to 1.17.0; every field below was read in its source).
 *
 * Its public server announces itself only after the client's first line, offers algorithms that it cannot switch off, and
 * has no back-pressure in its SFTP layer. So we own the TCP socket, hand it to the exported `IncomingClient`, and take raw
 * channels. What the package gets wrong and can be set right from outside is set right here: the bounded first line, the
 * list of signature algorithms, the number of keyboard-interactive answers, data beyond the window. Nothing here decides
 * who may come in.
 */
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import type { EventEmitter } from 'node:events';
import { createRequire } from 'node:module';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { SallyportError } from '../../shared/errors.ts';
import type { AlgorithmOffer } from './algorithms.ts';

type Parse = (chunk: Buffer, from: number, to: number) => number | undefined;
type Handler = (protocol: SshProtocol, ...args: never[]) => void;

export interface SshProtocol {
  /** Set from the first byte of a key exchange to its end. */
  readonly _kexinit: unknown;
  readonly _kex: { remoteExtInfoEnabled: boolean } | undefined;
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
  _parse: Parse;
  _onHandshakeComplete: (...args: unknown[]) => void;
  channelClose(channel: number): void;
}

interface Direction {
  readonly id: number;
  window: number;
  readonly packetSize: number;
  state: 'open' | 'eof' | 'closing' | 'closed';
}

/** A raw channel. Bytes are read from the stream; they are written by `ChannelWriter`, past the stream's own writing side. */
export interface SshChannel extends Duplex {
  readonly incoming: Direction;
  readonly outgoing: Direction;
  _waitWindow: boolean;
  _chunkcb: (() => void) | undefined;
  exit(code: number): void;
}

export interface SshSession extends EventEmitter {
  readonly _chanInfo: { readonly incoming: Direction; readonly outgoing: Direction };
  readonly _channel: SshChannel | undefined;
}

export interface SshClient extends EventEmitter {
  readonly _protocol: SshProtocol;
  readonly _chanMgr: { get(id: number): unknown; remove(id: number): void };
  rekey(): void;
}

/** One request of RFC 4252 as the package hands it over. Which fields exist depends on `method`. */
export interface AuthContext {
  readonly username: string;
  readonly method: string;
  /** An object when the client asks to change its password, which nobody invited it to do. */
  readonly password?: unknown;
  readonly key?: { algo: string; readonly data: Buffer };
  readonly hashAlgo?: string;
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
}

export interface ParsedKey {
  readonly type: string;
  getPublicSSH(): Buffer;
  isPrivateKey(): boolean;
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
const messageHandlers = require('ssh2/lib/protocol/handlers.js') as ((protocol: SshProtocol, payload: Buffer) => unknown)[];

const infoResponse = 61;
const maxInfoResponses = 4;
const readInfoResponse = messageHandlers[infoResponse];
if (readInfoResponse) {
  // The package makes an array as long as the packet claims before it looks at the packet.
  messageHandlers[infoResponse] = (protocol, payload) => {
    if (payload.length < 5 || payload.readUInt32BE(1) > maxInfoResponses) throw new Error('too many answers');
    return readInfoResponse(protocol, payload);
  };
}

/** Of `patches/`, in their order. */
const neededPatches = ['addon-freed-in-any-task', 'mlkem768x25519'];

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

/**
 * A new Ed25519 key in OpenSSH's private format (PROTOCOL.key). Not by the package, which leaves a zero at the beginning of a
 * key out: one in 256 of its keys cannot be read again.
 */
export function newSshKey(comment: string): string {
  const { d = '', x = '' } = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' });
  const seed = Buffer.from(d, 'base64url');
  const point = Buffer.from(x, 'base64url');
  const publicKey = Buffer.concat([sshString('ssh-ed25519'), sshString(point)]);
  const check = randomBytes(4);
  const secret = Buffer.concat([check, check, publicKey, sshString(Buffer.concat([seed, point])), sshString(comment)]);
  const padding = Buffer.from([1, 2, 3, 4, 5, 6, 7]).subarray(0, (8 - (secret.length % 8)) % 8);
  const none = [sshString('none'), sshString('none'), sshString('')];
  const one = Buffer.from([0, 0, 0, 1]);
  const all = [Buffer.from('openssh-key-v1\0'), ...none, one, sshString(publicKey), sshString(Buffer.concat([secret, padding]))];
  const lines =
    Buffer.concat(all)
      .toString('base64')
      .match(/.{1,70}/g) ?? [];
  return `-----BEGIN OPENSSH PRIVATE KEY-----\n${lines.join('\n')}\n-----END OPENSSH PRIVATE KEY-----\n`;
}

export interface ClientArgs {
  readonly socket: Socket;
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

/** RFC 4253 §4.2: 255 characters with the line end. */
const maxIdentBytes = 255;

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
  boundIdent(client._protocol);
  sendOwnSignatureAlgorithms(client._protocol);
  watchWindow(client, args.onViolation);
  return client;
}

/** The package loses the middle part of a first line that comes in three pieces, and would keep up to 8 KiB of it. */
function boundIdent(protocol: SshProtocol): void {
  const parseLine = protocol._parse;
  let held = Buffer.alloc(0);
  protocol._parse = (chunk, from, to) => {
    const end = chunk.subarray(from, to).indexOf(0x0a);
    const length = end === -1 ? to - from : end + 1;
    if (held.length + length > maxIdentBytes) throw new Error('the first line is too long');
    held = Buffer.concat([held, chunk.subarray(from, from + length)]);
    if (end !== -1) parseLine.call(protocol, held, 0, held.length);
    return from + length;
  };
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
const signatureList = 'ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521,rsa-sha2-512,rsa-sha2-256';

/** The package drops data that comes at a window of zero and lets it go negative otherwise: both would corrupt the stream. */
function watchWindow(client: SshClient, onViolation: (what: string) => void): void {
  const handlers = client._protocol._handlers;
  const deliver = handlers.CHANNEL_DATA as ((p: SshProtocol, id: number, data: Buffer) => void) | undefined;
  handlers.CHANNEL_DATA = ((protocol: SshProtocol, id: number, data: Buffer) => {
    const found = client._chanMgr.get(id) as { readonly _channel?: SshChannel; readonly incoming?: Direction } | undefined;
    const incoming = found?.incoming ?? found?._channel?.incoming;
    if (incoming && data.length > incoming.window) return onViolation('data beyond the window');
    deliver?.(protocol, id, data);
  }) as Handler;
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

function sshString(text: string | Buffer): Buffer {
  const bytes = Buffer.from(text as string);
  const framed = Buffer.alloc(4 + bytes.length);
  framed.writeUInt32BE(bytes.length);
  bytes.copy(framed, 4);
  return framed;
}

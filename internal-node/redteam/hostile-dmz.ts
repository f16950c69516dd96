/**
 * A DMZ node that was taken over: it has the real keys, completes mutual TLS and the hello as an honest one would, and then
 * does what a script tells it to. It shares no code with the real DMZ node's tunnel, so that it can break every rule.
 *
 *     const dmz = await HostileDmz.start({ keys });
 *     dmz.answer('inbox.list', () => ({ items: [forged], more: false }));
 *     const link = await dmz.nextLink();            // an inside has said hello and was answered
 *     link.sendText('{"k":"req"…');                  // any text as a message
 *     link.sendMessage({ k: 'note', m: 'x', p: {} }); // numbered for you
 *     link.sendBytes(Buffer.from([…]));              // any bytes below the WebSocket layer
 *     dmz.onData = (data) => { … };                   // each data socket, each frame
 */
import { createServer, type Server } from 'node:https';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { type WebSocket, WebSocketServer } from 'ws';
import { newLinkId } from '../../shared/ids.ts';
import type { NodeKeys } from '../../shared/pki/node-keys.ts';
import { newToken } from '../../shared/secret.ts';
import { serverTlsOptions } from '../../shared/tls.ts';

export interface HostileDmzOptions {
  readonly keys: NodeKeys;
  readonly port?: number;
  /** Default: the loopback. */
  readonly host?: string;
}

/** What the inside asked. */
export interface Asked {
  readonly id: number;
  readonly m: string;
  readonly p: Readonly<Record<string, unknown>>;
}

/** Gives the result, `undefined` to stay silent, or throws an error code as a string. */
export type Answer = (params: Asked['p'], link: HostileLink) => unknown;

/** A control or data connection at which anything can be thrown. */
class HostileSocket {
  readonly ws: WebSocket;
  readonly tls: TLSSocket;
  /** Text messages as they came. */
  readonly texts: string[] = [];
  /** Bytes of binary messages that came. */
  receivedBytes = 0;
  /** The close frame's text, or '' for a bare end. */
  readonly closed: Promise<string>;

  constructor(ws: WebSocket, tls: TLSSocket) {
    this.ws = ws;
    this.tls = tls;
    this.closed = new Promise((resolve) => {
      ws.once('close', (_code, reason) => resolve(reason.toString()));
    });
    ws.on('error', () => undefined);
    ws.on('message', (data, isBinary) => {
      if (isBinary) this.receivedBytes += (data as Buffer).length;
      else this.texts.push(data.toString());
    });
  }

  /** Any text as one message. */
  sendText(text: string): void {
    this.ws.send(text, () => undefined);
  }

  /** One binary message. */
  sendBinary(bytes: Buffer): void {
    this.ws.send(bytes, () => undefined);
  }

  /** Bytes on the TLS connection, below the WebSocket layer. */
  sendBytes(bytes: Buffer): void {
    this.tls.write(bytes, () => undefined);
  }

  /** One raw frame. `length` may lie about the payload. */
  sendFrame(frame: { fin?: boolean; opcode: number; payload: Buffer; length?: bigint }): void {
    const { fin = true, opcode, payload, length = BigInt(frame.payload.length) } = frame;
    const header = Buffer.alloc(10);
    header[0] = (fin ? 0x80 : 0) | opcode;
    header[1] = 127;
    header.writeBigUInt64BE(length, 2);
    this.sendBytes(Buffer.concat([header, payload]));
  }
}

export class HostileLink extends HostileSocket {
  /** Number of the last message that was sent in order. */
  sent = 0;

  /** A message with the right number, whatever else is wrong with it. @returns the text. */
  sendMessage(message: Readonly<Record<string, unknown>>): string {
    this.sent += 1;
    const text = JSON.stringify({ ...message, n: this.sent });
    this.sendText(text);
    return text;
  }

  #askedId = 0;

  /** A request as an honest DMZ would number it. @returns its id; answers are in `texts`. */
  ask(method: string, params: unknown): number {
    this.#askedId += 1;
    this.sendMessage({ k: 'req', id: this.#askedId, m: method, p: params });
    return this.#askedId;
  }

  /** The answer to one of its own requests, once it came: the result, or `{ error: code }`. */
  answerTo(id: number): unknown {
    for (const text of this.texts) {
      const message = JSON.parse(text) as { k: string; id?: number; r?: unknown; c?: string };
      if (message.id === id && message.k === 'res') return message.r;
      if (message.id === id && message.k === 'err') return { error: message.c };
    }
    return undefined;
  }
}

export class HostileData extends HostileSocket {
  /** Called for each text frame of the inside (`open`, `end`, …). */
  onFrame: (frame: Readonly<Record<string, unknown>>) => void = () => undefined;

  sendJson(frame: Readonly<Record<string, unknown>>): void {
    this.sendText(JSON.stringify(frame));
  }
}

export class HostileDmz {
  readonly links: HostileLink[] = [];
  readonly dataSockets: HostileData[] = [];
  /** Requests of the inside that came, in order. */
  readonly asked: Asked[] = [];
  /** Called for each data socket. */
  onData: (data: HostileData) => void = () => undefined;
  /** Changes the honest answer to `link.hello`; return undefined to say nothing. */
  onHello: (honest: Readonly<Record<string, unknown>>, link: HostileLink) => unknown = (honest) => honest;
  /** Called for each request to upgrade; true when it was answered otherwise. */
  onUpgrade: (socket: Duplex) => boolean = () => false;
  readonly #answers = new Map<string, Answer>();
  readonly #server: Server;
  readonly #ws = new WebSocketServer({ noServer: true, perMessageDeflate: false });
  readonly #waiting: ((link: HostileLink) => void)[] = [];

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(options: HostileDmzOptions): Promise<HostileDmz> {
    const server = createServer(serverTlsOptions({ keys: options.keys, classicalKeyExchange: false }));
    const dmz = new HostileDmz(server);
    server.on('upgrade', (request, socket, head) => {
      socket.on('error', () => undefined);
      if (dmz.onUpgrade(socket)) return;
      dmz.#ws.handleUpgrade(request, socket, head, (ws) => {
        if (request.url?.endsWith('/data')) dmz.#onData(new HostileData(ws, socket as TLSSocket));
        else dmz.#onControl(new HostileLink(ws, socket as TLSSocket), options.keys.name);
      });
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(options.port ?? 0, options.host ?? '127.0.0.1', resolve);
    });
    return dmz;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  /** How a request of the inside is answered; unset ones get the error `unsupported`. */
  answer(method: string, answer: Answer): void {
    this.#answers.set(method, answer);
  }

  /** The next link whose hello was answered. */
  nextLink(): Promise<HostileLink> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  async stop(): Promise<void> {
    for (const socket of [...this.links, ...this.dataSockets]) socket.ws.terminate();
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
  }

  #onData(data: HostileData): void {
    this.dataSockets.push(data);
    this.onData(data);
    data.ws.on('message', (text, isBinary) => {
      if (!isBinary) data.onFrame(JSON.parse(text.toString()) as Record<string, unknown>);
    });
  }

  #onControl(link: HostileLink, node: string): void {
    this.links.push(link);
    link.ws.on('message', (data) => {
      const message = JSON.parse(data.toString()) as Asked & { readonly k: string };
      if (message.k !== 'req') return;
      this.asked.push(message);
      if (message.m === 'link.hello') this.#hello(message, link, node);
      else this.#reply(message, link);
    });
  }

  #hello(asked: Asked, link: HostileLink, node: string): void {
    const common = { protocol: 1, version: 'test', node, features: [], clockMs: Date.now() };
    const honest = { ...common, link: newLinkId(), epoch: this.links.length, dataToken: newToken() };
    const result = this.onHello(honest, link);
    if (result === undefined) return;
    link.sendMessage({ k: 'res', id: asked.id, r: result });
    this.#waiting.shift()?.(link);
  }

  #reply(asked: Asked, link: HostileLink): void {
    const answer = this.#answers.get(asked.m) ?? (asked.m === 'link.ping' ? () => ({}) : undefined);
    if (!answer) {
      link.sendMessage({ k: 'err', id: asked.id, c: 'unsupported' });
      return;
    }
    try {
      const result = answer(asked.p, link);
      if (result !== undefined) link.sendMessage({ k: 'res', id: asked.id, r: result });
    } catch (code) {
      link.sendMessage({ k: 'err', id: asked.id, c: String(code) });
    }
  }
}

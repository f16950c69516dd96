/**
 * Somebody who holds the stolen tunnel key of an internal node: completes mutual TLS and the hello, answers what the DMZ
 * asks as he likes and asks whatever he likes. It shares no code with the real internal node's tunnel.
 */
import { once } from 'node:events';
import { connect, type TLSSocket } from 'node:tls';
import { WebSocket } from 'ws';
import type { NodeKeys } from '../../shared/pki/node-keys.ts';
import { clientTlsOptions } from '../../shared/tls.ts';
import { eventually } from '../fixtures/eventually.ts';

type Json = Readonly<Record<string, unknown>>;

interface Hello {
  readonly link: string;
  readonly epoch: number;
  readonly dataToken: string;
}

/** A stream on a data socket, as far as it came. */
export interface Streamed {
  readonly bytes: Buffer;
  /** The last text frame: `end`, `res` or `err`. */
  readonly last: Json;
}

export interface HostileInsideOptions {
  readonly port: number;
  readonly keys: NodeKeys;
}

export class HostileInside implements AsyncDisposable {
  /** What the DMZ asked or noted, in order. */
  readonly heard: { readonly m: string; readonly p: Json }[] = [];
  /** Answers to what the DMZ asks; nothing is answered otherwise. */
  readonly answers = new Map<string, (params: Json) => unknown>();
  hello: Hello = { link: '', epoch: 0, dataToken: '' };
  readonly #options: HostileInsideOptions;
  readonly #ws: WebSocket;
  readonly #replies = new Map<number, unknown>();
  #sent = 0;
  #asked = 0;

  private constructor(options: HostileInsideOptions, ws: WebSocket) {
    this.#options = options;
    this.#ws = ws;
    ws.on('message', (data) => this.#onMessage(JSON.parse(data.toString()) as Json));
  }

  static async connect(options: HostileInsideOptions): Promise<HostileInside> {
    const inside = new HostileInside(options, await open(options, '/sallyport/control', {}));
    const hello = { protocol: 1, version: 'x', node: 'inner1', features: [], clockMs: Date.now() };
    inside.hello = (await inside.ask('link.hello', hello)) as unknown as Hello;
    return inside;
  }

  get open(): boolean {
    return this.#ws.readyState === WebSocket.OPEN;
  }

  /** @returns the result, or `{ error: code }`. */
  async ask(method: string, params: unknown): Promise<Json> {
    this.#asked += 1;
    const id = this.#asked;
    this.send({ k: 'req', id, m: method, p: params });
    await eventually(`an answer to ${method}`, () => this.#replies.has(id) || !this.open);
    return (this.#replies.get(id) ?? { error: 'cut' }) as Json;
  }

  /** Any message, with the right number. */
  send(message: Json): void {
    this.#sent += 1;
    this.#ws.send(JSON.stringify({ ...message, n: this.#sent }));
  }

  /** A stream of its own: asks for bytes, or sends those of `body`. */
  async stream(method: string, params: unknown, body?: readonly Buffer[]): Promise<Streamed> {
    const { link, dataToken } = this.hello;
    const headers = { 'x-sallyport-link': link, 'x-sallyport-token': dataToken };
    const ws = await open(this.#options, '/sallyport/data', headers);
    const chunks: Buffer[] = [];
    let last: Json | undefined;
    ws.on('message', (data, isBinary) => {
      if (isBinary) chunks.push(data as Buffer);
      else if (!data.toString().includes('"ok"')) last = JSON.parse(data.toString()) as Json;
    });
    ws.send(JSON.stringify({ k: 'open', m: method, p: params }));
    for (const piece of body ?? []) ws.send(piece);
    if (body) ws.send(JSON.stringify({ k: 'end' }));
    await eventually(`the end of ${method}`, () => last !== undefined || ws.readyState === WebSocket.CLOSED);
    ws.terminate();
    return { bytes: Buffer.concat(chunks), last: last ?? { k: 'cut' } };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#ws.readyState === WebSocket.CLOSED) return;
    const closed = once(this.#ws, 'close');
    this.#ws.terminate();
    await closed;
  }

  #onMessage(message: Json): void {
    const { k, id, m, p } = message;
    if (k === 'res') this.#replies.set(Number(id), message.r);
    else if (k === 'err') this.#replies.set(Number(id), { error: message.c });
    else {
      if (m !== 'link.ping') this.heard.push({ m: String(m), p: p as Json });
      const answer = m === 'link.ping' ? () => ({}) : this.answers.get(String(m));
      if (k === 'req' && answer) this.send({ k: 'res', id, r: answer(p as Json) });
    }
  }
}

async function open({ port, keys }: HostileInsideOptions, path: string, headers: Record<string, string>): Promise<WebSocket> {
  const socket: TLSSocket = connect({ host: '127.0.0.1', port, ...clientTlsOptions({ keys, classicalKeyExchange: false }) });
  await once(socket, 'secureConnect');
  const ws = new WebSocket(`ws://x${path}`, { createConnection: () => socket, perMessageDeflate: false, headers });
  ws.on('error', () => undefined);
  await once(ws, 'open');
  return ws;
}

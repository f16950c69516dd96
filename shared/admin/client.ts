/** Talks to the admin socket of a running node on this host. */
import { createHash } from 'node:crypto';
import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { type ErrorFields, isErrorCode, SallyportError } from '../errors.ts';
import type { AdminFailure } from './routes.ts';
import { SocketPath } from './socket-path.ts';

const maxAnswerBytes = 64 * 1024 * 1024;

interface Call {
  readonly method: 'GET' | 'POST' | 'PUT';
  /** Segments of the path, not yet encoded. */
  readonly path: readonly string[];
  readonly query?: Readonly<Record<string, string | undefined>>;
}

interface Exchange {
  readonly request: ClientRequest;
  readonly response: IncomingMessage;
}

export interface Download {
  readonly headers: Readonly<Record<string, string>>;
  readonly content: AsyncIterable<Buffer>;
}

export class AdminClient {
  readonly #socket: string;
  readonly #signal: AbortSignal | undefined;
  readonly #headers: Readonly<Record<string, string>>;

  /**
   * @param options.signal Breaks off whatever is under way.
   * @param options.headers Sent with every request: who asks.
   */
  constructor(options: {
    readonly socket: string;
    readonly signal?: AbortSignal;
    readonly headers?: Readonly<Record<string, string>>;
  }) {
    this.#socket = options.socket;
    this.#headers = options.headers ?? {};
    this.#signal = options.signal;
  }

  /** @throws SallyportError `not-running` when no node answers, else the error of the node. */
  async get<T>(path: readonly string[], query: Readonly<Record<string, string | undefined>> = {}): Promise<T> {
    return (await this.#json({ method: 'GET', path, query })) as T;
  }

  async post<T>(path: readonly string[], body: unknown = {}): Promise<T> {
    return (await this.#json({ method: 'POST', path }, Buffer.from(JSON.stringify(body)))) as T;
  }

  /** Sends the bytes of `content`. @returns the node's answer and the SHA-256 of what was sent. */
  async put<T>(
    path: readonly string[],
    query: Readonly<Record<string, string | undefined>>,
    content: AsyncIterable<Buffer>,
  ): Promise<{ readonly answer: T; readonly sha256: string; readonly size: number }> {
    const hash = createHash('sha256');
    let size = 0;
    const counted = async function* (): AsyncIterable<Buffer> {
      for await (const chunk of content) {
        hash.update(chunk);
        size += chunk.length;
        yield chunk;
      }
    };
    const { request, response } = await this.#send({ method: 'PUT', path, query }, counted());
    try {
      const answer = (await readAnswer(response)) as T;
      return { answer, sha256: hash.digest('hex'), size };
    } finally {
      request.destroy(); // an answer before the end of the bytes is a refusal: the rest is not wanted
    }
  }

  async download(path: readonly string[], query: Readonly<Record<string, string | undefined>> = {}): Promise<Download> {
    const { response } = await this.#send({ method: 'GET', path, query });
    if (response.statusCode !== 200) await readAnswer(response);
    const headers = Object.fromEntries(
      Object.entries(response.headers).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
    );
    return { headers, content: response };
  }

  async #json(call: Call, body?: Buffer): Promise<unknown> {
    return readAnswer((await this.#send(call, body)).response);
  }

  async #send({ method, path, query = {} }: Call, body?: Buffer | AsyncIterable<Buffer>): Promise<Exchange> {
    const search = new URLSearchParams(
      Object.entries(query).filter((entry): entry is [string, string] => entry[1] !== undefined),
    );
    const target = `/${path.map(encodeURIComponent).join('/')}${search.size > 0 ? `?${search}` : ''}`;
    const socket = this.#open();
    return new Promise((resolve, reject) => {
      // Kept alive: a node that closes at once after an early refusal would break the write before the answer is read.
      const headers = { ...this.#headers, ...(method === 'PUT' ? { connection: 'keep-alive' } : {}) };
      const request = httpRequest({
        socketPath: socket.usable,
        method,
        path: target,
        headers,
        agent: false,
        ...(this.#signal && { signal: this.#signal }),
      });
      request.once('close', () => socket[Symbol.dispose]());
      request.once('response', (response) => resolve({ request, response }));
      request.once('error', (error) => reject(this.#explained(error)));
      if (body === undefined || Buffer.isBuffer(body)) request.end(body);
      else pipeline(body, request).catch((error) => reject(this.#explained(error)));
    });
  }

  #open(): SocketPath {
    try {
      return SocketPath.open(this.#socket);
    } catch (error) {
      throw this.#explained(error);
    }
  }

  #explained(error: unknown): SallyportError {
    if (error instanceof SallyportError) return error;
    const { code = '', message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ECONNREFUSED') {
      return new SallyportError('not-running', `no node answers on ${this.#socket}`, {}, { cause: error });
    }
    if (code === 'EACCES') {
      return new SallyportError('permission-denied', `this user may not use ${this.#socket}`, {}, { cause: error });
    }
    return new SallyportError('link-closed', `the node broke off: ${message}`, {}, { cause: error });
  }
}

async function readAnswer(response: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > maxAnswerBytes) throw new SallyportError('limit-reached', 'the answer of the node is too large');
    chunks.push(chunk);
  }
  const value: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8'));
  if (response.statusCode === 200) return value;
  const { error } = value as AdminFailure;
  throw new SallyportError(isErrorCode(error.code) ? error.code : 'internal', error.detail, error.fields as ErrorFields);
}

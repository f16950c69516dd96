/**
 * The admin socket of a node: HTTP on a Unix socket (0600) in a folder that only the node's user can enter (0700). Whoever
 * can connect may do everything; there is no login. It never listens on a network address.
 */
import { once } from 'node:events';
import { chmod, lstat, mkdir, rm, stat } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import type { z } from 'zod';
import { asSallyportError, type ErrorCode, SallyportError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Service } from '../service.ts';
import { type AdminFailure, type AdminRequest, type AdminRoute, type Matched, matchRoute } from './routes.ts';
import { SocketPath } from './socket-path.ts';

export interface AdminServerOptions {
  /** Path of the socket. Its folder is made with mode 0700 when it is not there. */
  readonly socket: string;
}

export const maxBodyBytes = 64 * 1024;
const maxConnections = 64;
const headersTimeoutMs = 10_000;

export class AdminServer implements Service {
  readonly name = 'admin socket';
  readonly #deps: { readonly routes: readonly AdminRoute[]; readonly log: Logger };
  readonly #options: AdminServerOptions;
  #server: Server | undefined;
  #path: SocketPath | undefined;

  constructor(deps: { readonly routes: readonly AdminRoute[]; readonly log: Logger }, options: AdminServerOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  /** @throws SallyportError `key-file` when others can enter the folder, `already-running` when a node answers there. */
  async start(): Promise<void> {
    const { socket } = this.#options;
    await preparePlace(socket);
    const server = createServer({ headersTimeout: headersTimeoutMs, requestTimeout: 0 }, (request, response) => {
      void this.#serve(request, response);
    });
    server.maxConnections = maxConnections;
    // Errors of a single connection end that connection only.
    server.on('clientError', (_error, connection) => connection.destroy());
    this.#path = SocketPath.open(socket);
    server.listen(this.#path.usable);
    await once(server, 'listening');
    // Until here only the folder's mode keeps others out, and that is enough.
    await chmod(socket, 0o600);
    this.#server = server;
  }

  async stop(signal: AbortSignal): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (!server) return;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeIdleConnections();
    const cut = (): void => server.closeAllConnections();
    if (signal.aborted) cut();
    else signal.addEventListener('abort', cut, { once: true });
    await closed;
    signal.removeEventListener('abort', cut);
    // Closing removes the socket by its path.
    this.#path?.[Symbol.dispose]();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const gone = new AbortController();
    response.once('close', () => gone.abort(new SallyportError('link-closed', 'the client went away')));
    try {
      const url = new URL(request.url ?? '/', 'http://admin');
      const found = matchRoute(this.#deps.routes, request.method ?? '', url.pathname);
      if (found === undefined) throw new SallyportError('unsupported', `this node knows no ${request.method} ${url.pathname}`);
      if (found === 'wrong-method') throw new SallyportError('unsupported', `${url.pathname} does not take ${request.method}`);
      await answer(found, { params: found.params, query: url.searchParams, signal: gone.signal }, request, response);
    } catch (error) {
      this.#fail(error, request, response);
    }
  }

  #fail(error: unknown, request: IncomingMessage, response: ServerResponse): void {
    const failure = asSallyportError(error);
    if (failure.code === 'internal') this.#deps.log.error({ err: error }, 'an admin request failed');
    if (response.headersSent || response.destroyed) {
      response.destroy(); // a stream that was promised cannot be taken back: the client sees it cut
      return;
    }
    const body: AdminFailure = { error: { code: failure.code, detail: failure.message, fields: failure.fields } };
    // Closing with unread bytes would cost the client the answer; it stops sending once it has it.
    request.resume();
    sendJson(response, statusOf(failure.code), body);
  }
}

const statusOf = (code: ErrorCode): number => {
  if (code === 'usage' || code === 'bad-name' || code === 'config-invalid') return 400;
  if (code === 'no-such-file' || code === 'item-unknown' || code === 'unsupported') return 404;
  if (code === 'already-exists' || code === 'already-collected') return 409;
  return 500;
};

async function answer({ route }: Matched, args: AdminRequest, request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (route.kind === 'json') {
    const body = route.body ? checkedBody(route.body, await readJson(request)) : undefined;
    sendJson(response, 200, (await route.answer(args, body)) ?? {});
    return;
  }
  if (route.kind === 'upload') {
    sendJson(response, 200, (await route.answer(args, request)) ?? {});
    return;
  }
  const { headers, content } = await route.answer(args);
  response.writeHead(200, { 'content-type': 'application/octet-stream', ...headers });
  for await (const chunk of content) {
    if (!response.write(chunk)) await once(response, 'drain', { signal: args.signal });
  }
  response.end();
}

function sendJson(response: ServerResponse, status: number, value: unknown): void {
  const body = Buffer.from(JSON.stringify(value));
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': body.length });
  response.end(body);
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > maxBodyBytes) throw new SallyportError('usage', `a request has at most ${maxBodyBytes} bytes`);
    chunks.push(chunk);
  }
  if (length === 0) return {};
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch {
    throw new SallyportError('usage', 'the request is not JSON');
  }
}

function checkedBody(schema: z.ZodType, value: unknown): unknown {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new SallyportError('usage', `${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'wrong'}`);
}

async function preparePlace(socket: string): Promise<void> {
  const folder = dirname(socket);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const { mode } = await stat(folder);
  if ((mode & 0o077) !== 0) {
    const shown = (mode & 0o777).toString(8).padStart(4, '0');
    throw new SallyportError(
      'key-file',
      `${folder} has mode ${shown}; others could reach the admin socket. Run: chmod 700 ${folder}`,
    );
  }
  const existing = await lstat(socket).catch(() => undefined);
  if (!existing) return;
  if (!existing.isSocket()) throw new SallyportError('already-exists', `${socket} is no socket; remove it or set admin.socket`);
  if (await answers(socket)) throw new SallyportError('already-running', `another process answers on ${socket}`);
  await rm(socket);
}

function answers(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const path = SocketPath.open(socket);
    const probe = connect(path.usable);
    const done = (answer: boolean): void => {
      probe.destroy();
      path[Symbol.dispose]();
      resolve(answer);
    };
    probe.once('connect', () => done(true));
    probe.once('error', () => done(false));
  });
}

/**
 * Answers the requests of an admin socket over HTTP, from a fixed table. It does not listen: whoever has a connection hands it
 * over, be it one that came in or one that was dialled.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { z } from 'zod';
import { asSallyportError, type ErrorCode, SallyportError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { type AdminFailure, type AdminRequest, type AdminRoute, type Matched, matchRoute } from './routes.ts';

export const maxBodyBytes = 64 * 1024;
export const maxConnections = 64;
const headersTimeoutMs = 10_000;

interface AnswersDeps {
  readonly routes: readonly AdminRoute[];
  readonly log: Logger;
}

export class AdminAnswers {
  /** Takes connections by its event `connection`, whether it listens or not. */
  readonly server: Server;
  readonly #deps: AnswersDeps;

  constructor(deps: AnswersDeps) {
    this.#deps = deps;
    this.server = createServer({ headersTimeout: headersTimeoutMs, requestTimeout: 0 }, (request, response) => {
      void this.#serve(request, response);
    });
    this.server.maxConnections = maxConnections;
    // Errors of a single connection end that connection only.
    this.server.on('clientError', (_error, connection) => connection.destroy());
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const gone = new AbortController();
    response.once('close', () => gone.abort(new SallyportError('link-closed', 'the client went away')));
    try {
      const url = new URL(request.url ?? '/', 'http://admin');
      const found = matchRoute(this.#deps.routes, request.method ?? '', url.pathname);
      if (found === undefined) throw new SallyportError('unsupported', `this node knows no ${request.method} ${url.pathname}`);
      if (found === 'wrong-method') throw new SallyportError('unsupported', `${url.pathname} does not take ${request.method}`);
      await answer(
        found,
        { params: found.params, query: url.searchParams, headers: request.headers, signal: gone.signal },
        request,
        response,
      );
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
    // Closing with unread bytes would cost the client the answer; it stops sending once it has it.
    request.resume();
    sendJson(response, statusOf(failure.code), failureBody(failure));
  }
}

/** What a client of an admin socket reads as an error. */
export const failureBody = ({ code, message, fields }: SallyportError): AdminFailure => ({
  error: { code, detail: message, fields },
});

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

/**
 * The routes of an admin socket: a fixed table from method and path to a function. What is not in the table does not
 * exist; a body is bounded and checked before the function sees it.
 */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { z } from 'zod';
import type { ErrorCode } from '../errors.ts';

export interface AdminRequest {
  /** The `:name` segments of the pattern, decoded. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  /** Fires when the client goes away. */
  readonly signal: AbortSignal;
}

/** Bytes for the client. `headers` are sent before the first of them. */
export interface StreamedAnswer {
  readonly headers: Readonly<Record<string, string>>;
  readonly content: AsyncIterable<Buffer>;
}

interface Base {
  readonly method: 'GET' | 'POST' | 'PUT';
  /** `/v1/items/:ref`. */
  readonly path: string;
}

export type AdminRoute =
  | (Base & {
      readonly kind: 'json';
      readonly body?: z.ZodType;
      readonly answer: (request: AdminRequest, body: unknown) => Promise<unknown>;
    })
  /** The body is handed on as it comes. */
  | (Base & { readonly kind: 'upload'; readonly answer: (request: AdminRequest, content: IncomingMessage) => Promise<unknown> })
  | (Base & { readonly kind: 'download'; readonly answer: (request: AdminRequest) => Promise<StreamedAnswer> });

/** The JSON of an answer that is no success. */
export interface AdminFailure {
  readonly error: { readonly code: ErrorCode; readonly detail: string; readonly fields: Readonly<Record<string, unknown>> };
}

export interface Matched {
  readonly route: AdminRoute;
  readonly params: Readonly<Record<string, string>>;
}

/** @returns the route, or whether the path exists with another method. */
export function matchRoute(routes: readonly AdminRoute[], method: string, path: string): Matched | 'wrong-method' | undefined {
  let known = false;
  for (const route of routes) {
    const params = matchPath(route.path, path);
    if (!params) continue;
    if (route.method === method) return { route, params };
    known = true;
  }
  return known ? 'wrong-method' : undefined;
}

function matchPath(pattern: string, path: string): Record<string, string> | undefined {
  const wanted = pattern.split('/');
  const given = path.split('/');
  if (wanted.length !== given.length) return undefined;
  const params: Record<string, string> = {};
  for (const [index, segment] of wanted.entries()) {
    const value = decoded(given[index] ?? '');
    if (value === undefined) return undefined;
    if (segment.startsWith(':')) params[segment.slice(1)] = value;
    else if (segment !== value) return undefined;
  }
  return params;
}

function decoded(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment);
  } catch {
    return undefined;
  }
}

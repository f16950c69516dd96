/**
 * One question to an HTTP authentication service: a POST of JSON and its answer, with a limit on time and size. Redirects are not
 * followed, and nothing is asked over a connection whose certificate is not good.
 */
import { request as plainRequest } from 'node:http';
import { type RequestOptions, request as secureRequest } from 'node:https';

export interface HttpAnswer {
  readonly status: number;
  readonly body: string;
}

export interface LoginRequest {
  readonly url: string;
  readonly body: unknown;
  /** `Basic …`; a secret. */
  readonly authorization?: string;
  /** PEM. */
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

const maxAnswerBytes = 64 * 1024;

/** @throws Error when there is no whole answer; its message holds nothing of the request. */
export function ask({ url, body, authorization, ca, cert, key }: LoginRequest, signal: AbortSignal): Promise<HttpAnswer> {
  const content = Buffer.from(JSON.stringify(body));
  const headers = {
    'content-type': 'application/json; charset=utf-8',
    'content-length': content.length,
    accept: 'application/json',
    ...(authorization === undefined ? {} : { authorization }),
  };
  const tls = { ...(ca === undefined ? {} : { ca }), ...(cert === undefined ? {} : { cert, key }) };
  const options: RequestOptions = { method: 'POST', headers, agent: false, signal, minVersion: 'TLSv1.2', ...tls };
  return new Promise((resolve, reject) => {
    const request = (url.startsWith('https:') ? secureRequest : plainRequest)(url, options);
    request.once('error', reject);
    request.once('response', (response) => {
      const chunks: Buffer[] = [];
      let length = 0;
      response.on('data', (chunk: Buffer) => {
        length += chunk.length;
        if (length > maxAnswerBytes) request.destroy(new Error('the answer is too large'));
        else chunks.push(chunk);
      });
      response.once('error', reject);
      response.once('close', () => {
        if (!response.complete) reject(new Error('the answer was cut off'));
        else resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString('utf8') });
      });
    });
    request.end(content);
  });
}

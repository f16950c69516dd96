/** Telling the other node under which keys this one may appear, and taking what it says of its own: `trust.put`, both ways. */
import { asSallyportError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { OwnIdentity } from '../pki/node-identity.ts';
import type { PeerTrust } from '../pki/peer-trust.ts';
import type { Answering, Side } from './handlers.ts';
import type { RequestParams, RequestResult } from './messages.ts';

type Put = (method: 'trust.put', params: RequestParams<'trust.put'>) => Promise<RequestResult<'trust.put'>>;

/** What the rooms of a node answer, and `trust.put` beside it. */
export function withTrust<S extends Side>(answering: Answering<S>, trust: Pick<PeerTrust, 'adopt'>): Answering<S> {
  const own = { 'trust.put': async (params: RequestParams<'trust.put'>) => ({ number: trust.adopt(params) }) };
  return { ...answering, requests: { ...answering.requests, ...own } };
}

/** Tells the other node when there is something to tell. Never rejects: it is told again with the next link. */
export async function tellTrust(identity: OwnIdentity, put: Put, log: Logger): Promise<void> {
  const { statement } = identity;
  if (!statement) return;
  try {
    const { number } = await put('trust.put', { statement: statement.statement, signature: statement.signature });
    identity.acknowledged(Math.min(number, statement.number));
  } catch (error) {
    const { code, message } = asSallyportError(error);
    log.warn({ code, detail: message }, 'the other node did not take what this one says of its keys');
  }
}

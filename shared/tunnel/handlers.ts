/**
 * The tunnel as its users see it: what one side can ask, and what it must answer. Only types; `connection.ts` and
 * `data-stream.ts` make them true.
 */
import type {
  NoteName,
  NoteParams,
  notes,
  RequestName,
  RequestParams,
  RequestResult,
  requests,
  StreamName,
  StreamParams,
  StreamResult,
  streams,
} from './messages.ts';

export type Side = 'inside' | 'dmz';
type BegunBy<Table, S extends Side> = {
  [M in keyof Table]: Table[M] extends { readonly by: S | 'both' } ? M : never;
}[keyof Table];

/** Names of the requests that side `S` may begin. */
export type RequestBy<S extends Side> = BegunBy<typeof requests, S> & RequestName;
export type NoteBy<S extends Side> = BegunBy<typeof notes, S> & NoteName;
export type StreamTo = { [M in StreamName]: (typeof streams)[M]['flow'] extends 'to-inside' ? M : never }[StreamName];
export type StreamFrom = Exclude<StreamName, StreamTo>;

/** Requests that the connection, or the tunnel's room, answers by itself. */
export type BuiltIn = 'link.hello' | 'link.ping' | 'trust.put';

/** What side `S` may ask. Every call has a deadline; an answer that breaks the schema ends the link. */
export interface Asking<S extends Side> {
  /** @throws SallyportError the code the other side answered, `request-timeout`, `link-closed`, `tunnel-down`. */
  request<M extends RequestBy<S>>(method: M, params: RequestParams<M>, signal?: AbortSignal): Promise<RequestResult<M>>;
  /** Sent when a link is there; dropped when none is. */
  note<N extends NoteBy<S>>(name: N, params: NoteParams<N>): void;
}

/** The inside also begins streams, each on a data socket of its own. */
export interface InsideLink extends Asking<'inside'> {
  /** Bytes from the DMZ. Iterating slowly slows the sender; leaving the loop early closes the data socket. */
  openStream<M extends StreamTo>(method: M, params: StreamParams<M>, signal: AbortSignal): Promise<AsyncIterable<Buffer>>;
  /** Bytes to the DMZ, then its answer. `source` is read only as fast as the socket takes it. */
  sendStream<M extends StreamFrom>(
    method: M,
    params: StreamParams<M>,
    source: AsyncIterable<Buffer>,
    signal: AbortSignal,
  ): Promise<StreamResult<M>>;
}

/** What a side answers: the requests and notes that the other side begins. `signal` fires when the link closes. */
export interface Answering<Other extends Side> {
  readonly requests: {
    readonly [M in Exclude<RequestBy<Other>, BuiltIn>]: (
      params: RequestParams<M>,
      signal: AbortSignal,
    ) => Promise<RequestResult<M>>;
  };
  readonly notes: {
    readonly [N in Exclude<NoteBy<Other>, 'link.bye'>]: (params: NoteParams<N>) => void;
  };
}

/** The streams that the DMZ serves. A thrown SallyportError reaches the inside as its code. */
export type StreamServing = {
  readonly [M in StreamTo]: (params: StreamParams<M>, signal: AbortSignal) => AsyncIterable<Buffer>;
} & {
  readonly [M in StreamFrom]: (
    params: StreamParams<M>,
    source: AsyncIterable<Buffer>,
    signal: AbortSignal,
  ) => Promise<StreamResult<M>>;
};

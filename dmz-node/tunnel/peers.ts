/**
 * The internal node that is connected at the moment, as the rest of the DMZ node sees it: something to ask. There is at most
 * one live link per internal identity; a newer one takes over.
 */
import { SallyportError } from '../../shared/errors.ts';
import type { Asking, NoteBy, RequestBy } from '../../shared/tunnel/handlers.ts';
import type { NoteParams, RequestParams, RequestResult } from '../../shared/tunnel/messages.ts';
import type { Peer } from './peer.ts';

export class Peers implements Asking<'dmz'> {
  #live: Peer | undefined;

  request<M extends RequestBy<'dmz'>>(method: M, params: RequestParams<M>, signal?: AbortSignal): Promise<RequestResult<M>> {
    const live = this.#live;
    if (!live) return Promise.reject(new SallyportError('tunnel-down', 'no internal node is connected', { method }));
    return live.asking.request(method, params, signal);
  }

  note<N extends NoteBy<'dmz'>>(name: N, params: NoteParams<N>): void {
    this.#live?.asking.note(name, params);
  }

  /** The live link, for status. */
  current(): Peer | undefined {
    return this.#live;
  }

  /** Called by the listener. @returns the link that was live before, or the newcomer itself when it came too late. */
  replace(peer: Peer): Peer | undefined {
    const before = this.#live;
    // Two hellos can overtake each other while the epoch is being made durable: the higher epoch is the newer link.
    if (before && before.facts.epoch > peer.facts.epoch) return peer;
    this.#live = peer;
    return before;
  }

  /** Called by the listener when a link is closed. */
  remove(peer: Peer): void {
    if (this.#live === peer) this.#live = undefined;
  }
}

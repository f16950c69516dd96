/**
 * Reads the events of the DMZ node over the tunnel into the records and the audit trail of the inside, as long as the link
 * lives and from where the last link ended. What comes is hostile: each line is bounded and checked against the schema, the
 * numbers must rise, and only names and fields of the catalogue are taken.
 *
 * Numbers are those of one record store. A node whose store was replaced is told apart as `edge1#2`, and its events are read
 * from the beginning, without those that are here already.
 */
import { TextDecoder } from 'node:util';
import type { Clock } from '../../shared/clock.ts';
import type { EventSink, Records } from '../../shared/durable/database.ts';
import { asSallyportError, SallyportError } from '../../shared/errors.ts';
import type { EventName } from '../../shared/events/catalogue.ts';
import { type EventRecord, event, type NumberedEvent } from '../../shared/events/event.ts';
import type { Logger } from '../../shared/log.ts';
import type { InsideLink } from '../../shared/tunnel/handlers.ts';
import { type WireEvent, wireEventSchema } from '../../shared/tunnel/messages.ts';
import { type AuditOperations, nextStore } from './audit-operations.ts';

export interface PeerEventsDeps {
  readonly link: Pick<InsideLink, 'openStream' | 'request'>;
  readonly records: Records<AuditOperations>;
  readonly events: EventSink;
  readonly clock: Clock;
  readonly log: Logger;
}

const maxLineBytes = 64 * 1024;
const retryMs = 2000;

export class PeerEvents {
  readonly #deps: PeerEventsDeps;

  constructor(deps: PeerEventsDeps) {
    this.#deps = deps;
  }

  /**
   * Reads until `signal` fires. A stream that fails is opened again; one that breaks the schema raises an alarm and is not,
   * until the next link. Files go on: a DMZ node of a newer version may tell of what is not known here yet.
   * @param node The name in the certificate of the DMZ node.
   */
  async follow(node: string, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.#read(node, signal);
      } catch (error) {
        const { code, message } = asSallyportError(error);
        if (signal.aborted) return;
        this.#deps.log.warn({ code, detail: message }, 'the events of the DMZ node could not be read');
        if (code === 'protocol-violation') {
          this.#tell(event('link.violation', this.#deps.clock.nowMs(), {}, { detail: message }));
          return;
        }
      }
      await this.#deps.clock.sleep(retryMs, signal).catch(() => {});
    }
  }

  #tell(record: EventRecord): void {
    this.#deps.events.emit([record]).catch((error: unknown) => this.#deps.log.error({ err: error }, 'an event was not recorded'));
  }

  async #read(node: string, signal: AbortSignal): Promise<void> {
    const { records } = this.#deps;
    let { store, last } = await records.call('audit.newestOf', { node });
    if (last && !(await this.#stillHas(last, signal))) {
      store = nextStore(store);
      this.#tell(event('store.replaced', this.#deps.clock.nowMs(), {}, { peer: node, last: last.seq }));
      last = undefined;
    }
    for await (const told of this.#batches(last?.seq ?? 0, signal)) {
      await records.call(
        'audit.store',
        told.map((one) => toRecord(one, store)),
      );
    }
  }

  /**
   * Whether the DMZ node tells the last event that we have of it like then. A store that was restored from a backup or begun
   * anew gives its numbers a second time: taken for the old ones, its events would be passed over.
   */
  async #stillHas(last: NumberedEvent, signal: AbortSignal): Promise<boolean> {
    const { lastEvent } = await this.#deps.link.request('status.get', {}, signal);
    if (lastEvent < last.seq) return false;
    for await (const [first] of this.#batches(last.seq - 1, signal)) {
      return first?.seq !== last.seq || (first.name === last.name && first.atMs === last.atMs && first.item === last.item);
    }
    return true;
  }

  async *#batches(after: number, signal: AbortSignal): AsyncGenerator<WireEvent[]> {
    const stream = await this.#deps.link.openStream('events.read', { after }, signal);
    let last = after;
    let rest = '';
    const decoder = new TextDecoder('utf-8', { fatal: true });
    for await (const bytes of stream) {
      const lines = (rest + decode(decoder, bytes)).split('\n');
      rest = lines.pop() ?? '';
      if (rest.length > maxLineBytes) throw violation('a line of events is too long');
      const events: WireEvent[] = [];
      for (const line of lines) {
        const told = parse(line);
        if (told.seq <= last) throw violation('the numbers of events do not rise');
        last = told.seq;
        events.push(told);
      }
      if (events.length > 0) yield events;
    }
  }
}

function decode(decoder: TextDecoder, bytes: Buffer): string {
  try {
    return decoder.decode(bytes, { stream: true });
  } catch (cause) {
    throw new SallyportError('protocol-violation', 'events that are not UTF-8', {}, { cause });
  }
}

function parse(line: string): WireEvent {
  if (line.length > maxLineBytes) throw violation('a line of events is too long');
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw new SallyportError('protocol-violation', 'an event that is not JSON', {}, { cause });
  }
  const checked = wireEventSchema.safeParse(value);
  if (!checked.success) throw violation(`an event that breaks the schema: ${checked.error.issues[0]?.message ?? ''}`);
  return checked.data;
}

const violation = (detail: string): SallyportError => new SallyportError('protocol-violation', detail);

const toRecord = ({ seq, name, ...event }: WireEvent, store: string): EventRecord => ({
  ...event,
  name: name as EventName,
  origin: { node: store, seq },
});

/**
 * Reads the events of the DMZ node over the tunnel into the records and the audit trail of the inside, as long as the link
 * lives and from where the last link ended. What comes is hostile: each line is bounded and checked against the schema, the
 * numbers must rise, and only names and fields of the catalogue are taken.
 */
import { TextDecoder } from 'node:util';
import type { Clock } from '../../shared/clock.ts';
import type { Records } from '../../shared/durable/database.ts';
import { asSallyportError, SallyportError } from '../../shared/errors.ts';
import type { EventName } from '../../shared/events/catalogue.ts';
import type { EventRecord } from '../../shared/events/event.ts';
import type { Logger } from '../../shared/log.ts';
import type { InsideLink } from '../../shared/tunnel/handlers.ts';
import { type WireEvent, wireEventSchema } from '../../shared/tunnel/messages.ts';
import type { AuditOperations } from './audit-operations.ts';

export interface PeerEventsDeps {
  readonly link: Pick<InsideLink, 'openStream'>;
  readonly records: Records<AuditOperations>;
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
   * Reads until `signal` fires. A stream that fails is opened again; one that breaks the schema is not, until the next link.
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
        if (code === 'protocol-violation') return;
      }
      await this.#deps.clock.sleep(retryMs, signal).catch(() => {});
    }
  }

  async #read(node: string, signal: AbortSignal): Promise<void> {
    let last = await this.#deps.records.call('audit.lastSeq', { node });
    const stream = await this.#deps.link.openStream('events.read', { after: last }, signal);
    let rest = '';
    const decoder = new TextDecoder('utf-8', { fatal: true });
    for await (const bytes of stream) {
      const lines = (rest + decode(decoder, bytes)).split('\n');
      rest = lines.pop() ?? '';
      if (rest.length > maxLineBytes) throw violation('a line of events is too long');
      const events: EventRecord[] = [];
      for (const line of lines) {
        const event = parse(line);
        if (event.seq <= last) throw violation('the numbers of events do not rise');
        last = event.seq;
        events.push(toRecord(event, node));
      }
      if (events.length > 0) await this.#deps.records.call('audit.store', events);
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

const toRecord = ({ seq, name, ...event }: WireEvent, node: string): EventRecord => ({
  ...event,
  name: name as EventName,
  origin: { node, seq },
});

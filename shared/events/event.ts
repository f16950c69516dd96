/** One state change, as it is recorded, audited and sent to the inside. */
import type { EventName, FieldsOf } from './catalogue.ts';

export type EventValue = string | number | boolean | null;

/** What the event belongs to. Ids are plain text here: events of the other node are data, not references. */
export interface EventContext {
  readonly trace?: string | undefined;
  readonly session?: string | undefined;
  readonly item?: string | undefined;
  readonly partner?: string | undefined;
}

export interface EventRecord extends EventContext {
  readonly name: EventName;
  readonly atMs: number;
  /** Who recorded it, when it was not this node; with the number it had there. */
  readonly origin?: { readonly node: string; readonly seq: number } | undefined;
  readonly fields: Readonly<Record<string, EventValue>>;
}

/** An event with the number that this node gave it. */
export interface NumberedEvent extends EventRecord {
  readonly seq: number;
}

/** Builds a record; the compiler checks the fields against the catalogue. */
export function event<N extends EventName>(name: N, atMs: number, context: EventContext, fields: FieldsOf<N>): EventRecord {
  return { name, atMs, ...context, fields: fields as Readonly<Record<string, EventValue>> };
}

/**
 * Every state change that Sallyport records, with a number that never changes its meaning. EVENTS.md is generated from these
 * tables (`npm run docs`), and a test fails when an event is recorded that is not here.
 */
import { itemEvents } from './catalogue-items.ts';
import { nodeEvents } from './catalogue-nodes.ts';
import { partnerEvents } from './catalogue-partners.ts';
import { trustEvents } from './catalogue-trust.ts';

export const eventCatalogue = { ...nodeEvents, ...partnerEvents, ...itemEvents, ...trustEvents } as const;

export type EventName = keyof typeof eventCatalogue;
type Fields<N extends EventName> = keyof (typeof eventCatalogue)[N]['fields'] & string;
export type FieldsOf<N extends EventName> = { readonly [F in Fields<N>]: string | number | boolean | null };

export function isEventName(text: string): text is EventName {
  return Object.hasOwn(eventCatalogue, text);
}

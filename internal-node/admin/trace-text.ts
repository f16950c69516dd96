/** A trace for people: what happened on both nodes in the order of time, then the cause and the next step. */
import { formatTime, formatTimeOfDay, type Output } from '../../shared/admin/output.ts';
import { formatSize } from '../../shared/config/units.ts';
import { type EventName, eventCatalogue } from '../../shared/events/catalogue.ts';
import { printable } from '../../shared/log.ts';
import type { TraceAnswer, TracedEvent } from './api.ts';

/** After one of these an item needs nobody any more, whatever failed before. */
const good: ReadonlySet<EventName> = new Set<EventName>([
  'item.delivered',
  'item.confirmed',
  'item.pulled',
  'item.downloaded',
  'item.offered',
  'item.stored',
  'auth.accepted',
  'session.opened',
  'link.up',
]);

/** Of these, the ones that say where the file got to. */
const ends: ReadonlySet<EventName> = new Set<EventName>(['item.delivered', 'item.pulled', 'item.downloaded']);

/** Of these, the ones that the DMZ can know of. */
const claimable: ReadonlySet<EventName> = new Set<EventName>(['item.downloaded', 'item.stored', 'session.opened', 'link.up']);

const isGood = ({ name, side }: TracedEvent): boolean => good.has(name) && (side === 'inside' || claimable.has(name));

/**
 * The newest event that something is wrong, unless a good end came after it. What the DMZ says, and when, is a claim: it
 * cannot make good what went wrong inside.
 */
export function causeOf(events: readonly TracedEvent[]): TracedEvent | undefined {
  let claimed = false;
  for (const event of events.toReversed()) {
    if (isGood(event)) {
      if (event.side === 'inside') return undefined;
      claimed = true;
    } else if (eventCatalogue[event.name].level !== 'info' && !(claimed && event.side === 'dmz')) return event;
  }
  return undefined;
}

export function printTrace({ events }: TraceAnswer, output: Output): void {
  const [first] = events;
  if (!first) return;
  for (const line of heading(events)) output.line(output.style('bold', line));
  let day = '';
  for (const event of events) {
    const today = formatTime(event.atMs).slice(0, 10);
    if (today !== day) output.line(output.style('dim', `${today} (UTC)`));
    day = today;
    output.line(eventLine(event, output));
  }
  const cause = causeOf(events);
  if (cause) {
    const { id, meaning, next } = eventCatalogue[cause.name];
    output.line(output.style('yellow', `CAUSE  ${meaning} ${details(cause)}`.trimEnd()));
    output.line(`       ${id} on ${printable(cause.node)}, ${formatTime(cause.atMs)} UTC`);
    if (next) output.line(`NEXT   ${next}`);
    return;
  }
  const ended = events.findLast((event) => ends.has(event.name) && isGood(event));
  const last = ended ?? events.findLast(isGood);
  if (last) output.line(output.style('green', `RESULT ${eventCatalogue[last.name].meaning}`));
}

function heading(events: readonly TracedEvent[]): string[] {
  const unique = (pick: (event: TracedEvent) => string | undefined): string[] => [
    ...new Set(events.map(pick).filter((value): value is string => value !== undefined)),
  ];
  const parts: [string, string[]][] = [
    ['partner', unique((event) => event.partner)],
    ['item', unique((event) => event.item)],
    ['trace', unique((event) => event.trace)],
  ];
  const shown = parts
    .filter(([, values]) => values.length > 0)
    .map(
      ([label, values]) =>
        `${label} ${values
          .slice(0, 5)
          .map((value) => printable(value))
          .join(', ')}`,
    );
  return shown.length > 0 ? [shown.join('   ')] : [];
}

function eventLine(event: TracedEvent, output: Output): string {
  const { id, level, meaning } = eventCatalogue[event.name];
  const style = level === 'alarm' ? 'red' : level === 'warning' ? 'yellow' : undefined;
  const text = `${meaning} ${details(event)}`.trimEnd();
  const side = event.side === 'dmz' ? 'dmz   ' : 'inside';
  return ` ${formatTimeOfDay(event.atMs)}  ${side}  ${id}  ${style ? output.style(style, text) : text}`;
}

/** The fields of an event, short: `order.csv, 4.1 KiB`. */
function details(event: TracedEvent): string {
  const parts: string[] = [];
  for (const [key, value] of Object.entries(event.fields)) {
    if (value === null || value === '') continue;
    parts.push(`${labelOf(key)} ${shownValue(key, value)}`);
  }
  return parts.length > 0 ? `[${parts.join(', ')}]` : '';
}

const labelOf = (key: string): string => key.replace(/(AtMs|Ms|Bytes)$/, '');

function shownValue(key: string, value: string | number | boolean): string {
  if (typeof value === 'number' && (key === 'size' || key.endsWith('Bytes'))) return formatSize(value);
  if (typeof value === 'number' && key.endsWith('AtMs')) return `${formatTime(value)} UTC`;
  if (key === 'sha256') return `${printable(String(value)).slice(0, 12)}…`;
  return printable(String(value), 200);
}

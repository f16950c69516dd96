/** docs/EVENTS.md: the catalogue of events, grouped by the hundreds of their numbers. */
import { eventCatalogue } from '../../shared/events/catalogue.ts';
import { code, generatedFrom, table } from './markdown.ts';

const groups: Readonly<Record<string, string>> = {
  '10': 'Nodes and storage',
  '11': 'Tunnel',
  '12': 'Policy',
  '13': 'Sessions and logins',
  '14': 'Uploads and names',
  '15': 'Dispatch',
  '16': 'Items inside',
  '17': 'Files for partners',
  '18': 'Keys and forgeries',
  '19': 'Staff and configuration',
};

type Entry = readonly [name: string, kind: (typeof eventCatalogue)[keyof typeof eventCatalogue]];

/** @throws Error when an event has a number of no group: name the group above. */
export function eventsPage(): string {
  const entries = Object.entries(eventCatalogue).sort(([, a], [, b]) => a.id.localeCompare(b.id));
  const byGroup = Object.groupBy(entries, ([, { id }]) => id.slice(3, 5));
  const sections = Object.entries(byGroup).map(([group, members]) => {
    const title = groups[group];
    if (!title) throw new Error(`no title for the events SP-${group}xx: name the group in events-page.ts`);
    return `## ${title}\n\n${table(['No', 'Event', 'Level', 'Meaning', 'Fields', 'What to do'], (members ?? []).map(row))}`;
  });
  return `${generatedFrom('shared/events/catalogue-*.ts')}

# Events

Every change of state is an event. A node records it in the same transaction as the change, then copies it to its audit trail:
one file per UTC day, one JSON object per line, each line carrying the SHA-256 of the line before in \`prev\`. The first line's
\`prev\` is 64 zeros. A number never changes its meaning and is never used again.

Each line has \`seq\` (rising, given by this node), \`time\` (ISO 8601, UTC), \`node\`, \`event\` (the number below), \`name\`, then
where they apply \`trace\`, \`session\`, \`item\` and \`partner\`, then the fields below. An event that the DMZ node recorded and
the internal node copied carries the DMZ node's name and its number there in \`originSeq\`: it is what the DMZ claims.

Levels: \`info\` is the normal course, \`warning\` is unusual, \`alarm\` means that somebody should look.

${sections.join('\n\n')}
`;
}

function row([name, { id, level, meaning, fields, next }]: Entry): string[] {
  const described = Object.entries(fields).map(([field, holds]) => `${code(field)} ${holds}`);
  return [id, code(name), level, meaning, described.join('; '), next];
}

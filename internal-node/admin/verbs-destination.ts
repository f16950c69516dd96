/** `destination list`, `destination resume` and `retry`: what operators do when a destination failed too often. */
import type { Program } from '../../shared/admin/cli.ts';
import { formatTime } from '../../shared/admin/output.ts';
import { printable } from '../../shared/log.ts';
import type { DestinationSummary } from './api.ts';
import { nodeOf } from './verbs-files.ts';

export function addDestinationVerbs(program: Program): void {
  const group = program.group('destination', 'look at destinations, and have a stopped one tried again');
  program.verb(
    {
      usage: 'list',
      summary: 'list the destinations: folders and programs, and those at which nothing is tried any more',
      examples: ['destination list', 'destination list --json'],
    },
    () => {},
    async (context) => {
      const destinations = await (await nodeOf(context)).get<readonly DestinationSummary[]>(['v1', 'destinations']);
      const { output } = context;
      if (output.json) return output.document(destinations);
      output.table(
        ['NAME', 'KIND', 'STATE', 'LAST FAILURE'],
        destinations.map(({ name, kind, errors, stoppedAtMs, reason }) => [
          name,
          kind,
          stateText(errors, stoppedAtMs),
          printable(reason ?? '', 200),
        ]),
      );
    },
    group,
  );
  program.verb(
    {
      usage: 'resume <name>',
      summary: 'have a destination tried again that was stopped after too many failures in a row',
      examples: ['destination resume archive', 'destination resume archive --json'],
    },
    () => {},
    async (context, _options, [name = '']) => {
      const answer = await (await nodeOf(context)).post<{ readonly resumed: boolean }>(['v1', 'destinations', name, 'resume']);
      if (context.output.json) return context.output.document({ destination: name, ...answer });
      context.output.line(answer.resumed ? `${name} is tried again` : `${name} was not stopped`);
    },
    group,
  );
  program.verb(
    {
      usage: 'retry <ref>',
      summary: 'have an item tried again that was given up: an id, a prefix of one, or PARTNER/Inbox/PATH',
      examples: ['retry acme/Inbox/INV_0231.csv', 'retry 7qk2m4xd'],
    },
    () => {},
    async (context, _options, [ref = '']) => {
      const answer = await (await nodeOf(context)).post<{ readonly item: string }>(['v1', 'items', ref, 'retry']);
      if (context.output.json) return context.output.document(answer);
      context.output.line(`item ${answer.item.slice(0, 8)} is tried again`);
    },
  );
}

function stateText(errors: number, stoppedAtMs: number | null): string {
  if (stoppedAtMs !== null) return `stopped ${formatTime(stoppedAtMs)} UTC`;
  return errors === 0 ? 'well' : `failing, ${errors} in a row`;
}

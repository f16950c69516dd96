/** `status`: one screen, what is wrong first. */
import type { Program } from '../../shared/admin/cli.ts';
import { systemClock } from '../../shared/clock.ts';
import type { InternalStatus } from './api.ts';
import { printStatus } from './status-text.ts';
import { nodeOf } from './verbs-files.ts';

export function addStatusVerb(program: Program): void {
  program.verb(
    {
      usage: 'status',
      summary: 'how the node, the tunnel and the items are; what is wrong comes first, with the next step',
      examples: ['status', 'status --json'],
    },
    () => {},
    async (context) => {
      const status = await (await nodeOf(context)).get<InternalStatus>(['v1', 'status']);
      if (context.output.json) return context.output.document(status);
      printStatus(status, systemClock.nowMs(), context.output);
    },
  );
}

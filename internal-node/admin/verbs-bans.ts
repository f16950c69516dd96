/** `bans`: the sources that the DMZ node refuses, and letting one in again. */
import { isIP } from 'node:net';
import { EarlyExit, type Program } from '../../shared/admin/cli.ts';
import { SallyportError } from '../../shared/errors.ts';
import { exitCodes } from '../../shared/exit-codes.ts';
import type { Bans } from './api.ts';
import { nodeOf } from './verbs-files.ts';

export function addBanVerbs(program: Program): void {
  const group = program.group('bans', 'sources that the DMZ node refuses because of what they did');
  program.verb(
    {
      usage: 'list',
      summary: 'list them, and for how long they still are',
      examples: ['bans list', 'bans list --json'],
    },
    () => {},
    async (context) => {
      const { output } = context;
      const { bans, total } = await (await nodeOf(context)).get<Bans>(['v1', 'bans']);
      if (output.json) return output.document({ bans, total });
      if (total === 0) return output.note('no source is banned');
      output.table(
        ['SOURCE', 'SECONDS LEFT', 'REASON'],
        bans.map(({ source, secondsLeft, reason }) => [source, String(secondsLeft), reason]),
      );
      if (total > bans.length) output.note(`and ${total - bans.length} more with less time left`);
    },
    group,
  );
  program.verb(
    {
      usage: 'lift <source>',
      summary: 'let an address, or an IPv6 /64, in again now',
      examples: ['bans lift 198.51.100.9', 'bans lift 2001:db8:0:1::/64'],
    },
    () => {},
    async (context, _options, [source = '']) => {
      const { output } = context;
      if (isIP(source.replace(/\/64$/, '')) === 0) throw new SallyportError('usage', `"${source}" is no address and no IPv6 /64`);
      const { lifted } = await (await nodeOf(context)).post<{ lifted: boolean }>(['v1', 'bans', 'lift'], { source });
      if (output.json) output.document({ source, lifted });
      else output.line(lifted ? `- ${source} is no longer banned` : `${source} was not banned`);
      if (!lifted) throw new EarlyExit(exitCodes.notFound);
    },
    group,
  );
}

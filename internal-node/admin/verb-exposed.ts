/** `exposed`: whose passwords a DMZ host can have seen since it was taken over. Keys and signatures tell it nothing. */
import { EarlyExit, type Program } from '../../shared/admin/cli.ts';
import { formatTime } from '../../shared/admin/output.ts';
import { systemClock } from '../../shared/clock.ts';
import { parseDuration, UnitError } from '../../shared/config/units.ts';
import { SallyportError } from '../../shared/errors.ts';
import { exitCodes } from '../../shared/exit-codes.ts';
import { loadMainSettings } from '../config.ts';
import { nodeClient } from '../node-client.ts';
import type { Exposed } from './api.ts';

export function addExposedVerb(program: Program): void {
  program.verb<{ readonly since: string }>(
    {
      usage: 'exposed',
      summary: 'after a DMZ host was taken over: who typed a password since then, and must get a new one',
      examples: ['exposed --since 36h', 'exposed --since 2026-11-20T08:00:00Z --json'],
    },
    (command) => command.requiredOption('--since <when>', 'a time (ISO 8601), or how long ago, like 36h or 7d'),
    async (context, { since }) => {
      const { output, configFile } = context;
      const sinceMs = checkedTime(since);
      const { admin } = await loadMainSettings(configFile);
      const client = nodeClient(context, admin.socket);
      const { typed } = await client.get<Exposed>(['v1', 'exposed'], { since: String(sinceMs) });
      if (output.json) output.document({ sinceMs, typed });
      else if (typed.length === 0) output.note(`nobody typed a password since ${formatTime(sinceMs)} UTC`);
      else {
        output.table(
          ['USER', 'PASSWORD', 'TIMES', 'FIRST (UTC)', 'LAST (UTC)'],
          typed.map(({ user, accepted, times, firstMs, lastMs }) => [
            user,
            accepted ? 'right: change it' : 'wrong',
            String(times),
            formatTime(firstMs),
            formatTime(lastMs),
          ]),
        );
        output.note('A wrong password may be the right one of another system, or almost right: tell those users too.');
      }
      if (typed.some(({ accepted }) => accepted)) throw new EarlyExit(exitCodes.checkFailed);
    },
  );
}

function checkedTime(text: string): number {
  const at = Date.parse(text);
  if (/^\d{4}-/.test(text) && Number.isFinite(at)) return Math.max(0, at);
  try {
    return Math.max(0, Math.floor(systemClock.nowMs() - parseDuration(text)));
  } catch (error) {
    if (error instanceof UnitError)
      throw new SallyportError('usage', `--since: ${error.message}, or a time like 2026-11-20T08:00:00Z`);
    throw error;
  }
}

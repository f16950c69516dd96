/** `plan` and `apply`: another configuration, first told, then put in force, with a way back. */
import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Program, VerbContext } from '../../shared/admin/cli.ts';
import type { AdminClient } from '../../shared/admin/client.ts';
import { formatTime } from '../../shared/admin/output.ts';
import { systemClock } from '../../shared/clock.ts';
import { parseDuration, UnitError } from '../../shared/config/units.ts';
import { SallyportError } from '../../shared/errors.ts';
import type { Applied } from '../apply-desk.ts';
import { type Change, type Changes, changesBetween } from '../changes.ts';
import { type InternalSettings, loadInternalSettings, loadPlannedSettings } from '../config.ts';
import { nodeClient } from '../node-client.ts';
import type { Replay } from '../replay.ts';
import type { PartnerSummary } from './api.ts';
import { historyLength, pastItems } from './past-items.ts';
import { replayed, sentenceOf, showDifferences } from './verb-replay.ts';
import { nodeOf } from './verbs-files.ts';

export function addApplyVerbs(program: Program): void {
  addPlan(program);
  addApply(program);
}

interface PlanOptions {
  readonly fromHistory: string;
  readonly diff?: boolean;
}

/** Live sessions that would end. */
interface Ended {
  readonly partner: string;
  readonly sessions: number | null;
}

interface Plan extends Omit<Changes, 'ended'> {
  readonly ended: readonly Ended[];
  /** Null when no node runs that could tell. */
  readonly history: Replay | null;
}

function addPlan(program: Program): void {
  program.verb<PlanOptions>(
    {
      usage: 'plan <folder>',
      summary: 'say what the configuration in a folder would change: partners, rights, rules, sessions, and past files',
      examples: ['plan config.new', 'plan config.new --from-history 7d --diff'],
    },
    (command) =>
      command
        .option('--from-history <time>', 'decide again what came in so long', '30d')
        .option('--diff', 'show each past file that differs, and the lines that decide'),
    async (context, { fromHistory, diff }, [folder = '']) => {
      const present = await loadInternalSettings(context.configFile);
      const planned = await loadPlannedSettings(await checkedFolder(folder), present.file);
      const plan = await planOf(context, present, planned, historyLength(fromHistory));
      if (context.output.json) context.output.document(plan);
      else show(context, plan, fromHistory, diff === true);
    },
  );
}

async function planOf(context: VerbContext, present: InternalSettings, planned: InternalSettings, pastMs: number): Promise<Plan> {
  const node = nodeClient(context, present.admin.socket);
  const changes = changesBetween(present, planned);
  try {
    const partners = await node.get<readonly PartnerSummary[]>(['v1', 'partners']);
    const sessionsOf = (name: string): number => partners.find((partner) => partner.name === name)?.sessions ?? 0;
    const ended = changes.ended.map((partner) => ({ partner, sessions: sessionsOf(partner) }));
    const history = replayed(await pastItems(node, systemClock.nowMs() - pastMs), present, planned);
    return { ...changes, ended, history };
  } catch (error) {
    if (!(error instanceof SallyportError && error.code === 'not-running')) throw error;
    return { ...changes, ended: changes.ended.map((partner) => ({ partner, sessions: null })), history: null };
  }
}

function show({ output }: VerbContext, { changes, ended, afterRestart, history }: Plan, past: string, all: boolean): void {
  output.table(['', 'WHAT', 'NAME', 'CHANGE', 'BY'], changes.flatMap(rowsOf));
  if (changes.length === 0) output.line('nothing would change');
  for (const { partner, sessions } of ended.filter((one) => one.sessions !== 0)) {
    output.line(`sessions of ${partner} would end${sessions === null ? '' : `: ${sessions}`}`);
  }
  if (afterRestart.length > 0) output.line(`only after a restart: ${afterRestart.join(', ')}`);
  if (history === null) output.note('The node does not run: past files and live sessions are not known.');
  else {
    if (all) showDifferences({ output }, history.differences);
    output.line(`${past}: ${sentenceOf(history, all)}`);
  }
  output.note('Nothing was changed.');
}

function rowsOf({ sign, kind, name, parts, by }: Change): readonly string[][] {
  const [first = '', ...rest] = parts;
  return [[sign, kind, name, first, by], ...rest.map((part) => ['', '', '', part, ''])];
}

interface ApplyOptions {
  readonly confirmTimeout?: string;
  readonly confirm?: boolean;
  readonly rollBack?: boolean;
}

function addApply(program: Program): void {
  program.verb<ApplyOptions>(
    {
      usage: 'apply [folder]',
      summary: 'check the configuration in a folder, put it in place of the one in use, and publish it',
      examples: ['apply config.new --confirm-timeout 5m', 'apply --confirm', 'apply --roll-back'],
    },
    (command) =>
      command
        .option('--confirm-timeout <time>', 'go back by itself after so long, unless --confirm comes: 5m')
        .option('--confirm', 'keep the configuration that waits')
        .option('--roll-back', 'take the configuration that waits back now'),
    async (context, { confirmTimeout, confirm, rollBack }, [folder]) => {
      const wanted = [folder, confirm, rollBack].filter((given) => given !== undefined).length;
      if (wanted !== 1) throw new SallyportError('usage', 'name a folder, or --confirm, or --roll-back');
      const { output } = context;
      const node = await nodeOf(context);
      if (folder === undefined) {
        const answer = await settle(node, confirm === true);
        if (output.json) output.document(answer);
        else output.line(confirm ? 'The configuration stays.' : 'The configuration of before is back.');
        return;
      }
      const applied = await node.post<Applied>(['v1', 'apply'], {
        folder: await checkedFolder(folder),
        confirmMs: confirmTimeout === undefined ? null : timeoutOf(confirmTimeout),
      });
      if (output.json) return output.document(applied);
      output.line(`In place; the DMZ node holds policy ${applied.policy}.`);
      if (applied.confirmUntilMs === null) return;
      output.line(`It goes back at ${formatTime(applied.confirmUntilMs)} UTC, unless you say: sallyport apply --confirm`);
    },
  );
}

/** @throws SallyportError `no-such-file` when nothing waits. */
async function settle(node: AdminClient, keep: boolean): Promise<object> {
  const answer = keep
    ? await node.post<{ readonly confirmed: boolean }>(['v1', 'apply', 'confirm'])
    : await node.post<{ readonly rolledBack: boolean }>(['v1', 'apply', 'roll-back']);
  if ('confirmed' in answer ? answer.confirmed : answer.rolledBack) return answer;
  throw new SallyportError('no-such-file', 'no configuration waits to be confirmed', { next: 'sallyport status' });
}

function timeoutOf(text: string): number {
  try {
    const ms = parseDuration(text);
    if (ms < 1000 || ms > 7 * 86_400_000) throw new UnitError('from 1s to 7d');
    return ms;
  } catch (error) {
    if (error instanceof UnitError) throw new SallyportError('usage', `--confirm-timeout ${text}: ${error.message}`);
    throw error;
  }
}

async function checkedFolder(folder: string): Promise<string> {
  const found = await stat(folder).catch(() => undefined);
  if (!found?.isDirectory()) throw new SallyportError('usage', `${folder} is no folder`);
  return resolve(folder);
}

/** `rules test --from-history`: what the configuration, or another one, would have done to the files of the last weeks. */
import { stat } from 'node:fs/promises';
import { EarlyExit, type VerbContext } from '../../shared/admin/cli.ts';
import { systemClock } from '../../shared/clock.ts';
import { SallyportError } from '../../shared/errors.ts';
import { exitCodes } from '../../shared/exit-codes.ts';
import { type InternalSettings, loadInternalSettings, loadPlannedSettings, withRulesOf } from '../config.ts';
import { Explainer } from '../explain.ts';
import { nodeClient } from '../node-client.ts';
import { asConfigured, asRecorded, type Difference, type PastItem, type Replay, replay } from '../replay.ts';
import { historyLength, pastItems } from './past-items.ts';

export interface ReplayOptions {
  readonly fromHistory: string;
  /** A folder or a file of rules; otherwise the configuration as it is on disk is compared with what was recorded. */
  readonly with?: string | undefined;
  readonly diff?: boolean | undefined;
  /** Only the items of this partner. */
  readonly partner?: string | undefined;
}

/** Differences in a document, and lines on a terminal. */
const mostShown = 10_000;

export async function replayHistory(context: VerbContext, options: ReplayOptions): Promise<void> {
  const { configFile, output } = context;
  const lengthMs = historyLength(options.fromHistory);
  const present = await loadInternalSettings(configFile);
  const other = options.with === undefined ? undefined : await otherSettings(options.with, present);
  const node = nodeClient(context, present.admin.socket);
  const items = (await pastItems(node, systemClock.nowMs() - lengthMs)).filter(
    ({ partner }) => options.partner === undefined || partner === options.partner,
  );
  const result = replayed(items, present, other);
  const compared = other ? 'the configuration in use' : 'what was recorded';
  if (output.json) output.document({ since: options.fromHistory, with: options.with ?? null, compared, ...result });
  else show(context, result, options.diff === true);
  if (result.differ > 0) throw new EarlyExit(exitCodes.checkFailed);
}

/** @param other Compared with the present configuration; without it, the present one is compared with what was recorded. */
export function replayed(items: readonly PastItem[], present: InternalSettings, other: InternalSettings | undefined): Replay {
  const now = deciderOf(present);
  return other ? replay(items, now, deciderOf(other), mostShown) : replay(items, asRecorded, now, mostShown);
}

const deciderOf = (settings: InternalSettings) =>
  asConfigured(new Explainer(settings), Object.keys(settings.authentication.directories).length > 0);

async function otherSettings(place: string, present: InternalSettings): Promise<InternalSettings> {
  const found = await stat(place).catch(() => undefined);
  if (!found) throw new SallyportError('usage', `--with ${place}: there is no such file or folder`);
  return found.isDirectory() ? loadPlannedSettings(place, present.file) : withRulesOf(present, place);
}

function show({ output }: VerbContext, result: Replay, all: boolean): void {
  if (all) showDifferences({ output }, result.differences);
  output.line(sentenceOf(result, all));
}

/** `12408 past items decided again: 12395 same, 13 differ…` */
export function sentenceOf({ items, same, differ, unrouted, refused, slowestMs }: Replay, all = true): string {
  const hint = differ > 0 && !all ? ' (show them: --diff)' : '';
  const worst = `slowest decision ${slowestMs.toFixed(2)} ms`;
  return `${items} past items decided again: ${same} same, ${differ} differ${hint}, ${unrouted} unrouted, ${refused} refused; ${worst}`;
}

export function showDifferences({ output }: Pick<VerbContext, 'output'>, differences: readonly Difference[]): void {
  output.table(
    ['PARTNER', 'PATH', 'BEFORE', 'BY', 'AFTER', 'BY'],
    differences.map(({ partner, path, before, after }) => [
      ...[partner, path, before.what, before.by || 'no rule'],
      ...[after.what, after.by || 'no rule'],
    ]),
  );
}

/** `can-i` and `rules test`: what would happen, before it does. They read the configuration and touch nothing. */
import { lstat } from 'node:fs/promises';
import { isIP } from 'node:net';
import { EarlyExit, type Program, type VerbContext } from '../../shared/admin/cli.ts';
import { systemClock } from '../../shared/clock.ts';
import { didYouMean } from '../../shared/config/suggest.ts';
import { formatSize, parseSize, UnitError } from '../../shared/config/units.ts';
import { SallyportError } from '../../shared/errors.ts';
import { exitCodes } from '../../shared/exit-codes.ts';
import { printable } from '../../shared/log.ts';
import type { OnExisting } from '../../shared/matching/actions.ts';
import { parseVirtualPath, type VirtualPath } from '../../shared/paths/virtual-path.ts';
import { type Permission, permissionNames } from '../../shared/permissions/words.ts';
import type { InsideDecision, Rule } from '../../shared/policy.ts';
import { loadInternalSettings } from '../config.ts';
import { Explainer, type PermissionAnswer, type RouteAnswer, type TargetAnswer, type Who } from '../explain.ts';
import { unknownPartner } from './partner-change.ts';
import { replayHistory } from './verb-replay.ts';

export function addExplainVerbs(program: Program): void {
  addCanI(program);
  addRulesTest(program);
}

interface CanIOptions {
  readonly as: string;
  readonly from?: string;
  readonly at?: string;
  readonly list?: boolean;
  readonly why?: boolean;
}

function addCanI(program: Program): void {
  program.verb<CanIOptions>(
    {
      usage: 'can-i [permission] [path]',
      summary: 'say whether a partner may do something, and which line of the configuration decides it',
      examples: ['can-i write /Inbox/x.csv --as acme --from 198.51.100.9', 'can-i --list --as acme'],
    },
    (command) =>
      command
        .requiredOption('--as <partner>', 'who would do it')
        .option('--from <address>', 'where he would come from; without it from anywhere')
        .option('--at <time>', 'when: 02:00, or 2026-11-22T02:00; default: now')
        .option('--why', 'also what each line says, in the order in which they are asked')
        .option('--list', 'every line in its order, or with a path every permission on it'),
    async (context, options, words) => {
      const explainer = await explainerFor(context, options.as);
      if (options.from !== undefined && isIP(options.from) === 0) {
        throw new SallyportError('usage', `--from ${options.from}: expected an address`);
      }
      const who: Who = { partner: options.as, from: options.from, atMs: moment(options.at) };
      if (options.list) {
        list(context, explainer, who, words);
        return;
      }
      const [permission, path] = words;
      if (permission === undefined || path === undefined) {
        throw new SallyportError('usage', 'name a permission and a path, or --list');
      }
      const answer = explainer.may(who, checkedPermission(permission), checkedPath(path));
      const asked = options.why ? explainer.why(who, checkedPath(path)) : undefined;
      const about = { partner: who.partner, from: who.from ?? null };
      if (asked && !context.output.json) {
        context.output.table(
          ['PATHS', 'SET', 'ANSWER', 'BY'],
          asked.map(({ on, set, by, answer: said }) => [on ?? 'all others', set.join(', ') || 'nothing', said, by]),
        );
      }
      if (context.output.json) context.output.document({ ...about, ...answer, ...(asked ? { lines: asked } : {}) });
      else context.output.line(`${answer.allowed ? 'yes' : 'no'}   ${reasonOf(answer)}`);
      if (!answer.allowed) throw new EarlyExit(exitCodes.refused);
    },
  );
}

function list({ output }: VerbContext, explainer: Explainer, who: Who, words: readonly string[]): void {
  const refusal = explainer.refusal(who);
  const document = { partner: who.partner, from: who.from ?? null, refusal };
  const [path] = words.slice(-1).map(checkedPath);
  if (path !== undefined) {
    const answers = explainer.allOn(who, path);
    const rows = answers.map((answer) => [answer.permission, answer.allowed ? 'yes' : 'no', reasonOf(answer)]);
    if (output.json) output.document({ ...document, path, answers });
    else output.table(['PERMISSION', 'MAY', 'BY'], rows);
    return;
  }
  const [lines, folders] = [explainer.lines(who), explainer.folders(who)];
  if (output.json) {
    output.document({ ...document, lines, folders });
    return;
  }
  for (const { path: folder, place, owner } of folders) {
    output.note(`${folder} stands for ${owner === undefined ? '' : `${owner}`}${place}`);
  }
  if (refusal) output.note(`${who.partner} cannot log in: ${refusal.reason} (${refusal.by})`);
  output.table(
    ['PATHS', 'MAY', 'BY'],
    lines.map(({ on, may, by }) => [on ?? 'all others', wordsFor(may), by]),
  );
}

function wordsFor(may: readonly Permission[]): string {
  if (may.length === permissionNames.length) return 'everything';
  return may.length === 0 ? 'nothing' : may.join(', ');
}

function reasonOf({ by, why, line }: PermissionAnswer): string {
  const said = line ? `(${line.on === null ? '' : `${line.on}: `}${line.set.join(', ') || 'nothing'})` : undefined;
  return printable([by, said, why].filter((part) => part !== null && part !== undefined).join('   '), 2000);
}

interface TestOptions {
  readonly partner?: string;
  readonly size: string;
  readonly at?: string;
  readonly fromHistory?: string;
  readonly with?: string;
  readonly diff?: boolean;
}

function addRulesTest(program: Program): void {
  const group = program.group('rules', 'look at the rules');
  program.verb<TestOptions>(
    {
      usage: 'test [path]',
      summary: 'say where a file would go, and what each rule says of it; or decide past files again',
      examples: [
        'rules test Inbox/INV_0231.csv --partner acme',
        'rules test big.zip --partner acme --size 2GiB --at 02:00',
        'rules test --from-history 30d --with rules.new.yaml --diff',
      ],
    },
    (command) =>
      command
        .option('--partner <name>', 'who would send it')
        .option('--size <size>', 'how large it would be', '1KiB')
        .option('--at <time>', 'when it would be complete: 02:00, or 2026-11-22T02:00; default: now')
        .option('--from-history <time>', 'instead of one file, all that came in so long: 30d')
        .option('--with <file>', 'with it: other rules, or the folder of another configuration')
        .option('--diff', 'with it: show each file that differs, and the lines that decide'),
    async (context, options, [text]) => {
      const { partner, fromHistory } = options;
      if (fromHistory !== undefined) {
        if (text !== undefined) throw new SallyportError('usage', 'name a path or --from-history, not both');
        await replayHistory(context, { ...options, fromHistory });
        return;
      }
      if (text === undefined || partner === undefined) {
        throw new SallyportError('usage', 'name a path and --partner, or --from-history');
      }
      const explainer = await explainerFor(context, partner);
      const path = inInbox(text);
      const size = checkedSize(options.size);
      const atMs = moment(options.at);
      const answer = explainer.route(partner, path, size, atMs);
      const targets = await Promise.all(answer.targets.map(looked));
      if (context.output.json) context.output.document(documentOf({ partner, path, size, atMs }, answer, targets));
      else show(context, answer, targets, size);
      if (answer.decision.route.action === 'unrouted') throw new EarlyExit(exitCodes.checkFailed);
    },
    group,
  );
}

/** With whether the name is taken. */
interface LookedAt extends TargetAnswer {
  readonly exists: boolean | null;
}

const looked = async (target: TargetAnswer): Promise<LookedAt> => ({
  ...target,
  exists: target.file === null ? null : await isThere(target.file),
});

const whenTaken: Readonly<Record<OnExisting, string>> = {
  number: 'a number will be added',
  replace: 'it will be replaced',
  fail: 'the delivery will fail and be tried again',
  skip: 'it will be passed over, and the file stays in the DMZ',
};

function show({ output }: VerbContext, { rules, decision }: RouteAnswer, targets: readonly LookedAt[], size: number): void {
  output.table(
    ['RULE', 'NAME', 'FOR', 'ANSWER'],
    rules.map(({ rule, answer }) => [rule.source, rule.name, conditionsOf(rule), answerText(answer)]),
  );
  const { route } = decision;
  if (route.action === 'unrouted') output.line(`→ no rule takes it: it waits, with an alarm   (${formatSize(size)})`);
  else output.line(`→ ${printable(`${actionText(decision)}   by ${decision.rule}`, 2000)}   (${formatSize(size)})`);
  for (const { destination, file, exists, onExisting } of targets) {
    const note = exists && onExisting ? `   exists: ${whenTaken[onExisting]}` : '';
    output.line(file === null ? `  program ${destination}` : `  file ${printable(file, 2000)}${note}`);
  }
  output.note('Nothing was touched.');
}

const answerText = (answer: RouteAnswer['rules'][number]['answer']): string =>
  answer === 'matches' || answer === 'not reached' ? answer : `no: ${answer}`;

function conditionsOf({ partner, path, minBytes, maxBytes }: Rule): string {
  const parts = [
    ...(partner === undefined ? [] : [`partner ${partner}`]),
    ...(path === undefined ? [] : [`path ${path}`]),
    ...(minBytes === undefined ? [] : [`from ${formatSize(minBytes)}`]),
    ...(maxBytes === undefined ? [] : [`up to ${formatSize(maxBytes)}`]),
  ];
  return parts.join(', ') || 'everything';
}

function actionText({ route, plan }: InsideDecision): string {
  if (plan) return `${plan.action} to ${plan.targets.map(({ destination }) => destination).join(', ')}`;
  return route.action === 'outbox' ? `into the Outbox of ${route.partner}` : route.action;
}

function documentOf(
  facts: { readonly partner: string; readonly path: string; readonly size: number; readonly atMs: number },
  { decision, rules }: RouteAnswer,
  targets: readonly LookedAt[],
): object {
  const told = rules.map(({ rule, answer }) => ({ name: rule.name, source: rule.source, answer }));
  const action = decision.plan?.action ?? decision.route.action;
  return { ...facts, action, route: decision.route, rule: decision.rule, targets, rules: told };
}

async function explainerFor({ configFile }: VerbContext, partner: string): Promise<Explainer> {
  const explainer = new Explainer(await loadInternalSettings(configFile));
  if (!explainer.has(partner)) throw unknownPartner(partner, explainer.partners);
  return explainer;
}

function checkedPermission(text: string): Permission {
  const name = text.replace(/^allow-/, '');
  const found = permissionNames.find((known) => known === name);
  if (found) return found;
  throw new SallyportError('usage', `there is no permission "${text}"${didYouMean(name, permissionNames)}`, {
    next: `the permissions are ${permissionNames.join(', ')}`,
  });
}

function checkedPath(text: string): VirtualPath {
  try {
    return parseVirtualPath(text);
  } catch (error) {
    if (!(error instanceof SallyportError)) throw error;
    throw new SallyportError('bad-name', `no partner can name ${printable(text, 200)}: ${error.message}`, {}, { cause: error });
  }
}

/** `Inbox/a.csv`, `/Inbox/a.csv` or `a.csv`. */
const inInbox = (text: string): VirtualPath => checkedPath(/^\/|^Inbox\//.test(text) ? text : `/Inbox/${text}`);

function checkedSize(text: string): number {
  try {
    return parseSize(text);
  } catch (error) {
    if (error instanceof UnitError) throw new SallyportError('usage', `--size ${text}: ${error.message}`);
    throw error;
  }
}

/** On the clock of this host. */
function moment(text: string | undefined): number {
  const nowMs = systemClock.nowMs();
  if (text === undefined) return nowMs;
  const clock = /^([01]?\d|2[0-3]):([0-5]\d)$/.exec(text);
  if (clock) return new Date(nowMs).setHours(Number(clock[1]), Number(clock[2]), 0, 0);
  const atMs = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2})?(Z|[+-]\d{2}:\d{2})?)?$/.test(text)
    ? Date.parse(text.length === 10 ? `${text}T00:00` : text)
    : Number.NaN;
  if (Number.isNaN(atMs)) throw new SallyportError('usage', `--at ${text}: expected 02:00, or 2026-11-22T02:00`);
  return atMs;
}

const isThere = (file: string): Promise<boolean> =>
  lstat(file).then(
    () => true,
    () => false,
  );

/**
 * What in a configuration is allowed, and hardly meant: rules and permission lines that can never decide anything, rules that
 * take the same files, files that no rule takes. What is told is certain, with an example; what is not told may still be so.
 */
import { matcherOf, splitExpression } from '../shared/matching/expression.ts';
import { Router } from '../shared/matching/routing.ts';
import { unreachableRules } from '../shared/matching/unreachable.ts';
import type { Rule } from '../shared/policy.ts';
import type { ExplainedSettings } from './explain.ts';

export interface Finding {
  readonly kind: 'never' | 'overlap' | 'untaken' | 'unused';
  /** `conf.d/rules.yaml:8`; empty when it is about no line. */
  readonly by: string;
  readonly text: string;
}

/** Rules that are compared with each other: the first ones. */
const mostCompared = 300;

export function findings(settings: ExplainedSettings, atMs: number): readonly Finding[] {
  return [
    ...rulesThatNeverDecide(settings, atMs),
    ...linesThatNeverDecide(settings),
    ...overlaps(settings, atMs),
    ...untaken(settings, atMs),
    ...groupsOfNobody(settings),
  ];
}

function rulesThatNeverDecide({ rules, partners, policy }: ExplainedSettings, atMs: number): readonly Finding[] {
  const behind = unreachableRules(rules).map(({ rule, behind: earlier }) => ({
    rule,
    why: `${earlier.name} (${earlier.source}) takes all of it`,
  }));
  const names = Object.keys(partners);
  const forNobody = rules
    .filter(({ partner }) => partner !== undefined && !names.some((name) => matcherOf(partner, policy)(name, atMs)))
    .map((rule) => ({ rule, why: `no partner fits ${rule.partner}` }));
  const misplaced = rules
    .filter(({ path }) => path !== undefined && alternatives(path)?.every((glob) => glob.startsWith('/')))
    .map((rule) => ({ rule, why: 'paths are those below /Inbox, without a leading slash' }));
  return [...behind, ...forNobody, ...misplaced].map(({ rule, why }) => ({
    kind: 'never',
    by: rule.source,
    text: `rule "${rule.name}" never decides anything: ${why}`,
  }));
}

/** The alternatives of a glob; undefined for every other expression, and for one that is negated. */
function alternatives(text: string): readonly string[] | undefined {
  const { letter, body } = splitExpression(text);
  if ((letter !== undefined && letter !== 'g') || body.trimStart().startsWith('!')) return undefined;
  return body.split('|').map((part) => part.trim());
}

function linesThatNeverDecide({ permissions }: ExplainedSettings): readonly Finding[] {
  return [...permissions.partners.values(), ...permissions.groups.values()].flatMap(({ paths }) =>
    paths.flatMap(({ on = '*', source }, index): Finding[] => {
      const earlier = paths.slice(0, index).find((line) => line.on === on || line.on === '*' || line.on === 'g/*/');
      const never = (why: string): Finding[] => [
        { kind: 'never', by: source, text: `the line for ${on} never decides anything: ${why}` },
      ];
      if (earlier) return never(`that for ${earlier.on} (${earlier.source}) is before it`);
      const misplaced = alternatives(on)?.every((glob) => /^[^/*?[]/.test(glob)) === true;
      return misplaced ? never('paths begin with a slash, as partners see them') : [];
    }),
  );
}

/** Two rules that lead to different places, and a file that both are for. */
function overlaps({ rules, policy, partners }: ExplainedSettings, atMs: number): readonly Finding[] {
  const names = Object.keys(partners);
  const certain = new Set(unreachableRules(rules).map(({ rule }) => rule));
  const compared = rules
    .slice(0, mostCompared)
    .filter((rule) => rule.path !== undefined && !isEverything(rule) && !certain.has(rule));
  const takes = new Map(compared.map((rule) => [rule, matcherOf(rule.path ?? '*', policy)]));
  const common = (one: Rule, two: Rule): string | undefined => {
    const both = (rule: Rule, name: string): boolean => rule.partner === undefined || matcherOf(rule.partner, policy)(name, atMs);
    if (!names.some((name) => both(one, name) && both(two, name))) return undefined;
    if (largest(one) < (two.minBytes ?? 0) || largest(two) < (one.minBytes ?? 0)) return undefined;
    return candidates(one.path ?? '', two.path ?? '').find(
      (path) => takes.get(one)?.(path, atMs) && takes.get(two)?.(path, atMs),
    );
  };
  return compared.flatMap((later, index) =>
    compared.slice(0, index).flatMap((earlier): Finding[] => {
      if (JSON.stringify([earlier.route, earlier.plan]) === JSON.stringify([later.route, later.plan])) return [];
      const path = common(earlier, later);
      if (path === undefined) return [];
      const text = `rules "${earlier.name}" (${earlier.source}) and "${later.name}" overlap: ${path} goes by the first`;
      return [{ kind: 'overlap', by: later.source, text }];
    }),
  );
}

const isEverything = ({ path }: Rule): boolean => path === undefined || path === '*' || path === 'g/*/';
const largest = ({ maxBytes }: Rule): number => maxBytes ?? Number.MAX_SAFE_INTEGER;

/** Paths that both of two globs may fit: the beginning of one with the end of the other. Each is tried, so none need fit. */
function candidates(one: string, two: string): readonly string[] {
  const [first, second] = [alternatives(one) ?? [], alternatives(two) ?? []];
  return first.flatMap((a) =>
    second.flatMap((b) => {
      const [plainA, plainB] = [witness(a), witness(b)];
      const [ends, begins] = [literal(a), literal(b)];
      const joined = [`${ends.head}x${begins.tail}`, `${begins.head}x${ends.tail}`];
      return [plainA, plainB, ...joined, `${ends.head}${begins.head}x${begins.tail}${ends.tail}`];
    }),
  );
}

/** A path that a glob without other conditions fits. */
const witness = (glob: string): string =>
  glob
    .replace(/\[([^!\]])[^\]]*\]/g, '$1')
    .replaceAll('?', 'x')
    .replaceAll('*', 'x');

/** What a glob begins and ends with. */
function literal(glob: string): { readonly head: string; readonly tail: string } {
  const plain = (text: string | undefined): string => witness(text ?? '');
  if (!glob.includes('*')) return { head: '', tail: plain(glob) };
  return { head: plain(glob.slice(0, glob.indexOf('*'))), tail: plain(glob.slice(glob.lastIndexOf('*') + 1)) };
}

/** A name that nobody writes a rule for: only a rule for everything takes it. */
const unheardOf = 'zq7x/zq7x.zq7x';

function untaken({ rules, partners, policy }: ExplainedSettings, atMs: number): readonly Finding[] {
  const router = new Router(rules, policy);
  const left = Object.keys(partners).filter(
    (partner) => router.decide({ partner, path: unheardOf, size: 1024, atMs }).route.action === 'unrouted',
  );
  if (left.length === 0) return [];
  const whose = left.length > 5 ? `${left.slice(0, 5).join(', ')} and ${left.length - 5} more` : left.join(', ');
  return [{ kind: 'untaken', by: '', text: `what no rule names waits, unrouted: files of ${whose}` }];
}

function groupsOfNobody({ groups, partners, place }: ExplainedSettings): readonly Finding[] {
  const used = new Set(['default', ...Object.values(partners).flatMap((partner) => partner.groups ?? [])]);
  return Object.keys(groups)
    .filter((name) => !used.has(name))
    .map((name) => ({ kind: 'unused', by: place('groups', name), text: `nobody is in the group "${name}"` }));
}

/**
 * What would happen, and which line says so: the answers behind `sallyport can-i` and `sallyport rules test`. The functions
 * that decide are those that the nodes ask (shared/permissions, shared/matching, accounts); here is only what is told of it.
 * Nothing is done, and no node needs to run.
 */
import { join } from 'node:path';
import { SallyportError } from '../shared/errors.ts';
import { insideAction, type OnExisting } from '../shared/matching/actions.ts';
import { matcherOf } from '../shared/matching/expression.ts';
import { Router, type RoutingFacts, type RuleAnswer } from '../shared/matching/routing.ts';
import type { FolderGrant } from '../shared/paths/layout.ts';
import { belowInbox, inbox, isWithin, pathKey, type VirtualPath } from '../shared/paths/virtual-path.ts';
import { mayDo, mayFetch } from '../shared/permissions/acts.ts';
import { Permissions } from '../shared/permissions/permissions.ts';
import { type Permission, type PermissionLine, permissionNames } from '../shared/permissions/words.ts';
import type { InsideDecision } from '../shared/policy.ts';
import type { InternalSettings } from './config.ts';
import { accountsOf, type PartnerAccount } from './policy/accounts.ts';

/** What of the configuration answers depend on. */
export interface ExplainedSettings
  extends Pick<InternalSettings, 'partners' | 'groups' | 'permissions' | 'place' | 'rules' | 'destinations'> {
  readonly policy: { readonly timeZone: string };
}

export interface Who {
  readonly partner: string;
  /** Source address; undefined: from anywhere. */
  readonly from: string | undefined;
  readonly atMs: number;
}

export interface PermissionAnswer {
  readonly permission: Permission;
  readonly path: string;
  readonly allowed: boolean;
  /** In words, when it is not the line alone. */
  readonly why: string | null;
  /** `conf.d/partners.yaml:11`; `default`, or null when no line decided. */
  readonly by: string | null;
  /** What the deciding line says. */
  readonly line: { readonly on: string | null; readonly set: readonly string[] } | null;
}

/** What one line allows. */
export interface LineAnswer {
  readonly on: string | null;
  readonly may: readonly Permission[];
  readonly by: string;
}

/** A line, and what it says of a path. */
export interface AskedLine {
  readonly on: string | null;
  readonly set: readonly string[];
  readonly by: string;
  readonly answer: 'decides' | 'no' | 'not reached';
}

export interface BrokenExample {
  readonly path: string;
  readonly rule: string;
  readonly by: string;
  /** What happens instead, in words. */
  readonly decided: string;
}

export interface TargetAnswer {
  readonly destination: string;
  /** Absolute path of the file, before its number if the name is taken; null when it is given to a program. */
  readonly file: string | null;
  readonly onExisting: OnExisting | null;
}

export interface RouteAnswer {
  readonly decision: InsideDecision;
  readonly rules: readonly RuleAnswer[];
  /** What each destination would get, in their order. */
  readonly targets: readonly TargetAnswer[];
}

/** @throws SallyportError `no-such-file` when there is no such partner. */
export class Explainer {
  readonly #settings: ExplainedSettings;
  readonly #accounts: ReadonlyMap<string, PartnerAccount>;
  readonly #router: Router;
  /** By partner and address: compiled once for many questions. */
  readonly #compiled = new Map<string, Permissions>();

  constructor(settings: ExplainedSettings) {
    this.#settings = settings;
    this.#accounts = accountsOf({ ...settings, timeZone: settings.policy.timeZone });
    this.#router = new Router(settings.rules, { timeZone: settings.policy.timeZone });
  }

  get partners(): readonly string[] {
    return [...this.#accounts.keys()];
  }

  has(partner: string): boolean {
    return this.#accounts.has(partner);
  }

  /** Why nobody can log in as the partner now, whatever he knows. */
  refusal({ partner, from, atMs }: Who): { readonly reason: string; readonly by: string } | null {
    const refusal = this.#account(partner).refusal(from, atMs);
    return refusal ? { reason: refusal.reason, by: refusal.source } : null;
  }

  may(who: Who, permission: Permission, path: VirtualPath): PermissionAnswer {
    const permissions = this.#permissions(who);
    const answer = mayDo(permissions, permission, path, who.atMs);
    const refusal = this.refusal(who);
    const base = { permission, path, line: answer.line ? { on: answer.line.on ?? null, set: answer.line.set } : null };
    if (refusal) return { ...base, allowed: false, why: `no login: ${refusal.reason}`, by: refusal.by, line: null };
    if (answer.impossible !== undefined) return { ...base, allowed: false, why: answer.impossible, by: null, line: null };
    const looking = answer.allowed && permission === 'read' && !mayFetch(permissions, path, who.atMs);
    const why = looking ? 'attributes only: nobody can read back what was uploaded' : null;
    return { ...base, allowed: answer.allowed, why: answer.line ? why : 'no line allows it', by: answer.line?.source ?? null };
  }

  /** What each line says of a path, in the order in which they are asked. */
  why(who: Who, path: VirtualPath): readonly AskedLine[] {
    return this.#permissions(who)
      .explain(pathKey(path), who.atMs)
      .map(({ line: { on, set, source }, answer }) => ({ on: on ?? null, set, by: source, answer }));
  }

  /** All permissions on one path. */
  allOn(who: Who, path: VirtualPath): readonly PermissionAnswer[] {
    return permissionNames.map((permission) => this.may(who, permission, path));
  }

  /** The lines in the order in which they are tried. */
  lines(who: Who): readonly LineAnswer[] {
    const { lines } = this.#account(who.partner).grantFor(who.from).permissions;
    return lines.map((line) => ({ on: line.on ?? null, may: allowedBy(line, who.atMs), by: line.source }));
  }

  /** What the partner sees beside /Inbox and /Outbox. */
  folders(who: Who): readonly FolderGrant[] {
    return this.#account(who.partner).grantFor(who.from).folders ?? [];
  }

  /** Where a file would go. @throws SallyportError `usage` for a path outside of the Inbox. */
  route(partner: string, path: VirtualPath, size: number, atMs: number): RouteAnswer {
    const { place } = this.#account(partner);
    if (!isWithin(path, inbox) || path === inbox) {
      throw new SallyportError('usage', `rules are for files below /Inbox, not for ${path}`);
    }
    const { destinations } = this.#settings;
    const explained = this.#router.explain({ partner, path: belowInbox(path), size, atMs, place });
    const { plan } = explained.decision;
    const targets = (plan?.targets ?? []).map(({ destination, file }): TargetAnswer => {
      const folder = destinations.find(({ name }) => name === destination);
      if (!plan || !folder) return { destination, file: null, onExisting: null };
      const onExisting = insideAction(plan.action).onExisting ?? plan.onExisting ?? folder.onExisting;
      return { destination, file: join(folder.folder, ...file.split('/')), onExisting };
    });
    return { ...explained, targets };
  }

  /** The decision alone, for one of very many files. `item`: its id, which may be part of its name inside. */
  decide(facts: RoutingFacts & { readonly item: string }): InsideDecision {
    return this.#router.decide({ ...facts, place: this.#accounts.get(facts.partner)?.place });
  }

  /** How large one file of a partner may be, and the line that says so. */
  largestFile(partner: string): { readonly bytes: number; readonly by: string } {
    const bytes = this.#account(partner).grantFor(undefined).maxFileBytes;
    return { bytes, by: this.#settings.place('partners', partner, 'maxFileSize') };
  }

  /** Examples of rules (`expect:`) that another rule decides, or none. */
  brokenExamples(atMs: number): readonly BrokenExample[] {
    const { rules, policy } = this.#settings;
    return rules.flatMap((rule) => {
      const partner = this.partners.find((name) => rule.partner === undefined || matcherOf(rule.partner, policy)(name, atMs));
      const size = Math.max(rule.minBytes ?? 0, Math.min(1024, rule.maxBytes ?? 1024));
      return (rule.expect ?? []).flatMap((path): readonly BrokenExample[] => {
        const broken = { path, rule: rule.name, by: rule.source };
        if (partner === undefined) return [{ ...broken, decided: 'there is no partner whom the rule is for' }];
        const decided = this.#router
          .explain({ partner, path, size, atMs })
          .rules.find(({ answer }) => answer === 'matches')?.rule;
        if (decided === rule) return [];
        return [{ ...broken, decided: decided ? `${decided.name} (${decided.source}) decides it` : 'no rule takes it' }];
      });
    });
  }

  #permissions({ partner, from }: Who): Permissions {
    const key = `${partner} ${from ?? ''}`;
    let permissions = this.#compiled.get(key);
    if (!permissions) {
      const grant = this.#account(partner).grantFor(from);
      permissions = new Permissions(grant.permissions, grant.folders);
      this.#compiled.set(key, permissions);
    }
    return permissions;
  }

  #account(partner: string): PartnerAccount {
    const account = this.#accounts.get(partner);
    if (account) return account;
    throw new SallyportError('no-such-file', `there is no partner "${partner}"`, {
      next: 'sallyport partner list shows the partners',
    });
  }
}

function allowedBy(line: PermissionLine, atMs: number): readonly Permission[] {
  const alone = new Permissions({ timeZone: 'UTC', lines: [{ set: line.set, source: line.source }] });
  return permissionNames.filter((permission) => alone.decide(permission, '/', atMs).allowed);
}

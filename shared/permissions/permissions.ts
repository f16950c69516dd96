/**
 * Who may do what: the one function that the DMZ node enforces and `sallyport can-i` explains. It looks at nothing but the
 * lines and the path, and what it is not told to allow it refuses.
 *
 * The first line whose expression matches the path decides, and it alone; without one, the line for all other paths. In a
 * line a denial is stronger than everything else.
 */
import { asSallyportError, SallyportError } from '../errors.ts';
import { compileExpression, type Expression } from '../matching/expression.ts';
import { maxSubjectLength, Subject } from '../matching/subject.ts';
import { type FolderGrant, Layout } from '../paths/layout.ts';
import type { GrantedPermissions, Permission, PermissionLine } from './words.ts';

export interface PermissionDecision {
  readonly allowed: boolean;
  /** The line that decided; undefined when none is for this path. */
  readonly line: PermissionLine | undefined;
}

/** What one line says of a path. */
export interface LineAnswer {
  readonly line: PermissionLine;
  readonly answer: 'decides' | 'no' | 'not reached';
}

interface Compiled {
  readonly line: PermissionLine;
  readonly on: Expression | undefined;
}

export class Permissions {
  /** The folders that there are beside the Inbox and the Outbox. */
  readonly layout: Layout;
  readonly #lines: readonly Compiled[];
  readonly #rest: PermissionLine | undefined;

  /** @throws SallyportError `config-invalid` naming the line whose expression does not compile. */
  constructor({ lines, timeZone }: GrantedPermissions, folders: readonly FolderGrant[] = []) {
    this.layout = new Layout(folders);
    this.#lines = lines.filter(({ on }) => on !== undefined).map((line) => ({ line, on: compile(line, timeZone) }));
    this.#rest = lines.find(({ on }) => on === undefined);
  }

  /** @param path As the partner sees it, absolute. Never throws. */
  decide(permission: Permission, path: string, atMs: number): PermissionDecision {
    const line = this.#lineFor(path, atMs) ?? this.#rest;
    return { allowed: path.length <= maxSubjectLength && line !== undefined && allows(line, permission), line };
  }

  /** What each line says of a path; those behind the one that decides are not asked. Never throws. */
  explain(path: string, atMs: number): readonly LineAnswer[] {
    const decides = this.#lineFor(path, atMs) ?? this.#rest;
    let reached = false;
    const all = [...this.#lines.map(({ line }) => line), ...(this.#rest ? [this.#rest] : [])];
    return all.map((line): LineAnswer => {
      if (reached) return { line, answer: 'not reached' };
      reached = line === decides;
      return { line, answer: reached ? 'decides' : 'no' };
    });
  }

  #lineFor(path: string, atMs: number): PermissionLine | undefined {
    if (this.#lines.length === 0) return undefined;
    const subject = new Subject(path);
    return this.#lines.find(({ on }) => on?.test(subject, atMs))?.line;
  }
}

function allows({ set }: PermissionLine, permission: Permission): boolean {
  if (set.includes('deny-full-control')) return false;
  return set.includes('allow-full-control') || set.includes(`allow-${permission}`);
}

function compile({ on, source }: PermissionLine, timeZone: string): Expression | undefined {
  if (on === undefined) return undefined;
  try {
    return compileExpression(on, { timeZone });
  } catch (cause) {
    throw new SallyportError('config-invalid', `${source}: ${asSallyportError(cause).message}`, { source }, { cause });
  }
}

const userPlaceholder = /\$\{USER\}/g;

/** `${USER}` in an expression, for one user: his name and nothing that is special in the expression. */
export function forUser(expression: string, user: string): string {
  const isRegex = /^[me]\//.test(expression);
  const literal = isRegex ? user.replace(/[.-]/g, '\\$&') : user;
  return expression.replaceAll(userPlaceholder, () => literal);
}

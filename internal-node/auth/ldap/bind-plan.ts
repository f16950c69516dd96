/**
 * How a typed user name becomes something a directory can be asked about. Pure. What is typed as part of a DN is escaped, what
 * is typed as a DN is parsed and bounded to the bases, so that no name reaches an entry outside of them.
 */
import { asSallyportError } from '../../../shared/errors.ts';
import { DirectoryFault } from './directory-fault.ts';
import type { DirectoryOptions } from './directory-options.ts';
import { comparable, escapedFilterValue, escapedValue, folded, formatName, isBelow, parseName } from './distinguished-name.ts';

export interface Candidate {
  /** The base of the configuration that this is below. */
  readonly base: string;
  /** Where the one entry is looked for. */
  readonly search: { readonly base: string; readonly scope: 'base' | 'sub'; readonly filter: string };
}

export interface BindPlan {
  readonly candidates: readonly Candidate[];
  /** What is bound with, when it is not the DN of a candidate: the name as Active Directory takes it. */
  readonly bindName?: string;
  /** The same for all ways to type the same user, as far as a directory compares them alike. */
  readonly key: string;
}

const anything = '(objectClass=*)';
/** These hold a name with its domain. */
const qualified = ['userprincipalname', 'mail'];

/** @throws DirectoryFault `refused` when the name can be nobody's here. */
export function planFor(user: string, options: DirectoryOptions): BindPlan {
  if (/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(user)) throw new DirectoryFault('refused', 'the name has characters that no name has');
  switch (options.bind) {
    case 'parent':
      return {
        key: folded(user),
        candidates: options.bases.map((base) => entryAt(`${options.usernameAttribute}=${escapedValue(user)},${base}`, base)),
      };
    case 'relative':
      return relative(user, options);
    case 'absolute':
      return absolute(user, options);
    case 'direct':
      return direct(user, options);
  }
}

const entryAt = (dn: string, base: string): Candidate => ({ base, search: { base: dn, scope: 'base', filter: anything } });

function relative(user: string, { bases }: DirectoryOptions): BindPlan {
  const first = parsed(user);
  return { key: comparable(first), candidates: bases.map((base) => entryAt(`${formatName(first)},${base}`, base)) };
}

function absolute(user: string, { bases }: DirectoryOptions): BindPlan {
  const name = parsed(user);
  const base = bases.find((text) => isBelow(name, parseName(text)));
  if (base === undefined) throw new DirectoryFault('refused', 'the name is below none of the bases', 'unknown user');
  return { key: comparable(name), candidates: [entryAt(formatName(name), base)] };
}

function direct(user: string, { bases, usernameAttribute, usernameSuffix = '' }: DirectoryOptions): BindPlan {
  const local = user.slice(user.lastIndexOf('\\') + 1);
  const bindName = user.includes('@') || user.includes('\\') ? user : user + usernameSuffix;
  const isQualified = qualified.includes(usernameAttribute.toLowerCase());
  const value = isQualified ? (local.includes('@') ? local : local + usernameSuffix) : local.replace(/@.*$/s, '');
  if (value === '') throw new DirectoryFault('refused', 'the name is empty', 'unknown user');
  const filter = `(${usernameAttribute}=${escapedFilterValue(value)})`;
  return {
    key: folded(local.replace(/@.*$/s, '')),
    bindName,
    candidates: bases.map((base) => ({ base, search: { base, scope: 'sub', filter } })),
  };
}

function parsed(user: string): ReturnType<typeof parseName> {
  try {
    return parseName(user);
  } catch (error) {
    throw new DirectoryFault('refused', asSallyportError(error).message, 'unknown user');
  }
}

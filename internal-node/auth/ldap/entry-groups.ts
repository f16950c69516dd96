/**
 * The groups of an entry: the first line of `groupMapping` that fits any of its values decides, in the order of the lines,
 * whatever order the server gives values in. Groups that groups are members of are read one by one, so that it works with every
 * server; Active Directory tells them all at once in `tokenGroups`, as SIDs.
 */
import { matcherOf, splitExpression } from '../../../shared/matching/expression.ts';
import { type DirectoryConnection, type DirectoryEntry, textsOf } from './directory-connection.ts';
import { DirectoryFault } from './directory-fault.ts';
import type { DirectoryOptions } from './directory-options.ts';
import { comparable, parseName } from './distinguished-name.ts';

type Settings = Pick<DirectoryOptions, 'groupMapping' | 'baseGroups' | 'nestedGroups'>;

export interface EntryGroups {
  readonly groups: readonly string[];
  /** Which line decided, for people. */
  readonly because: string;
}

const membership = 'memberof';
const mostGroups = 200;

/** @param values Of an attribute, as texts. @returns undefined when nothing gives it a group though something should. */
export function groupsOf(settings: Settings, values: (attribute: string) => readonly string[]): EntryGroups | undefined {
  const { groupMapping: lines, baseGroups } = settings;
  for (const line of lines) {
    if ('fallback' in line) continue;
    const fits = matching(line.matches);
    if (values(line.attribute).some(fits)) return { groups: line.groups, because: `${line.attribute} is ${line.matches}` };
  }
  const [first] = lines;
  if (first && 'fallback' in first) return { groups: first.fallback, because: 'no line of groupMapping fits' };
  if (baseGroups.length > 0) return { groups: baseGroups, because: 'baseGroups' };
  return lines.length > 0 ? undefined : { groups: [], because: 'no groups are configured' };
}

function matching(text: string): (value: string) => boolean {
  const { letter } = splitExpression(text);
  const plain = letter === undefined || letter === 'g';
  const test = matcherOf(plain ? text.toLowerCase() : text);
  return (value) => test(plain ? value.toLowerCase() : value);
}

/** Attributes that lines look at. */
export const groupAttributes = ({ groupMapping }: Settings): readonly string[] =>
  groupMapping.flatMap((line) => ('fallback' in line ? [] : [line.attribute]));

/** What a group says of itself is found by its DN. @throws DirectoryFault `failed` when there are too many to know them all. */
export async function allMemberships(entry: DirectoryEntry, connection: Pick<DirectoryConnection, 'search'>): Promise<string[]> {
  const found = new Map<string, string>();
  let next = [...textsOf(entry, membership)];
  while (next.length > 0) {
    const fresh = next.filter((dn) => !found.has(keyOf(dn)));
    for (const dn of fresh) found.set(keyOf(dn), dn);
    if (found.size > mostGroups) throw new DirectoryFault('failed', `the user is in more than ${mostGroups} groups`);
    next = [];
    for (const dn of new Set(fresh)) next.push(...(await membershipsOf(dn, connection)));
  }
  return [...found.values()];
}

async function membershipsOf(dn: string, connection: Pick<DirectoryConnection, 'search'>): Promise<readonly string[]> {
  try {
    const read = { base: dn, scope: 'base', filter: '(objectClass=*)', attributes: [membership], most: 1 } as const;
    const [group] = (await connection.search(read)).entries;
    return group ? textsOf(group, membership) : [];
  } catch (error) {
    // A group of another domain, or one that may not be read: its name counts all the same.
    if (error instanceof DirectoryFault && error.kind !== 'failed') return [];
    throw error;
  }
}

function keyOf(dn: string): string {
  try {
    return comparable(parseName(dn));
  } catch {
    return dn.toLowerCase();
  }
}

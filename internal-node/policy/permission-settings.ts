/** The `permissions:` of partners and groups as people write them, and as they travel with a grant. */
import { z } from 'zod';
import { SallyportError } from '../../shared/errors.ts';
import { compileExpression } from '../../shared/matching/expression.ts';
import { forUser } from '../../shared/permissions/permissions.ts';
import { type GrantedPermissions, type PermissionLine, permissionSet } from '../../shared/permissions/words.ts';
import { expressionText } from '../../shared/policy.ts';

const on = expressionText
  .max(440, 'at most 440 characters, so that there is room for the name of the user')
  .superRefine((text, context) => {
    try {
      compileExpression(forUser(text, 'u'.repeat(63)));
    } catch (error) {
      if (!(error instanceof SallyportError)) throw error;
      context.addIssue({ code: 'custom', message: error.message });
    }
  })
  .describe('Matching expression on the path as the partner sees it, `/Inbox/*.csv`; a placeholder stands for his name.');

export const permissionSettingsSchema = z.strictObject({
  global: permissionSet.default([]).describe('For all paths that no line of `paths` is for.'),
  paths: z
    .array(z.strictObject({ on, set: permissionSet.describe('Replaces `global` there.') }))
    .max(64)
    .default([])
    .describe('The first line whose expression matches decides, and it alone.'),
});
type Written = z.output<typeof permissionSettingsSchema>;

/** Tells where a part of the settings stands: `conf.d/partners.yaml:12`. */
export type SourceOf = (path: readonly PropertyKey[]) => string;

/** Settings with the place of each line. */
export interface PermissionSettings {
  readonly global: PermissionLine;
  readonly paths: readonly PermissionLine[];
}

export const withSources = ({ global, paths }: Written, source: SourceOf): PermissionSettings => ({
  global: { set: global, source: source(global.length > 0 ? ['global'] : []) },
  paths: paths.map((line, index) => ({ ...line, source: source(['paths', index]) })),
});

/** Of a partner who has none of his own and no group with any. */
export const fullControl: PermissionSettings = {
  global: { set: ['allow-full-control'], source: 'default' },
  paths: [],
};

/**
 * What one partner may do: his own permissions if he has any; otherwise the lines of all his groups in their order, with the
 * global line of the first that has permissions.
 */
export function permissionsFor(
  user: string,
  own: PermissionSettings | undefined,
  groups: readonly (PermissionSettings | undefined)[],
  timeZone: string,
): GrantedPermissions {
  const given = (own ? [own] : groups).filter((settings) => settings !== undefined);
  const all = given.length > 0 ? given : [fullControl];
  const lines = all.flatMap(({ paths }) => paths);
  const [first = fullControl] = all;
  return {
    timeZone,
    lines: [...lines.map((line) => ({ ...line, on: forUser(line.on ?? '*', user) })), first.global],
  };
}

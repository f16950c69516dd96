/** The permissions by name, and how lines of them are written down (docs/permissions.md). */
import { z } from 'zod';

export const permissionNames = [
  ...(['read', 'list', 'traverse', 'create-folder', 'write'] as const),
  ...(['rename', 'delete-folder', 'delete-file', 'set-attributes'] as const),
] as const;
export type Permission = (typeof permissionNames)[number];

export const permissionWords = [
  'allow-full-control',
  'deny-full-control',
  ...permissionNames.map((name) => `allow-${name}` as const),
] as const;
export type PermissionWord = (typeof permissionWords)[number];

export const permissionSet = z.array(z.enum(permissionWords)).max(permissionWords.length);

export const permissionLineSchema = z.strictObject({
  /** Tested against the path as the partner sees it; absent: for all paths that no other line is for. */
  on: z.string().min(1).max(520).optional(),
  set: permissionSet,
  /** `conf.d/partners.yaml:12`, for people. */
  source: z.string().max(256),
});
export type PermissionLine = z.infer<typeof permissionLineSchema>;

/** Lines in their order. */
export const permissionsSchema = z.strictObject({
  /** Of dates in expressions. */
  timeZone: z.string().min(1).max(64),
  lines: z.array(permissionLineSchema).max(256),
});
export type GrantedPermissions = z.infer<typeof permissionsSchema>;

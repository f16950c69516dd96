/** `authentication.staff` of the configuration: members of staff who log in to the admin socket with an account of a directory. */
import { z } from 'zod';
import { duration } from '../shared/config/units.ts';
import { asSallyportError } from '../shared/errors.ts';
import { compileExpression, splitExpression } from '../shared/matching/expression.ts';

/** From the one who may least: each may what those before it may. */
export const staffRoles = ['auditor', 'operator', 'administrator'] as const;
export type StaffRole = (typeof staffRoles)[number];

const roleRule = z
  .strictObject({
    attribute: z.string().regex(/^[A-Za-z][A-Za-z0-9;-]{0,63}$/, 'the name of an attribute'),
    matches: z.string().min(1).max(520),
    role: z.enum(staffRoles),
  })
  .superRefine(({ matches }, context) => {
    try {
      splitExpression(matches);
      compileExpression(matches);
    } catch (error) {
      context.addIssue({ code: 'custom', path: ['matches'], message: asSallyportError(error).message });
    }
  });

export const staffSchema = z
  .strictObject({
    directory: z.string().max(32).describe('One of `directories`: who its servers, bases and way to bind are.'),
    managerFilter: z
      .string()
      .max(2048)
      .regex(/^\(.*\)$/s, 'a filter in parentheses, like (memberOf=cn=transfer-staff,dc=example,dc=com)')
      .optional()
      .describe('Only whose entry satisfies it may log in as staff; without it nobody.'),
    role: z.enum(staffRoles).default('auditor').describe('The role of whoever no line of `roles` fits.'),
    roles: z
      .array(roleRule)
      .max(50)
      .default([])
      .describe('Which values of which attribute make which role; the first that fits decides.'),
    tokenLife: duration({ min: '1m', max: '24h' }).prefault('8h').describe('How long a login lasts.'),
    required: z
      .boolean()
      .default(false)
      .describe(
        'Also who reaches the admin socket as the user of the node must log in. Keep a way in for when the directory is down.',
      ),
  })
  .optional()
  .describe('Staff who log in with `sallyport login`; docs/authentication.md.');

export type StaffSettings = NonNullable<z.output<typeof staffSchema>>;

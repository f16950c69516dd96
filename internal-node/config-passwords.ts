/** `authentication.passwords` of the configuration: what a password that is set must be like, and how old it may get. */
import { resolve } from 'node:path';
import { z } from 'zod';
import { path, whole } from '../shared/config/fields.ts';
import { duration } from '../shared/config/units.ts';
import { formerPasswords, passwordLength } from './password-strength.ts';

export const passwordsSchema = z
  .strictObject({
    minimumLength: whole(passwordLength.least, 128)
      .default(passwordLength.least)
      .describe('Characters of a password that is set.'),
    blocklist: path().optional().describe('File of passwords that nobody may set, one a line, whatever their case.'),
    maxAge: duration({ min: '1d' })
      .optional()
      .describe('A password that is older must be changed at the next login over SFTP; left out, none must.'),
    remember: whole(0, formerPasswords).default(formerPasswords).describe('Passwords of before that may not come back.'),
    invitation: duration({ min: '10m', max: '90d' }).prefault('3d').describe('How long the code of an invitation is good.'),
  })
  .prefault({})
  .describe('Passwords of own accounts. There are no rules about kinds of characters, and none should be added: length counts.');

export type PasswordSettings = z.output<typeof passwordsSchema>;

/** With absolute paths. */
export const resolvedPasswords = ({ blocklist, ...given }: PasswordSettings, folder: string): PasswordSettings =>
  blocklist === undefined ? given : { ...given, blocklist: resolve(folder, blocklist) };

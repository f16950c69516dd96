/** Destinations as people write them in the main file: folders, and programs that get files. */
import { isAbsolute, resolve } from 'node:path';
import { z } from 'zod';
import { path, whole } from '../shared/config/fields.ts';
import { duration } from '../shared/config/units.ts';
import { existingChoices, type OnExisting } from '../shared/matching/actions.ts';
import type { MakeFolders } from './folder-walk.ts';

/** Keys that mean something only for one of the two kinds. */
const onlyFor = { folder: ['onExisting', 'makeFolders', 'fileMode'], program: ['timeout', 'concurrent'] } as const;

export const destinationSchema = z
  .strictObject({
    folder: path().optional().describe('Folder into which files are delivered.'),
    onExisting: z
      .enum(existingChoices)
      .optional()
      .describe('When the name is taken: number (default), replace, fail and try again, or skip and leave the file in the DMZ.'),
    makeFolders: z
      .enum(['all', 'parent', 'none'])
      .optional()
      .describe('Missing folders above a file that are made: all (default), only the one that it lies in, or none.'),
    fileMode: z
      .string()
      .regex(/^0[0-7]{3}$/, 'expected four octal digits in quotes, like "0640"')
      .transform((digits) => Number.parseInt(digits, 8))
      .optional()
      .describe('Mode of delivered files, in quotes; default "0640".'),
    program: z
      .array(z.string().min(1).max(1024))
      .min(1)
      .max(64)
      .optional()
      .describe('Instead of a folder: absolute path of a program and its arguments; it gets each file behind `--`.'),
    timeout: duration({ min: '1s', max: '10m' }).optional().describe('How long the program may run; default 30s.'),
    concurrent: whole(1, 64).optional().describe('Runs of the program at the same time; default 2.'),
    stopAfter: whole(0, 1_000_000)
      .optional()
      .describe('Failures in a row after which nothing more is tried there; 0: never. Default 0, of programs 10.'),
  })
  .superRefine((given, context) => {
    const wrong = (message: string, key?: string): void =>
      context.addIssue({ code: 'custom', message, input: given, ...(key === undefined ? {} : { path: [key] }) });
    if ((given.folder === undefined) === (given.program === undefined)) {
      wrong('exactly one of folder and program says what it is');
      return;
    }
    const other = given.folder === undefined ? 'folder' : 'program';
    for (const key of onlyFor[other]) if (given[key] !== undefined) wrong(`is only for a ${other}`, key);
    if (given.program !== undefined && !isAbsolute(given.program[0] ?? '')) wrong('begins with an absolute path', 'program');
  });

/** Name of a destination. */
export const destinationName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'letters, digits, dot, underscore and hyphen, at most 64');

export interface Destination {
  readonly name: string;
  readonly folder: string;
  readonly onExisting: OnExisting;
  readonly makeFolders: MakeFolders;
  readonly fileMode: number;
  readonly stopAfter: number;
}

export interface ProgramSettings {
  readonly name: string;
  readonly command: readonly string[];
  readonly timeoutMs: number;
  readonly concurrent: number;
  readonly stopAfter: number;
}

type Given = Readonly<Record<string, z.output<typeof destinationSchema>>>;

export function destinationsOf(given: Given, folder: string): readonly Destination[] {
  return Object.entries(given).flatMap(([name, one]) => {
    if (one.folder === undefined) return [];
    const { onExisting = 'number', makeFolders = 'all', fileMode = 0o640, stopAfter = 0 } = one;
    return [{ name, folder: resolve(folder, one.folder), onExisting, makeFolders, fileMode, stopAfter }];
  });
}

export function programsOf(given: Given): readonly ProgramSettings[] {
  return Object.entries(given).flatMap(([name, { program, timeout = 30_000, concurrent = 2, stopAfter = 10 }]) =>
    program === undefined ? [] : [{ name, command: program, timeoutMs: timeout, concurrent, stopAfter }],
  );
}

/** What `sallyport.yaml` and the files that it includes may hold, key by key. `config.ts` reads them by these schemas. */
import { dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import { fingerprint, freeSpace, logSettings, nodeName, path, threads, version, whole } from '../shared/config/fields.ts';
import type { Loaded } from '../shared/config/load.ts';
import { address, duration } from '../shared/config/units.ts';
import { hostTimeZone, isTimeZone } from '../shared/matching/dates.ts';
import { authenticationSchema } from './config-authentication.ts';
import { destinationName, destinationSchema } from './config-destinations.ts';
import { networkSchema } from './config-network.ts';
import { proofSchema } from './config-proof.ts';
import { fallbackSchema, rulesSchema } from './config-rules.ts';
import { refusePrivateKeys } from './config-secrets.ts';
import { groupsSchema, partnersSchema, sharedOutboxesSchema } from './policy/partners.ts';
import { uploadsSchema } from './policy/uploads.ts';

const tunnel = z
  .strictObject({
    classicalKeyExchange: z
      .boolean()
      .default(false)
      .describe('Admit a TLS key exchange that is not post-quantum. Only for an old DMZ node; status warns of it.'),
    dataSockets: whole(1, 64).default(32).describe('Streams of contents at the same time, each on a socket of its own.'),
  })
  .prefault({});

const outgoing = z
  .strictObject({
    folder: path().describe('Files below FOLDER/PARTNER/ are offered to that partner.'),
    settle: duration({ min: '100ms', max: '1h' }).prefault('2s').describe('A file that did not change for so long is finished.'),
    rescan: duration({ min: '1s', max: '1d' }).prefault('10s').describe('How often the whole folder is looked through.'),
    expires: duration({ min: '1m' }).prefault('30d').describe('Offered files that nobody fetched are removed after this time.'),
    after: z.enum(['delete', 'archive']).default('archive').describe('What becomes of the file once it is offered.'),
    ignore: z
      .array(z.string().min(1).max(256))
      .max(100)
      .default(['.*', '*.tmp', '*.part', '*.partial', '*.filepart', '~*'])
      .describe('Globs on the file name that are never offered.'),
  })
  .describe('Folder that staff drop files into; leave it out to offer files only with `sallyport push`.');

const limits = z
  .strictObject({
    maxSessions: whole(1, 100_000).default(1000).describe('Partner sessions of the DMZ node at the same time.'),
    maxSessionsPerPartner: whole(1, 10_000).default(64).describe('Of these, of one partner.'),
    maxHandlesPerSession: whole(1, 4096).default(256).describe('Open files and folders of one session.'),
    idle: duration({ min: '1s' }).prefault('15m').describe('A session without a request or a moving byte ends.'),
    partialTtl: duration({ min: '1m' }).prefault('7d').describe('How long an interrupted upload can be resumed.'),
    tombstoneTtl: duration({ min: '1h' }).prefault('30d').describe('How long the DMZ node remembers that a file was taken.'),
  })
  .prefault({});

const policy = z
  .strictObject({
    expires: duration({ min: '1m', max: '365d' })
      .prefault('24h')
      .describe('How long the DMZ node works by the last policy when the tunnel is down.'),
    host: z
      .string()
      .regex(/^[A-Za-z0-9][A-Za-z0-9.:-]{0,252}$/, 'a host name or an address')
      .optional()
      .describe('Name under which partners reach the DMZ node, for `sallyport partner sheet`.'),
    banner: z.string().max(2048).default('').describe('Shown to partners before login.'),
    timeZone: z
      .string()
      .refine(isTimeZone, 'is no time zone; write one like Europe/Berlin or UTC')
      .default(hostTimeZone)
      .describe('Time zone of dates in expressions (t/…/); default: of this host.'),
    limits,
    uploads: uploadsSchema.prefault({}).describe('When uploads of all partners are complete, and more about them.'),
  })
  .prefault({});

const sessions = z
  .strictObject({
    maxLife: duration({ min: '1m' })
      .prefault('24h')
      .describe('A session ends at the latest after this time; an upload under way is kept as a partial.'),
    grace: duration().prefault('15m').describe('How long after its end a session still vouches for uploads it had finished.'),
  })
  .prefault({});

const pull = z
  .strictObject({
    concurrency: whole(1, 64)
      .default(4)
      .describe('Items that are fetched at the same time; of small ones, up to 1 MiB, four times as many.'),
    poll: duration({ min: '100ms', max: '1h' }).prefault('15s').describe('How often the DMZ node is asked, besides its hints.'),
    retryFirst: duration({ min: '100ms' }).prefault('1s').describe('Wait before the second attempt; it doubles from there.'),
    retryMost: duration({ min: '1s', max: '12h' }).prefault('5m').describe('Longest wait between two attempts.'),
  })
  .prefault({});

export const internalConfigSchema = z.strictObject({
  version,
  name: nodeName,
  purpose: z
    .enum(['production', 'staging'])
    .default('production')
    .describe(
      'staging: this node is for trying things out, and `sallyport redteam` may attack it. Never for one that is in use.',
    ),
  state: path().default('state').describe('Folder of the records, keys and staging, mode 0700.'),
  keys: path().optional().describe('Folder of the keys, mode 0700; default: keys in the state folder.'),
  dmz: z
    .strictObject({
      address: address().describe('Host and port of the tunnel listener of the DMZ node.'),
      fingerprint: fingerprint('dmz').describe('SPD-…: the only DMZ node that is talked to.'),
    })
    .optional()
    .describe('Written by `sallyport connect`.'),
  tunnel,
  include: z
    .array(z.string().min(1).max(256))
    .max(32)
    .default(['conf.d/**/*.yaml'])
    .describe('Globs of files with partners and rules, relative to this file.'),
  destinations: z.record(destinationName, destinationSchema).default({}).describe('Where rules deliver to, by name.'),
  outgoing: outgoing.optional(),
  policy,
  sessions,
  authentication: authenticationSchema,
  pull,
  staging: z
    .strictObject({ minimumFree: freeSpace().prefault('1GiB').describe('Nothing is fetched when less is free: 5% or 2GiB.') })
    .prefault({}),
  drainTimeout: duration({ max: '1d' })
    .prefault('30s')
    .describe('How long deliveries may go on after the node was told to stop.'),
  network: networkSchema,
  admin: z
    .strictObject({
      socket: path().optional().describe('Unix socket of the admin commands; default: admin/socket in the state folder.'),
    })
    .prefault({}),
  workers: z.strictObject({ seal: threads }).prefault({}),
  proof: proofSchema,
  log: logSettings,
});

/** What a file of `conf.d` may hold. Files are checked by `partSchema`, which refuses private keys first. */
export const partContents = z.strictObject({
  partners: partnersSchema.optional().describe('Partners by name.'),
  groups: groupsSchema.optional().describe('Groups by name: what their members have unless they have it of their own.'),
  sharedOutboxes: sharedOutboxesSchema
    .optional()
    .describe(
      'Names of Outboxes that several partners see as a folder (`folders`); files go into them as into that of a partner.',
    ),
  rules: rulesSchema.optional().describe('Rules in the order in which they are tried; files in the order of their names.'),
  fallback: fallbackSchema.optional().describe('What becomes of files that no rule takes; one of all files may say so.'),
});
export const partSchema = z.unknown().superRefine(refusePrivateKeys).pipe(partContents);

/** The main file as it was checked. */
export type Settings = z.output<typeof internalConfigSchema>;
/** A file of `conf.d` as it was checked. */
export type Part = z.output<typeof partSchema>;

/** The shared Outboxes of all files. */
export const sharedOf = (parts: readonly Loaded<Part>[]): readonly string[] => [
  ...new Set(parts.flatMap((part) => part.value.sharedOutboxes ?? [])),
];

/** Of the admin commands, absolute. @param file The main file in its place. */
export function socketOf(value: Settings, file: string): string {
  const folder = dirname(file);
  if (value.admin.socket !== undefined) return resolve(folder, value.admin.socket);
  return join(resolve(folder, value.state), 'admin', 'socket');
}

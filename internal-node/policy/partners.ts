/**
 * The `partners:` and `groups:` maps of the configuration: who may log in, how, and what he may do. The schema refuses clear passwords,
 * pasted private keys and weak keys at load time, and no message quotes what it refuses.
 */
import { isIP } from 'node:net';
import { z } from 'zod';
import { size } from '../../shared/config/units.ts';
import { SallyportError } from '../../shared/errors.ts';
import { type FolderGrant, Layout } from '../../shared/paths/layout.ts';
import { inbox, isWithin, parseVirtualPath, type VirtualPath } from '../../shared/paths/virtual-path.ts';
import { ftpsOfPartnerSchema, partnerName } from '../../shared/policy.ts';
import { type PasswordHash, parsePasswordHash } from '../password-phc.ts';
import { formerPasswords } from '../password-strength.ts';
import { parseSshPublicKeyLine, type RegisteredKey } from '../ssh-public-key.ts';
import { checkHome } from './home.ts';
import { permissionSettingsSchema } from './permission-settings.ts';
import { uploadsSchema } from './uploads.ts';

/** Turns the `config-invalid` of a parser into a finding of the schema at the place where the text stands. */
export const parsed = <T>(longest: number, parse: (text: string) => T) =>
  z.string().transform((text, context): T => {
    try {
      if (text.length > longest) throw new SallyportError('config-invalid', `longer than ${longest} characters`);
      return parse(text);
    } catch (error) {
      if (!(error instanceof SallyportError)) throw error;
      context.addIssue({ code: 'custom', message: error.message });
      return z.NEVER;
    }
  });

/** As browsers and `openssl x509 -noout -fingerprint -sha256` show it, with or without colons. */
const certificateFingerprint = parsed(95, (text): string => {
  const hex = text.replaceAll(':', '').toLowerCase();
  if (/^[0-9a-f]{64}$/.test(hex)) return hex;
  throw new SallyportError('config-invalid', 'expected the SHA-256 fingerprint of a certificate: 64 hex digits, colons or not');
});

/** One key of SSH, as a line of OpenSSH. */
export const publicKeyLine = parsed(8192, parseSshPublicKeyLine);

const registeredKey = z.union([
  publicKeyLine.transform((key): RegisteredKey => ({ ...key, verify: false })),
  z
    .strictObject({
      key: publicKeyLine.describe('OpenSSH public key line; what is behind the key is its name.'),
      added: z.iso.date().optional().describe('The day it was added, as `sallyport partner key add` writes it; 2026-11-22.'),
      verify: z
        .boolean()
        .default(false)
        .describe('Of a FIDO device: it must have verified its user, by PIN or finger; a touch is not enough.'),
    })
    .transform(({ key, added, verify }): RegisteredKey => ({ ...key, added, verify })),
]);

const password = parsed(512, (text): PasswordHash => {
  if (!text.startsWith('$argon2id$')) {
    throw new SallyportError(
      'config-invalid',
      'this is not a password hash, and clear passwords are not kept: let `sallyport partner add` make the hash',
    );
  }
  return parsePasswordHash(text);
});

export interface SourceRange {
  readonly allow: boolean;
  readonly address: string;
  readonly prefix: number;
  readonly family: 'ipv4' | 'ipv6';
}

const sourceRange = parsed(80, (text): SourceRange => {
  const [, word, range = ''] = /^(?:(allow|deny) +)?(.*)$/.exec(text.trim()) ?? [];
  const [address = '', prefixText, ...rest] = range.split('/');
  const version = isIP(address);
  const most = version === 4 ? 32 : 128;
  const prefix = prefixText === undefined ? most : /^\d{1,3}$/.test(prefixText) ? Number(prefixText) : -1;
  if (version === 0 || rest.length > 0 || prefix < 0 || prefix > most) {
    throw new SallyportError('config-invalid', 'expected an address or a range like 198.51.100.0/24, or `deny` and one');
  }
  return { allow: word !== 'deny', address, prefix, family: version === 4 ? 'ipv4' : 'ipv6' };
});

const homeText = parsed(256, (text): string => {
  checkHome(text);
  return text;
});

/** @returns the path as the partner sees it. */
function folderBelowInbox(text: string): VirtualPath {
  const path = parseVirtualPath(/^\/?Inbox(\/|$)/.test(text) ? `/${text}` : `/Inbox/${text}`);
  if (path !== inbox && isWithin(path, inbox)) return path;
  throw new SallyportError('config-invalid', 'expected a folder of the Inbox, like orders/2026');
}

/** What a partner has of his own, or else of the first of his groups. */
const inheritable = {
  permissions: permissionSettingsSchema.optional().describe('What may be done where; see docs/permissions.md.'),
  quota: size().optional().describe('Bytes that may wait in the Inbox; default 10GiB.'),
  quotaFiles: z.int().min(0).max(10_000_000).optional().describe('Files that may wait in the Inbox; default 10000.'),
  maxFileSize: size().optional().describe('Largest single file; default 10GiB.'),
  maxPartials: z.int().min(0).max(10_000).optional().describe('Interrupted uploads that are kept for resuming; default 100.'),
  maxSessions: z
    .int()
    .min(1)
    .max(10_000)
    .optional()
    .describe('Sessions at the same time, when it is fewer than `policy.limits.maxSessionsPerPartner`.'),
  uploadRate: size({ min: '1KiB' }).optional().describe('Bytes per second that all sessions together may send, `2MiB`.'),
  downloadRate: size({ min: '1KiB' }).optional().describe('Bytes per second that all sessions together may fetch.'),
  home: homeText
    .optional()
    .describe(
      'Where deliveries of rules without `as` go, below a destination; docs/accounts.md. Default: a folder with his name.',
    ),
  startIn: parsed(1024, (text) => parseVirtualPath(text))
    .optional()
    .describe('The folder in which his sessions begin: `Inbox` lets `put x` do without a path. Default: /.'),
  amendName: z
    .enum(['no', 'id-prefix'])
    .optional()
    .describe('`id-prefix`: a delivered file is named ITEM-NAME, so that none meets another; the partner does not notice.'),
  ftps: ftpsOfPartnerSchema.optional().describe('What differs from `ftps` of the DMZ node.'),
  onExisting: z
    .enum(['keep-both', 'replace', 'refuse'])
    .optional()
    .describe('What an upload does to a waiting file of the same name; default keep-both.'),
  uploads: uploadsSchema.optional().describe('What differs from `policy.uploads`; see docs/uploads.md.'),
  from: z
    .array(sourceRange)
    .min(1)
    .max(256)
    .optional()
    .describe(
      'Source addresses or ranges, the first that holds the address decides; `deny RANGE` refuses. Advisory: the address is what the DMZ node reports.',
    ),
};

/** Lists that of a partner and of all his groups are used together. */
const added = {
  makeFolders: z
    .array(parsed(1024, folderBelowInbox))
    .max(64)
    .optional()
    .describe('Folders of the Inbox that are made at login, with those above them: `orders/2026`.'),
  folders: z
    .record(z.string().max(1024), z.string().max(1024))
    .superRefine((folders, context) => {
      if (Object.keys(folders).length > 32) context.addIssue({ code: 'custom', message: 'at most 32 folders' });
      for (const [path, place] of Object.entries(folders)) {
        try {
          new Layout([folderGrant(path, place)]);
        } catch (error) {
          if (!(error instanceof SallyportError)) throw error;
          context.addIssue({ code: 'custom', path: [path], message: error.message });
        }
      }
    })
    .optional()
    .describe(
      'Folders that a partner sees beside /Inbox and /Outbox: `/claims: Inbox/claims`, `/reports: Outbox/reports`, or of one of `sharedOutboxes`: `/prices: price-lists/Outbox`.',
    ),
};

/** `/prices: price-lists/Outbox` as it travels with a grant. @throws SallyportError `config-invalid` */
export function folderGrant(path: string, place: string): FolderGrant {
  const [, owner, rest = ''] = /^(?:([a-z0-9][a-z0-9._-]{0,62})\/)?\/?((?:Inbox|Outbox)(?:\/.*)?)$/.exec(place) ?? [];
  if (!path.startsWith('/') || rest === '') {
    throw new SallyportError('config-invalid', `expected like /claims: Inbox/claims, or /prices: SHARED/Outbox, not ${place}`);
  }
  return { path: parseVirtualPath(path), place: parseVirtualPath(`/${rest}`), ...(owner === undefined ? {} : { owner }) };
}

export const groupName = z
  .string()
  .regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, 'lower-case letters, digits, dot, underscore and hyphen, at most 63');

export const groupSchema = z.strictObject({
  disabled: z.boolean().default(false).describe('Refuses every login of its members.'),
  ...inheritable,
  ...added,
});
export type GroupConfig = z.infer<typeof groupSchema>;

/** The whole `groups:` map. The group `default` is that of partners who name none. */
export const groupsSchema = z.record(groupName, groupSchema);
export type Groups = z.infer<typeof groupsSchema>;
export const defaultGroup = 'default';

function momentOf(text: string, context: z.core.$RefinementCtx<string>): number {
  const form = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2})?(Z|[+-]\d{2}:\d{2})?)?$/;
  const atMs = form.test(text) ? Date.parse(localMidnight(text)) : Number.NaN;
  if (Number.isNaN(atMs))
    context.addIssue({ code: 'custom', message: 'expected a moment like 2026-12-31T18:00 or 2026-12-31T17:00Z', input: text });
  return atMs;
}

/** A day alone is its first moment here, not in London. */
const localMidnight = (text: string): string => (text.length === 10 ? `${text}T00:00` : text);

export const partnerSchema = z
  .strictObject({
    password: password.optional().describe('Argon2id hash of the password, as `sallyport partner add` writes it.'),
    formerPasswords: z
      .array(password)
      .max(formerPasswords)
      .default([])
      .describe(
        'Hashes of passwords that were in use before; `sallyport partner password` keeps them and takes none of them again.',
      ),
    passwordSince: z
      .string()
      .transform((text, context) => momentOf(text, context))
      .optional()
      .describe('When the password was set, as `sallyport partner` writes it; `authentication.passwords.maxAge` counts from it.'),
    passwordMustChange: z.boolean().default(false).describe('At his next login over SFTP the partner must set another password.'),
    choosesPassword: z
      .boolean()
      .default(false)
      .describe('He sets his password himself, with the code that `sallyport partner invite` makes.'),
    directory: z
      .string()
      .max(32)
      .optional()
      .describe('The directory that knows the password: the user whose entry makes the name of this partner is this partner.'),
    keys: z
      .array(registeredKey)
      .max(32)
      .default([])
      .describe(
        'OpenSSH public key lines: ssh-ed25519, ecdsa-sha2-nistp256/384/521, ssh-rsa from 2048 bits, or of FIDO devices (sk-); with `key`, `added` and `verify` where there is more to say.',
      ),
    authorities: z
      .array(publicKeyLine)
      .max(8)
      .default([])
      .describe('Public keys of authorities whose OpenSSH certificates are good for this partner; docs/authentication.md.'),
    principals: z
      .array(z.string().min(1).max(128))
      .min(1)
      .max(32)
      .optional()
      .describe('Names of which such a certificate must bear one; default: that of the partner.'),
    certificates: z
      .array(certificateFingerprint)
      .max(32)
      .default([])
      .describe(
        'SHA-256 fingerprints of TLS client certificates that stand for the password over FTPS; `ftps.clientCertificates` of the DMZ node must ask for them.',
      ),
    certificateNames: z
      .array(z.string().regex(/^(CN=|dns:|email:|uri:).{1,253}$/, 'expected like CN=acme, dns:edi.example.com, email:… or uri:…'))
      .max(32)
      .default([])
      .describe('Names in certificates of `authentication.clientCertificates` that stand for the partner, to the letter.'),
    requireOverFtps: z
      .enum(['any', 'certificate', 'certificate+password'])
      .default('any')
      .describe('`any`: what `require` says, or a certificate; `certificate+password`: first a certificate, then the password.'),
    require: z
      .enum(['any', 'key+password', 'key+code'])
      .default('any')
      .describe(
        '`any`: a key or the password; `key+password`: first a key, then the password (and a one-time code, if he has them); `key+code`: first a key, then a one-time code.',
      ),
    totp: z
      .enum(['optional', 'required'])
      .optional()
      .describe('required: the password counts only with a one-time code; `sallyport partner totp` sets it up.'),
    disabled: z.boolean().default(false).describe('Refuses every login, as if the partner did not exist.'),
    expires: z
      .string()
      .transform((text, context) => momentOf(text, context))
      .optional()
      .describe('From this moment on every login is refused; without a zone, in that of this host.'),
    groups: z.array(groupName).max(16).optional().describe('Groups in their order; what the partner leaves out is of the first.'),
    ...inheritable,
    ...added,
  })
  .superRefine((partner, context) => {
    const fail = (path: string, message: string) => context.addIssue({ code: 'custom', path: [path], message });
    const keys = partner.keys.length + partner.authorities.length;
    if (partner.require !== 'any' && keys === 0) fail('keys', `${partner.require} needs at least one key or authority`);
    if (partner.principals && partner.authorities.length === 0) fail('principals', 'without authorities nobody certifies them');
    const hasPassword = partner.password !== undefined || partner.directory !== undefined || partner.choosesPassword;
    if (partner.requireOverFtps === 'certificate+password' && !hasPassword)
      fail('password', 'certificate+password needs a password');
    const isHere = partner.password !== undefined || partner.choosesPassword;
    if (isHere && partner.directory !== undefined) fail('directory', 'the password is here already');
    if (partner.require === 'key+password' && !hasPassword) fail('password', 'key+password needs a password');
    const { certificates, certificateNames } = partner;
    if (!hasPassword && keys + certificates.length + certificateNames.length === 0) {
      fail('keys', 'the partner has neither a key nor a password');
    }
    const seen = new Set<string>();
    for (const key of partner.keys) {
      if (seen.has(key.fingerprint)) fail('keys', `the key ${key.fingerprint} is there twice`);
      seen.add(key.fingerprint);
    }
  });
export type PartnerConfig = z.infer<typeof partnerSchema>;

/** The whole `partners:` map, by user name. */
export const partnersSchema = z.record(partnerName, partnerSchema);
export type Partners = z.infer<typeof partnersSchema>;

/** Names of Outboxes that several partners see as a folder; staff and rules put files into them as into a partner's. */
export const sharedOutboxesSchema = z.array(partnerName).max(1000);

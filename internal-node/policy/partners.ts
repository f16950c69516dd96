/**
 * The `partners:` map of the configuration: who may log in, how, and what he may do. The schema refuses clear passwords,
 * pasted private keys and weak keys at load time, and no message quotes what it refuses.
 */
import { BlockList, isIP } from 'node:net';
import { z } from 'zod';
import { size } from '../../shared/config/units.ts';
import { SallyportError } from '../../shared/errors.ts';
import { type Grant, partnerName } from '../../shared/policy.ts';
import { type PasswordHash, parsePasswordHash } from '../password-phc.ts';
import { parseSshPublicKeyLine, type SshPublicKey } from '../ssh-public-key.ts';
import { forDmz, uploadsSchema } from './uploads.ts';

/** Turns the `config-invalid` of a parser into a finding of the schema at the place where the text stands. */
const parsed = <T>(longest: number, parse: (text: string) => T) =>
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
  readonly address: string;
  readonly prefix: number;
  readonly family: 'ipv4' | 'ipv6';
}

const sourceRange = parsed(64, (text): SourceRange => {
  const [address = '', prefixText, ...rest] = text.trim().split('/');
  const version = isIP(address);
  const most = version === 4 ? 32 : 128;
  const prefix = prefixText === undefined ? most : /^\d{1,3}$/.test(prefixText) ? Number(prefixText) : -1;
  if (version === 0 || rest.length > 0 || prefix < 0 || prefix > most) {
    throw new SallyportError('config-invalid', 'expected an address or a range like 198.51.100.0/24');
  }
  return { address, prefix, family: version === 4 ? 'ipv4' : 'ipv6' };
});

export const partnerSchema = z
  .strictObject({
    password: password.optional().describe('Argon2id hash of the password, as `sallyport partner add` writes it.'),
    keys: z
      .array(parsed(8192, parseSshPublicKeyLine))
      .max(32)
      .default([])
      .describe('OpenSSH public key lines: ssh-ed25519, ecdsa-sha2-nistp256/384/521, or ssh-rsa from 2048 bits.'),
    require: z
      .enum(['any', 'key+password'])
      .default('any')
      .describe('`any`: a key or the password; `key+password`: first a key, then the password.'),
    disabled: z.boolean().default(false).describe('Refuses every login, as if the partner did not exist.'),
    upload: z.boolean().default(true).describe('May send files.'),
    download: z.boolean().default(true).describe('May fetch files from the Outbox.'),
    change: z.boolean().default(true).describe('May delete, rename and make folders.'),
    list: z
      .boolean()
      .default(true)
      .describe('May list folders; without it he sees only what he is sending or has just sent, and what he may fetch by name.'),
    quota: size()
      .default(10 * 2 ** 30)
      .describe('Bytes that may wait in the Inbox.'),
    quotaFiles: z.int().min(0).max(10_000_000).default(10_000).describe('Files that may wait in the Inbox.'),
    maxFileSize: size()
      .default(10 * 2 ** 30)
      .describe('Largest single file.'),
    maxPartials: z.int().min(0).max(10_000).default(100).describe('Interrupted uploads that are kept for resuming.'),
    onExisting: z
      .enum(['keep-both', 'replace', 'refuse'])
      .default('keep-both')
      .describe('What an upload does to a waiting file of the same name.'),
    uploads: uploadsSchema.optional().describe('What differs from `policy.uploads`; see docs/uploads.md.'),
    from: z
      .array(sourceRange)
      .min(1)
      .max(256)
      .optional()
      .describe('Source addresses or ranges. Advisory: the address is what the DMZ node reports.'),
  })
  .superRefine((partner, context) => {
    const fail = (path: string, message: string) => context.addIssue({ code: 'custom', path: [path], message });
    if (partner.require === 'key+password' && partner.keys.length === 0) fail('keys', 'key+password needs at least one key');
    if (partner.require === 'key+password' && !partner.password) fail('password', 'key+password needs a password');
    if (!partner.password && partner.keys.length === 0) fail('keys', 'the partner has neither a key nor a password');
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

/** What a session of this partner may do. */
export const grantOf = (name: string, partner: PartnerConfig): Grant => ({
  partner: name,
  mayUpload: partner.upload,
  mayDownload: partner.download,
  mayChange: partner.change,
  mayList: partner.list,
  quotaBytes: partner.quota,
  quotaFiles: partner.quotaFiles,
  maxFileBytes: partner.maxFileSize,
  maxPartials: partner.maxPartials,
  onExisting: partner.onExisting,
  ...(partner.uploads === undefined ? {} : { uploads: forDmz(partner.uploads) }),
});

/** A partner as the login desk sees him (`auth/local-users.ts`, `Account`). */
export interface PartnerAccount {
  readonly password: PasswordHash | undefined;
  readonly keys: readonly SshPublicKey[];
  readonly require: 'any' | 'key+password';
  readonly disabled: boolean;
  readonly grant: Grant;
  allowsFrom(peer: string): boolean;
}

/** All partners as accounts. Make it once per loaded configuration and keep the map. */
export const accountsOf = (partners: Partners): ReadonlyMap<string, PartnerAccount> =>
  new Map(
    Object.entries(partners).map(([name, partner]) => {
      const { keys, require, disabled } = partner;
      const allowsFrom = allowing(partner.from);
      return [name, { password: partner.password, keys, require, disabled, grant: grantOf(name, partner), allowsFrom }];
    }),
  );

function allowing(ranges: readonly SourceRange[] | undefined): (peer: string) => boolean {
  if (!ranges) return () => true;
  const list = new BlockList();
  for (const { address, prefix, family } of ranges) list.addSubnet(address, prefix, family);
  return (peer) => {
    const version = isIP(peer);
    return version !== 0 && list.check(peer, version === 4 ? 'ipv4' : 'ipv6');
  };
}

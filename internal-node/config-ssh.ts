/** `authentication.ssh` of the configuration: what holds for the SSH keys of all partners. */
import { resolve } from 'node:path';
import { z } from 'zod';
import { path } from '../shared/config/fields.ts';
import { publicKeyLine } from './policy/partners.ts';

export const sshSchema = z
  .strictObject({
    authorities: z
      .array(publicKeyLine)
      .max(16)
      .default([])
      .describe('Public keys of authorities whose OpenSSH certificates are good for every partner whom they name.'),
    revoked: path()
      .optional()
      .describe(
        'File of keys and certificates that must not count any more: a list of `ssh-keygen -k`, or one public key on each line. It is read anew when it changes; without it nobody logs in with a key.',
      ),
    devices: z
      .enum(['touch', 'verify'])
      .default('touch')
      .describe('What a FIDO device must have asked of its user: a touch, or also a PIN or finger.'),
    hostKeys: z
      .array(z.string().regex(/^SHA256:[A-Za-z0-9+/]{43}$/, 'SHA256:… as `ssh-keygen -l` shows it'))
      .min(1)
      .max(16)
      .optional()
      .describe(
        'Fingerprints of the SSH host keys of the DMZ node: key logins count only in handshakes with one of them. Default: any host key.',
      ),
  })
  .prefault({});
export type SshSettings = z.output<typeof sshSchema>;

/** With absolute paths. */
export const resolvedSsh = ({ revoked, ...ssh }: SshSettings, folder: string): SshSettings => ({
  ...ssh,
  ...(revoked === undefined ? {} : { revoked: resolve(folder, revoked) }),
});

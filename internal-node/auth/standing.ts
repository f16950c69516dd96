/**
 * Whether what a session was opened with still counts. The rules are those of logins, without the dates: a session may outlive the
 * certificate that opened it, as it does with OpenSSH, and a list that is out of date ends none. Revoked, removed, replaced does.
 */
import type { CertificateLogins } from './certificates/certificate-logins.ts';
import type { Credential } from './credential.ts';
import type { KeyLogins } from './key-logins.ts';
import type { LocalUsers } from './local-users.ts';
import type { OwnPasswords } from './passwords/own-passwords.ts';

export interface StandingDeps {
  readonly users: Pick<LocalUsers, 'find'>;
  readonly keys: Pick<KeyLogins, 'recognise'>;
  readonly certificates: Pick<CertificateLogins, 'withdrawn'>;
  readonly passwords: Pick<OwnPasswords, 'standing'>;
}

export class Standing {
  readonly #deps: StandingDeps;

  constructor(deps: StandingDeps) {
    this.#deps = deps;
  }

  /**
   * @returns why it does not count any more, for staff; undefined when it does.
   * @throws SallyportError `config-invalid` when the list of revoked keys cannot be used.
   */
  async objection(partner: string, { key, chain, password }: Credential): Promise<string | undefined> {
    const { users, keys, certificates, passwords } = this.#deps;
    const account = users.find(partner);
    if (!account) return 'the partner is gone';
    if (password !== undefined && passwords.standing(partner, account) !== password) return 'the password is another one now';
    if (key) {
      const found = await keys.recognise({ user: partner, ...key }, account, 'whatever the date');
      if ('rejected' in found) return found.rejected;
    }
    return chain && (await certificates.withdrawn(chain, partner, account));
  }
}

/** Composition of the room `auth`: makes what decides who may come in, from the configuration that is in force. Decides nothing. */
import type { Clock } from '../shared/clock.ts';
import type { Database } from '../shared/durable/database.ts';
import type { Logger } from '../shared/log.ts';
import { AuthDesk } from './auth/auth-desk.ts';
import { AuthBudgets, defaultBudgets } from './auth/budgets.ts';
import { CertificateLogins } from './auth/certificates/certificate-logins.ts';
import { IssuerFiles } from './auth/certificates/issuer-files.ts';
import { type ChainSettings, LoginChain } from './auth/chain.ts';
import { ConfiguredMethods } from './auth/configured-methods.ts';
import type { DirectoryOperations } from './auth/directory-operations.ts';
import { AdoptedPartners } from './auth/directory-partners.ts';
import { HalfLogins } from './auth/half-logins.ts';
import { HandshakeCookies } from './auth/handshake-cookies.ts';
import { HttpLogins } from './auth/http/http-logins.ts';
import { KeyLogins } from './auth/key-logins.ts';
import { DirectoryLogins } from './auth/ldap/directory-logins.ts';
import { LocalUsers } from './auth/local-users.ts';
import { ownAccounts } from './auth/login-method.ts';
import { OwnAccounts } from './auth/own-accounts.ts';
import { defaultHasherOptions, deriveArgon2id, PasswordHasher } from './auth/password-hash.ts';
import { OwnPasswords } from './auth/passwords/own-passwords.ts';
import { PasswordChanges } from './auth/passwords/password-changes.ts';
import type { PasswordOperations } from './auth/passwords/password-operations.ts';
import { Rejections } from './auth/rejections.ts';
import { RevokedKeys } from './auth/revoked-keys.ts';
import { defaultSessionOptions, SessionBook } from './auth/session-book.ts';
import type { SessionOperations } from './auth/session-operations.ts';
import { StaffLogins } from './auth/staff/staff-logins.ts';
import { Standing } from './auth/standing.ts';
import { CodeGate } from './auth/totp/code-gate.ts';
import { SecondFactors } from './auth/totp/second-factors.ts';
import type { TotpOperations } from './auth/totp/totp-operations.ts';
import { Withdrawals } from './auth/withdrawals.ts';
import type { InternalConfig } from './config.ts';
import { chainOf, sourcesOf } from './config-authentication.ts';
import type { CurrentConfig } from './current-config.ts';
import { refuseUnfit } from './password-policy.ts';
import type { InternalOperations } from './records.ts';
import { loadTotpKey } from './totp-key.ts';

export interface LoginsDeps {
  readonly database: Database<InternalOperations>;
  readonly current: CurrentConfig;
  /** Of the start: limits and folders, which do not change while the node runs. */
  readonly config: InternalConfig;
  readonly clock: Clock;
  readonly log: Logger;
}

/** The desk that answers logins, and the parts of it that start, stop and are asked by staff. */
export interface Logins {
  readonly desk: AuthDesk;
  readonly book: SessionBook;
  readonly adopted: AdoptedPartners;
  readonly factors: SecondFactors;
  readonly passwords: OwnPasswords;
  readonly withdrawals: Withdrawals;
  readonly staff: StaffLogins;
  /** For the handshakes of the DMZ node. */
  readonly cookies: HandshakeCookies;
  /** Their connections are closed when the node stops. */
  readonly directories: { close(): Promise<void> };
}

export function makeLogins({ database, current, config, clock, log }: LoginsDeps): Logins {
  const book = new SessionBook(
    { records: database.room<SessionOperations>(), clock, log },
    { ...defaultSessionOptions, maxLifeMs: config.sessions.maxLife, graceMs: config.sessions.grace },
  );
  const { concurrentHashes, failuresPerAccount, passwordChecksPerMinute, keyChecksPerMinute } = config.authentication;
  const budgets = { failuresPerAccount, passwordChecksPerMinute, keyChecksPerMinute };
  const hasher = new PasswordHasher({ derive: deriveArgon2id }, { ...defaultHasherOptions, concurrent: concurrentHashes });
  const passwords = new OwnPasswords({
    records: database.room<PasswordOperations>(),
    hasher,
    settings: () => {
      const { maxAge, remember } = current.config.authentication.passwords;
      return { maxAgeMs: maxAge, remember };
    },
    clock,
    log,
  });
  const users = new LocalUsers({ accounts: () => current.accounts, hasher, passwords });
  const adopted = new AdoptedPartners({
    records: database.room<DirectoryOperations>(),
    accounts: {
      configured: (partner) => current.accounts.get(partner),
      adoptedAccount: (user) => current.adoptedAccount(user),
      adopt: (partners) => current.adopt(partners),
    },
    clock,
  });
  const gate = new CodeGate({ records: database.room<TotpOperations>(), clock });
  const factors = new SecondFactors({
    records: database.room<TotpOperations>(),
    gate,
    sealingKey: (make) => loadTotpKey(config.keys, make),
    clock,
  });
  const directories = new ConfiguredMethods({
    options: () => named(current.config.authentication.directories),
    make: (options) => new DirectoryLogins({ partners: adopted, codes: gate, clock, log }, options),
  });
  const askedServices = new ConfiguredMethods({
    options: () => named(current.config.authentication.http),
    make: (options) => new HttpLogins({ partners: adopted, clock, log }, options),
  });
  const own = new OwnAccounts({ users, factors, passwords });
  const cookies = new HandshakeCookies({ clock });
  const revoked = new RevokedKeys(() => current.config.authentication.ssh.revoked);
  const keys = new KeyLogins({
    trust: () => current.config.authentication.ssh,
    revoked,
    cookies,
    nowMs: () => clock.nowMs(),
  });
  const issuers = new IssuerFiles({ names: () => current.config.authentication.clientCertificates ?? {}, clock, log });
  const certificates = new CertificateLogins({
    issuers,
    commonNameIsPartner: () => current.config.authentication.clientCertificates?.partnerFrom === 'commonName',
    clock,
  });
  const standing = new Standing({ users, keys, certificates, passwords });
  const lists = () => Promise.all([revoked.current().catch(() => 'unreadable'), issuers.current()]);
  const withdrawals = new Withdrawals({ book, standing, lists, clock, log });
  const desk = new AuthDesk({
    users,
    chain: new LoginChain({
      methods: () => new Map([[ownAccounts, own], ...directories.methods(), ...askedServices.methods()]),
      settings: () => chainSettings(current.config),
      clock,
    }),
    leastRejectMs: () => leastRefusalMs(current.config),
    sessions: book,
    keys,
    codes: { objection: (partner, code) => factors.objection(partner, { code }, false) },
    budgets: new AuthBudgets({ clock }, { ...defaultBudgets, ...budgets }),
    halfLogins: new HalfLogins({ clock }),
    certificates,
    passwords,
    standing,
    onPasswordSet: () => void withdrawals.look(),
    halfCertificates: new HalfLogins({ clock }),
    changes: new PasswordChanges({
      passwords,
      refuseUnfit: (password, names) => refuseUnfit(password, names, current.config.authentication.passwords),
      clock,
    }),
    rejections: new Rejections({ events: database, clock, log }),
    clock,
    log,
  });
  const staff = new StaffLogins({ settings: () => staffSettings(current.config), codes: gate, events: database, clock, log });
  const close = async (): Promise<void> => {
    await directories.close();
    await staff.close();
  };
  return { desk, book, adopted, factors, cookies, passwords, withdrawals, staff, directories: { close } };
}

function staffSettings({ authentication: { staff, directories } }: InternalConfig) {
  const directory = staff && directories[staff.directory];
  return directory && { staff, directory: { name: staff.directory, ...directory } };
}

/** Above the usual time of a hash, or of a bind and a search in the network. */
const leastRefusalMs = ({ authentication }: InternalConfig): number =>
  authentication.leastRefusal ?? (Object.keys(sourcesOf(authentication)).length > 0 ? 1000 : 100);

const named = <O extends object>(all: Readonly<Record<string, O>>): readonly (O & { readonly name: string })[] =>
  Object.entries(all).map(([name, settings]) => ({ name, ...settings }));

const chainSettings = ({ authentication }: InternalConfig): ChainSettings => ({
  orderOf: { sftp: chainOf(authentication, 'sftp'), ftps: chainOf(authentication, 'ftps') },
  denied: new Set(authentication.denyUsers.map((name) => name.toLowerCase())),
});

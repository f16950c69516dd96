/**
 * What the admin socket of the internal node offers; the composition root implements it. References (`ref`) are an item
 * id, a trace id, a prefix of one of at least four characters that only one has, or a partner path (`acme/Inbox/a.csv`).
 */

import type { FileDigest } from '../../shared/config/load.ts';
import type { OwnConfinement } from '../../shared/confinement/own-confinement.ts';
import type { NumberedEvent } from '../../shared/events/event.ts';
import type { DmzNetwork } from '../../shared/firewall/dmz-network.ts';
import type { CertificateDesk, CertificateSummary } from '../../shared/pki/certificate-desk.ts';
import type { Secret } from '../../shared/secret.ts';
import type { DmzStatus, DoorFacts } from '../../shared/tunnel/messages.ts';
import type { Applied } from '../apply-desk.ts';
import type { StaffRole } from '../config-staff.ts';
import type { PastItem } from '../replay.ts';

export interface InternalStatus {
  readonly node: string;
  readonly pid: number;
  /** The configuration it works by. */
  readonly configuration: readonly FileDigest[];
  readonly version: string;
  readonly fingerprint: string;
  readonly startedAtMs: number;
  /** Nothing more is accepted until a restart; why. */
  readonly suspect: string | null;
  readonly tunnel: {
    readonly up: boolean;
    /** Name of the DMZ node, once it was reached. */
    readonly peer: string | null;
    /** `host:port`; null when `sallyport connect` was not run yet. */
    readonly address: string | null;
    /** When it last came up or was lost; null when it never was up. */
    readonly sinceMs: number | null;
    /** TLS key exchange of the link. */
    readonly group: string | null;
    readonly classicalAdmitted: boolean;
    /** Why the last connection could not be made or was lost. */
    readonly lastFailure: string | null;
    /** The check that refused the last connection (`pin`, `expired`, …), when one did. */
    readonly refusedBy: string | null;
    /** Clock of the DMZ node minus ours, milliseconds. */
    readonly clockSkewMs: number | null;
  };
  readonly certificates: CertificateSummary;
  readonly policy: { readonly number: number; readonly expiresAtMs: number } | null;
  /** A changed configuration that was refused: the last good one stays in use. */
  readonly configRefused: string | null;
  /** A configuration that goes back unless it is confirmed; when. */
  readonly configUnconfirmedUntilMs: number | null;
  readonly partners: {
    readonly configured: number;
    /** Partners with a live session, and how many. */
    readonly connected: readonly { readonly partner: string; readonly sessions: number }[];
  };
  readonly items: {
    /** Registered and not yet at their destination. */
    readonly waiting: number;
    readonly held: number;
    readonly unrouted: number;
    readonly quarantined: number;
    /** Offered to partners and not yet fetched. */
    readonly offered: number;
    /** How long the oldest of the waiting has waited, milliseconds. */
    readonly oldestWaitingMs: number | null;
  };
  /** Destinations at which nothing is tried any more. */
  readonly stopped: readonly { readonly destination: string; readonly sinceMs: number; readonly reason: string }[];
  /** The newest alarm or failed attempt. */
  readonly lastFailure: {
    readonly atMs: number;
    readonly event: string;
    readonly detail: string;
    readonly item: string | null;
  } | null;
  /** What the kernel denies the agent. */
  readonly confinement: OwnConfinement;
  /** What the DMZ node says of itself; null when it cannot be asked. */
  readonly dmz: DmzStatus | null;
}

export interface ListArgs {
  readonly partner?: string | undefined;
  readonly box?: 'Inbox' | 'Outbox' | undefined;
  /** Below the box, without slashes at the ends. */
  readonly folder?: string | undefined;
  /** Only items that nobody inside has taken yet (Inbox), or that the partner has not fetched (Outbox). */
  readonly onlyNew: boolean;
  /** At most so many, newest first. */
  readonly limit: number;
}

export interface ListedItem {
  readonly item: string;
  readonly trace: string;
  readonly partner: string;
  readonly box: 'Inbox' | 'Outbox';
  /** As the partner sees it: `/Inbox/a/b.csv`. */
  readonly path: string;
  readonly size: number;
  /** When it was complete in the DMZ (Inbox) or offered (Outbox). */
  readonly atMs: number;
  /** In the words of the catalogue: ready, leased, delivered, held, unrouted, quarantined, offered, downloaded… */
  readonly state: string;
  /** The earlier item that had the same partner, name and content. */
  readonly duplicateOf?: string;
}

export interface Listing {
  readonly items: readonly ListedItem[];
  /** There are more than `limit`. */
  readonly more: boolean;
}

export interface OpenedItem {
  readonly item: string;
  /** Last component of the path, a safe file name. */
  readonly name: string;
  /** As the partner sees it, with the partner before it: `acme/Inbox/a/b.csv`. */
  readonly path: string;
  readonly size: number;
  readonly sha256: string;
  /** The opened and verified bytes. Leaving the loop early closes the source. */
  readonly content: AsyncIterable<Buffer>;
  /** The caller has the bytes for good: the item counts as pulled. Called at most once. */
  commit(): Promise<void>;
  /** The caller gave up: the item stays as it was. Idempotent, no effect after `commit`. */
  release(): Promise<void>;
}

/** A page of past items, the oldest first. */
export interface History {
  readonly items: readonly (PastItem & { readonly number: number })[];
  /** There are more behind the last. */
  readonly more: boolean;
}

export interface PushedItem {
  readonly item: string;
  readonly trace: string;
  readonly partner: string;
  /** As the partner sees it. */
  readonly path: string;
  readonly size: number;
  readonly sha256: string;
  readonly expiresAtMs: number;
}

export interface TraceAnswer {
  /** The trace or item that the reference named. */
  readonly ref: string;
  /** Events of both nodes, in the order of time. */
  readonly events: readonly TracedEvent[];
}

export interface TracedEvent extends Omit<NumberedEvent, 'origin'> {
  /** `SP-1604`: its entry in docs/EVENTS.md. */
  readonly id: string;
  /** Name of the node that recorded it. */
  readonly node: string;
  readonly side: 'dmz' | 'inside';
}

export interface PartnerSummary {
  readonly name: string;
  readonly source: string;
  /** `key`, `password`, `key+password`: what a login takes, in words. */
  readonly login: string;
  readonly sessions: number;
  readonly disabled: boolean;
  /** As a directory has it. */
  readonly email?: string;
}

export interface DestinationSummary {
  readonly name: string;
  readonly kind: 'folder' | 'program';
  /** Failures in a row. */
  readonly errors: number;
  /** The last of them. */
  readonly reason: string | null;
  /** Since when nothing is tried there any more; null: it is tried. */
  readonly stoppedAtMs: number | null;
}

export interface Reloaded {
  readonly partners: number;
  readonly rules: number;
}

export interface TryLoginArgs {
  readonly user: string;
  readonly password: string;
  readonly code?: string | undefined;
  readonly protocol: 'sftp' | 'ftps';
  /** Where he would come from. */
  readonly peer: string;
}

/** What each method of the login chain saw, and what would come of it. */
export interface TriedLogin {
  readonly steps: readonly {
    readonly method: string;
    /** `accept`, `reject`, `unknown`, `failed` or `stopped`. */
    readonly outcome: string;
    readonly detail: string;
    /** How long it took, milliseconds. */
    readonly ms: number;
  }[];
  /** The partner who would be logged in. */
  readonly accepted: string | null;
  readonly refused: string | null;
}

/** Sources that the DMZ node refuses now. */
export interface Bans {
  readonly bans: readonly {
    /** An address, or an IPv6 /64. */
    readonly source: string;
    readonly secondsLeft: number;
    readonly reason: string;
  }[];
  /** Also those that are not listed. */
  readonly total: number;
}

/** What a repeated check of the claims found. */
export interface ProofOutcome {
  readonly claims: number;
  /** Ids of those that do not hold. */
  readonly failing: readonly string[];
  /** Rules or files that break them, in words. */
  readonly offending: string;
}

/** Passwords that a DMZ host which was taken over can have seen. */
export interface Exposed {
  readonly typed: readonly {
    readonly user: string;
    /** He was let in with it: the password is right, and must be changed. */
    readonly accepted: boolean;
    readonly times: number;
    readonly firstMs: number;
    readonly lastMs: number;
  }[];
}

/** Members of staff who log in, and what is told of those who act. */
export interface StaffDesk {
  /** Nobody may ask without a login. */
  readonly required: boolean;
  byToken(token: string): { readonly name: string; readonly role: StaffRole } | undefined;
  /** @throws SallyportError `login-rejected`, `usage` when staff do not log in here. */
  logIn(
    user: string,
    password: Secret,
    signal: AbortSignal,
  ): Promise<{ readonly name: string; readonly role: StaffRole; readonly token: string; readonly expiresAtMs: number }>;
  logOut(token: string): void;
  /** Records what somebody is about to do. */
  acted(by: string, role: string, did: string): Promise<void>;
}

export interface InternalAdminApi {
  readonly staff: StaffDesk;
  readonly certificates: Pick<CertificateDesk, 'list' | 'rotate' | 'revoke'>;
  /** Records that the staff door went away, or came back. */
  staffDoor(there: boolean): Promise<void>;
  status(): Promise<InternalStatus>;
  list(args: ListArgs): Promise<Listing>;
  /** @throws SallyportError `no-such-file`, `usage` when several items fit the reference, `tunnel-down`. */
  openItem(ref: string, signal: AbortSignal): Promise<OpenedItem>;
  /**
   * Offers a file to a partner. Resolves when the DMZ has stored it.
   * @param path Below the Outbox, without a leading slash.
   * @throws SallyportError `no-such-file` for an unknown partner, `already-exists`, `bad-name`, `tunnel-down`.
   */
  push(partner: string, path: string, content: AsyncIterable<Buffer>, signal: AbortSignal): Promise<PushedItem>;
  /** @throws SallyportError `no-such-file` when nothing fits, `usage` when several do. */
  trace(ref: string): Promise<TraceAnswer>;
  partners(): Promise<readonly PartnerSummary[]>;
  /** What was decided since then, after an item of this number. */
  history(sinceMs: number, after: number): Promise<History>;
  /** Puts the configuration of a folder in place. @param confirmMs Null: it stays. @see ApplyDesk.apply */
  apply(folder: string, confirmMs: number | null): Promise<Applied>;
  /** @returns false when nothing waited to be confirmed. */
  confirmConfig(): Promise<boolean>;
  /** @returns false when there was nothing to go back to. */
  rollBackConfig(): Promise<boolean>;
  /** Tries a password in the login chain; nobody is logged in. */
  tryLogin(login: TryLoginArgs, signal: AbortSignal): Promise<TriedLogin>;
  /** Gives the name of a user of a directory free and cuts his sessions. @throws SallyportError `no-such-file`. */
  forgetPartner(partner: string): Promise<void>;
  /**
   * Makes a second factor that is not valid before it is confirmed. @returns its URI for an authenticator app: a secret.
   * @throws SallyportError `no-such-file`, `usage` when the partner has no password here.
   */
  beginTotp(partner: string): Promise<string>;
  /** @returns recovery codes, told only now. @throws SallyportError `login-rejected` for a wrong code, `usage`. */
  confirmTotp(partner: string, code: string): Promise<readonly string[]>;
  /** @throws SallyportError `no-such-file` when he has none. */
  removeTotp(partner: string): Promise<void>;
  /** Where the DMZ node says that it listens. @throws SallyportError `tunnel-down`. */
  network(): Promise<DmzNetwork>;
  /** A code with which a partner sets his password. It is told only now. */
  invite(partner: string, validMs: number | undefined): Promise<{ readonly code: string; readonly expiresAtMs: number }>;
  /** @throws SallyportError `no-such-file` when he has none. */
  withdrawInvitation(partner: string): Promise<void>;
  /** Null while the tunnel is down. */
  doors(): Promise<DoorFacts | null>;
  /** @throws SallyportError `tunnel-down`. */
  bans(): Promise<Bans>;
  /** Who typed a password since then. */
  exposed(sinceMs: number): Promise<Exposed>;
  /** @returns whether the source was banned. @throws SallyportError `tunnel-down`. */
  liftBan(source: string): Promise<boolean>;
  destinations(): Promise<readonly DestinationSummary[]>;
  /** @returns whether it was stopped. @throws SallyportError `no-such-file` for a name that is no destination. */
  resumeDestination(name: string): Promise<{ readonly resumed: boolean }>;
  /** Tries an item again that was given up. @throws SallyportError as `openItem`, `usage` when there is nothing to try. */
  retry(ref: string): Promise<{ readonly item: string }>;
  /** Records what a check of the claims found; an alarm when one does not hold. */
  recordProof(outcome: ProofOutcome): Promise<void>;
  /** Reads the configuration anew. @throws SallyportError `config-invalid`; the last good one then stays in use. */
  reload(): Promise<Reloaded>;
}

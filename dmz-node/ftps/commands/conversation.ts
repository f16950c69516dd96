/**
 * What a command knows of its session: the contract between the control connection (`session.ts`), which keeps it, and the
 * commands, which are rows of `table.ts`.
 */

import type { Clock } from '../../../shared/clock.ts';
import type { Logger } from '../../../shared/log.ts';
import type { VirtualPath } from '../../../shared/paths/virtual-path.ts';
import type { PartnerSession } from '../../partner-view.ts';
import type { StallRule } from '../../progress.ts';
import type { Reply } from '../control/replies.ts';
import type { DataConnection } from '../data/data-connection.ts';
import type { BlockStore } from '../data/gatherer.ts';
import type { Fact } from '../listing.ts';

/** What a client has set. Commands read and change it. */
export interface SessionState {
  folder: VirtualPath;
  /** RFC 959 TYPE. Bytes are stored and sent as they are, whatever it says. */
  type: 'A' | 'I';
  /** RFC 4217 PROT. */
  protection: 'C' | 'P';
  /** PBSZ was given on this secured connection. */
  bufferSizeAgreed: boolean;
  /** RFC 3659 REST, bytes; for the next transfer. */
  restart: number;
  renameFrom: VirtualPath | undefined;
  /** RFC 2428 EPSV ALL: no other way to a data connection any more. */
  onlyExtendedPassive: boolean;
  /** ALLO, bytes: of the next upload. */
  announcedBytes: number | undefined;
  facts: ReadonlySet<Fact>;
}

/** One transfer: what it moves, and what becomes of it when nothing can be moved. */
export interface TransferPlan {
  /** Said before the data connection is awaited. */
  readonly opening: Reply;
  /**
   * Moves the bytes and decides. Past its decision `signal` changes nothing any more.
   * @returns the final reply.
   */
  move(connection: DataConnection, signal: AbortSignal): Promise<Reply>;
  /** No data connection came. Never throws. */
  abandon(reason: string): Promise<void>;
}

export interface ConversationSettings {
  /** Address for PASV's answer when the network translates it; undefined: the local address of the control connection. */
  readonly passiveAddress: string | undefined;
  /** PORT and EPRT: the server connects to the client. */
  readonly activeMode: boolean;
  readonly plainFtp: boolean;
  readonly stall: StallRule;
}

export interface Conversation {
  readonly state: SessionState;
  readonly settings: ConversationSettings;
  readonly clock: Clock;
  readonly log: Logger;
  /** Memory that all uploads of the door share. */
  readonly blocks: BlockStore;
  readonly secured: boolean;
  readonly loggedIn: boolean;
  readonly transferring: boolean;
  /** Local address of the control connection, IPv4-mapped addresses as IPv4. */
  readonly localAddress: string;
  readonly peerAddress: string;
  /** Lines for STAT. */
  describe(): readonly string[];
  /** @throws Refused 530 before the login. */
  partner(): PartnerSession;
  /** An upload of this partner whose end was not said (no close_notify) is not complete. */
  readonly requireEndOfData: boolean;
  /** The path that an argument names, relative to the current folder; none names that folder. */
  path(argument: Buffer): VirtualPath;
  /** Answers USER: lets in whom the certificate of his TLS connection suffices, else keeps the name for `logIn`. */
  identify(name: string): Promise<Reply>;
  /** What the client says it is; for events. */
  setClient(name: string): void;
  /** Whether partners reach this door under that host name or address. */
  isHost(name: string): boolean;
  /** Ends the partner's session; another may log in. */
  reinitialise(): Promise<void>;
  /** For the data connections from now on; a way to one that was opened before is closed. */
  protectData(protect: boolean): void;
  logIn(password: string): Promise<Reply>;
  /** Says 234 and begins TLS; the control connection ends when it fails, or when anything was sent behind the command. */
  beginTls(): Promise<void>;
  /** Replaces the last one. @throws Refused 425 when no port is free. */
  openPassive(): Promise<{ readonly port: number }>;
  /** Connects to the client's own address when the transfer begins. Replaces the last way to a data connection. */
  useActive(port: number): void;
  /** Moves data in the background; its replies are sent as it goes. @throws Refused without a way to a data connection. */
  begin(plan: TransferPlan): void;
  /** Refuses before anything is opened. @throws Refused when no transfer may begin now. */
  checkTransfer(): void;
  /** Ends the transfer under way. Resolves when its reply was sent. */
  abort(): Promise<void>;
  /** Ends the session after this reply, and after the transfer under way. */
  leave(last: Reply): Promise<void>;
}

/** What a command may need before it is carried out; `nothing` also before TLS. */
export type Needs = 'nothing' | 'login';

export interface Command {
  readonly needs: Needs;
  /** May be given while a transfer runs. */
  readonly duringTransfer?: true;
  /** Lines of FEAT. */
  readonly feat?: (conversation: Conversation) => readonly string[];
  /** Arguments and purpose, for HELP. */
  readonly syntax: string;
  readonly about: string;
  /** @returns the reply; nothing when it was sent already. */
  readonly run: (conversation: Conversation, argument: Buffer) => Reply | Promise<Reply | undefined>;
}

export type CommandTable = Readonly<Record<string, Command>>;

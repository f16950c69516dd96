/**
 * What a protocol room (SFTP, FTPS) knows of a partner: one session and one view of files. Every rule about what a partner
 * sees and may do is behind these types; a protocol only translates. Errors are `SallyportError`s whose `partnerReply` is
 * what the partner may hear.
 */
import type { SessionId, TraceId } from '../shared/ids.ts';
import type { Grant } from '../shared/policy.ts';
import type { Secret } from '../shared/secret.ts';

export type Protocol = 'sftp' | 'ftps';

/** One connection of a stranger, before anybody is logged in. Made at TCP accept. */
export interface Visitor {
  readonly session: SessionId;
  readonly trace: TraceId;
  readonly protocol: Protocol;
  /** The address of the peer as text, IPv4-mapped addresses as IPv4. */
  readonly peer: string;
}

/** A logged-in partner. Made by the authenticator, ended exactly once. */
export interface PartnerSession extends Visitor {
  readonly partner: string;
  readonly grant: Grant;
  readonly view: PartnerView;
  /** Fires when the session must end now (revoked, node stopping); the reason says why. */
  readonly signal: AbortSignal;
  /** Ends the session: open uploads become partial, the token is given back. Idempotent. */
  end(reason: string): Promise<void>;
}

/**
 * A path as a partner sees it: absolute, `/`-separated, NFC-equal names are one name. Branded: made only by
 * `parseVirtualPath`, never used to form a path on disk.
 */
export type { VirtualPath } from '../shared/paths/virtual-path.ts';

import type { VirtualPath } from '../shared/paths/virtual-path.ts';

export interface FileEntry {
  /** Last component; `/` for the root. */
  readonly name: string;
  readonly kind: 'file' | 'folder';
  /** Bytes; 0 for folders. While an upload runs: the contiguous bytes so far. */
  readonly size: number;
  readonly modifiedAtMs: number;
  /** Taken inside already; still shown so that the client's look after its upload succeeds. */
  readonly ghost: boolean;
  /** Whether this session may write it or into it. */
  readonly writable: boolean;
}

/** A folder being listed. Entries that appear or vanish meanwhile may or may not be shown; no entry comes twice. */
export interface FolderHandle {
  /** `folders`: files are hidden, as for whoever may only pass through. */
  readonly shown: 'all' | 'folders';
  /** The next entries, at most `max`; empty at the end. */
  next(max: number): Promise<readonly FileEntry[]>;
}

/** What a partner may still put into a place, of his quota. Nothing in it comes from the host. */
export interface Space {
  readonly totalBytes: number;
  readonly freeBytes: number;
  readonly totalFiles: number;
  readonly freeFiles: number;
  /** Whether this session may put anything there at all. */
  readonly writable: boolean;
}

/** What the records know of the content of a complete file. */
export interface Digest {
  /** Hex. */
  readonly sha256: string;
  readonly size: number;
}

export interface ReadHandle {
  readonly path: VirtualPath;
  /** Bytes; never changes while the handle is open. */
  readonly size: number;
  /** SHA-256 of the whole, hex; null when the records have none. */
  readonly sha256: string | null;
  stat(): FileEntry;
  /**
   * Bytes from `offset`, as many as there are up to `length`; empty at or behind the end. Calls may overlap; sequential
   * reading is read ahead. The buffer belongs to the caller.
   * @throws SallyportError `sealed-damaged`, `key-refused`
   */
  read(offset: number, length: number): Promise<Buffer>;
  /** Releases it. A file that was read from the first byte to the last counts as downloaded. Idempotent. */
  close(): Promise<void>;
  /** Releases it; however much was read, nobody said that it arrived. Idempotent, no effect after close. */
  abandon(): Promise<void>;
}

export interface WriteHandle {
  readonly path: VirtualPath;
  /** Where an appending client must write: the contiguous bytes that are kept. */
  readonly size: number;
  stat(): FileEntry;
  /**
   * Takes bytes at an offset. Resolves when more may be sent: the bytes are ordered and queued, not yet durable. `bytes`
   * may be reused after the promise settles. Out-of-order writes within the window are put in order.
   * @throws SallyportError `write-out-of-window`, `quota-exceeded`, `no-space`, `upload-failed`
   */
  write(offset: number, bytes: Buffer): Promise<void>;
  /** Sets the shown modification time; a smaller size cuts the upload, a larger one is refused. */
  setAttributes(attributes: { readonly size?: number; readonly modifiedAtMs?: number }): Promise<void>;
  /**
   * Resolves when every byte that was taken so far outlives a crash: flushed to disk and noted in the records. The upload
   * goes on.
   * @throws SallyportError `upload-has-holes` when bytes before some of them are missing; `limit-reached` when it was asked
   *   too often; both leave the upload as it is. Any other failure ends it.
   */
  flush(): Promise<void>;
  /**
   * Completes the upload. Resolves when the item is durable and committed: only then may the partner hear "ok".
   * @param endUntold The sender never said that this was all; recorded with the item.
   */
  close(endUntold?: boolean): Promise<void>;
  /** From now on also nothing is kept as a partial when it is abandoned: programs look for the file before they resume. */
  keepEmpty(): void;
  /** The client is gone without closing: what came is kept as a partial for resuming. Idempotent, no effect after close. */
  abandon(reason: string): Promise<void>;
}

export interface OpenForWriting {
  /** Make the file when there is none. */
  readonly create: boolean;
  /** Fail when there is one. */
  readonly exclusive: boolean;
  /** Begin anew instead of resuming what is kept. */
  readonly truncate: boolean;
  /** All writes go to the end, whatever offset they name. */
  readonly append: boolean;
  /** The size of the whole that the client has announced (ALLO of FTP): too much is refused before the first byte. */
  readonly announcedBytes?: number;
}

/** All paths a session can name. Folders `/`, `/Inbox` (and below), `/Outbox` (and below) always exist. */
export interface PartnerView {
  /** The name of the account whose files these are. */
  readonly partner: string;
  /** Where sessions begin. */
  readonly home: VirtualPath;
  /** The path a text from the client names, relative to `base` or `home`. The name policy is applied here and nowhere else. */
  resolve(raw: Buffer, base?: VirtualPath): VirtualPath;
  stat(path: VirtualPath): Promise<FileEntry>;
  /** @throws SallyportError `no-such-file` when there is nothing of that name */
  space(path: VirtualPath): Promise<Space>;
  /** @throws SallyportError `unsupported` when the file is not complete or the records hold no digest of the whole */
  digest(path: VirtualPath): Promise<Digest>;
  openFolder(path: VirtualPath): Promise<FolderHandle>;
  openForReading(path: VirtualPath): Promise<ReadHandle>;
  openForWriting(path: VirtualPath, options: OpenForWriting): Promise<WriteHandle>;
  /** Without a size or a time: owner and mode, which are ignored, but not for what is not there or may not be changed. */
  setAttributes(path: VirtualPath, attributes: { readonly size?: number; readonly modifiedAtMs?: number }): Promise<void>;
  removeFile(path: VirtualPath): Promise<void>;
  makeFolder(path: VirtualPath): Promise<void>;
  removeFolder(path: VirtualPath): Promise<void>;
  /** `overwrite` as posix-rename asks; without it an existing target is `already-exists`. */
  rename(from: VirtualPath, to: VirtualPath, overwrite: boolean): Promise<void>;
}

/** One attempt to log in, as a protocol heard it. */
export type LoginAttempt =
  | {
      readonly method: 'password';
      readonly user: string;
      readonly password: Secret;
      /** A one-time code, when it was asked for by itself and something was typed. */
      readonly code?: Secret;
    }
  /** After `change`: he has proved who he is. */
  | { readonly method: 'new-password'; readonly user: string; readonly password: Secret }
  | { readonly method: 'key-probe'; readonly user: string; readonly algorithm: string; readonly key: Buffer }
  | {
      readonly method: 'key';
      readonly user: string;
      readonly algorithm: string;
      readonly key: Buffer;
      /** The signed data of RFC 4252 §7, beginning with the session identifier. */
      readonly signed: Buffer;
      /** As it came. */
      readonly signature: Buffer;
      /** What the session identifier is the hash of. */
      readonly transcript: Buffer;
    }
  /** A one-time code by itself, after a key. */
  | { readonly method: 'code'; readonly user: string; readonly code: Secret }
  /** DER of what TLS was shown, the client's own first. @see authCheckSchema */
  | { readonly method: 'certificate'; readonly user: string; readonly chain: readonly Buffer[] };

export type LoginOutcome =
  | { readonly outcome: 'accepted'; readonly session: PartnerSession }
  | { readonly outcome: 'key-acceptable' }
  | { readonly outcome: 'continue'; readonly methods: readonly ('password' | 'key' | 'code')[] }
  /** He is who he says, and must set another password before he is in; or the one he has just sent does not do. */
  | { readonly outcome: 'change'; readonly about: 'new' | 'weak' | 'used-before' }
  | { readonly outcome: 'rejected' }
  /** No internal node answers, or this source is throttled: "try again later". */
  | { readonly outcome: 'unavailable' };

/** Where SSH handshakes get the cookies from that make them fresh for the inside. */
export interface HandshakeCookieSource {
  /** 16 bytes, each time others. Undefined: there are none now; logins with a key are then "temporarily unavailable". */
  take(): Buffer | undefined | Promise<Buffer | undefined>;
}

/** Who a protocol room asks whether somebody may come in. */
export interface LoginDesk {
  /** May a connection from this address be served at all? Called at accept, before a byte is read. */
  admits(peer: string): boolean;
  /** Never throws for a refusal. Waits out the delay that failures earn before it answers. */
  login(visitor: Visitor, attempt: LoginAttempt, signal: AbortSignal): Promise<LoginOutcome>;
  /** A connection ended without a login; counts against its source. */
  leftWithoutLogin(visitor: Visitor, reason: 'no-attempt' | 'grace-exceeded' | 'broken-protocol'): void;
}

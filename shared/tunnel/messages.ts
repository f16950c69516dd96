/**
 * The tunnel's whole vocabulary: one table, from which the types are inferred, which both sides check every message
 * against, and from which PROTOCOL.md is generated. There is no verb that opens a connection and none that carries a
 * file-system path.
 */
import { z } from 'zod';
import { eventCatalogue, isEventName } from '../events/catalogue.ts';
import { dmzNetworkSchema } from '../firewall/dmz-network.ts';
import { decisionSchema, grantSchema, partnerName } from '../policy.ts';

export const protocolVersion = 1;

export const limits = {
  /** Largest control message that the DMZ may send inward, bytes of UTF-8. */
  controlToInsideBytes: 64 * 1024,
  /** Largest control message that the inside may send outward (policy bundles), bytes of UTF-8. */
  controlToDmzBytes: 4 * 1024 * 1024,
  /** Largest frame of a data socket, bytes. */
  dataFrameBytes: 256 * 1024,
  /** Requests of one side that may wait for an answer at the same time. */
  pendingRequests: 256,
  heartbeatMs: 3000,
  /** A link that was silent for so long is dead. */
  deadAfterMs: 9000,
  requestMs: 15_000,
  /** Items that one `inbox.collect` may name, and the most sealed bytes of one that is sent that way. */
  collectItems: 64,
  collectItemBytes: 128 * 1024,
  /** Certificates that one login may show, and the bytes of each: together they fit into a message. */
  certificates: 4,
  certificateBytes: 8 * 1024,
  /** Cookies for SSH handshakes that one answer gives. */
  handshakeCookies: 128,
  /** Bans that one answer tells. */
  listedBans: 200,
  listedSessions: 1000,
  /** Longest name a partner can see, bytes of UTF-8 (the whole virtual path). */
  pathBytes: 1024,
} as const;

const text = (max: number) =>
  z
    .string()
    .max(max)
    .refine((s) => s.isWellFormed(), 'lone surrogate');
const id = z.string().regex(/^[a-z2-7]{26}$/, 'an id is 26 characters of base32');
const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'lower-case hex SHA-256');
const token = z.string().regex(/^[A-Za-z0-9_-]{43}$/, 'a session token');
const count = z.int().min(0).max(Number.MAX_SAFE_INTEGER);
const millis = z.int().min(0).max(8.64e15);
const base64 = (max: number) =>
  z
    .string()
    .max(max)
    .regex(/^[A-Za-z0-9+/]*={0,2}$/, 'base64');
const path = text(limits.pathBytes);
const peerAddress = z
  .string()
  .max(64)
  .regex(/^[0-9a-fA-F:.]*$/, 'an IP address');

/** An address, or an IPv6 /64 as `2001:db8:0:1::/64`. */
const banSource = z
  .string()
  .min(2)
  .max(64)
  .regex(/^[0-9a-fA-F:.]+(\/64)?$/, 'an IP address or an IPv6 /64');

/** One age file of an item: an upload that was resumed has several, opened one after the other. */
export const segmentSchema = z.strictObject({
  /** SHA-256 of the age header (all bytes up to and with the line feed after the MAC). */
  headerSha256: sha256,
  /** Plaintext bytes of this segment that count; what lies behind them is not part of the file. */
  plainBytes: count,
  /** Bytes of the age file as stored. */
  sealedBytes: count,
  /** SHA-256 of those plaintext bytes where the DMZ could compute it; null after a crash cut the segment. */
  sha256: sha256.nullable(),
});
export type Segment = z.infer<typeof segmentSchema>;

/** An uploaded item as the DMZ describes it. Everything here is a claim that the inside checks. */
export const itemSchema = z.strictObject({
  id,
  seq: count,
  partner: partnerName,
  /** Virtual path, begins with `/Inbox/`. */
  path,
  size: count,
  /** SHA-256 of the whole content; null when the item has several segments. */
  sha256: sha256.nullable(),
  completedAtMs: millis,
  session: id,
  /** SHA-256 of the token of the session that uploaded it. */
  sessionProof: sha256,
  trace: id,
  segments: z.array(segmentSchema).min(1).max(1000),
  state: z.enum(['ready', 'held', 'unrouted', 'leased', 'offered', 'dropped']),
  decision: decisionSchema,
  policyNumber: count,
  /** The trigger file that completed it. */
  trigger: id.optional(),
  /** It is a trigger file, of so many items. */
  releases: count.optional(),
});
export type ItemDescription = z.infer<typeof itemSchema>;

const eventValue = z.union([text(4096), z.number(), z.boolean(), z.null()]);
export const wireEventSchema = z
  .strictObject({
    seq: count,
    name: z.string().max(64).refine(isEventName, 'no such event'),
    atMs: millis,
    trace: text(64).optional(),
    session: text(64).optional(),
    item: text(64).optional(),
    partner: text(64).optional(),
    fields: z.record(z.string().max(64), eventValue),
  })
  .refine((e) => {
    const known = isEventName(e.name) ? Object.keys(eventCatalogue[e.name].fields) : [];
    return Object.keys(e.fields).every((key) => known.includes(key));
  }, 'a field that the catalogue does not name');
export type WireEvent = z.infer<typeof wireEventSchema>;

export const helloSchema = z.strictObject({
  protocol: z.literal(protocolVersion),
  version: text(64),
  node: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/),
  features: z.array(text(32)).max(32),
  clockMs: millis,
});

const authCommon = {
  session: id,
  trace: id,
  user: text(128),
  peer: peerAddress,
  protocol: z.enum(['sftp', 'ftps']),
};

/** One attempt to log in. The secret exists in this message and in memory only. */
export const authCheckSchema = z.discriminatedUnion('method', [
  z.strictObject({
    ...authCommon,
    method: z.literal('password'),
    password: text(1024),
    /** A one-time code that was asked for by itself; otherwise it may be at the end of the password. */
    code: text(16).optional(),
  }),
  /** The password that is to count from now on, in a session that was answered `change`. */
  z.strictObject({ ...authCommon, method: z.literal('new-password'), password: text(1024) }),
  /** A key is offered without a signature: would it be accepted? */
  z.strictObject({ ...authCommon, method: z.literal('key-probe'), algorithm: text(64), key: base64(8192) }),
  z.strictObject({
    ...authCommon,
    method: z.literal('key'),
    algorithm: text(64),
    key: base64(8192),
    /** The signed data of RFC 4252 §7, beginning with the SSH session identifier. */
    signed: base64(16_384),
    /** As it came: the name of its algorithm, then the bytes (RFC 4253 §6.6). */
    signature: base64(4096),
    /** All that the SSH session identifier is the hash of (RFC 4253 §8), each field as a string: greetings, KEXINITs, host key, … */
    transcript: base64(24_576),
  }),
  /** A one-time code by itself, when a key was shown before on this session. */
  z.strictObject({ ...authCommon, method: z.literal('code'), code: text(64) }),
  /**
   * The client has shown this certificate on his TLS connection, with what leads to its authority, and its key is his. Whom it
   * stands for is judged inside. `continue` when it does not suffice: programs show theirs to everybody.
   */
  z.strictObject({
    ...authCommon,
    protocol: z.literal('ftps'),
    method: z.literal('certificate'),
    chain: z
      .array(base64(Math.ceil(limits.certificateBytes / 3) * 4))
      .min(1)
      .max(limits.certificates),
  }),
]);
export type AuthCheck = z.infer<typeof authCheckSchema>;

/** Never a reason: an unknown user and a wrong password get the same bytes. */
export const verdictSchema = z.discriminatedUnion('verdict', [
  z.strictObject({
    verdict: z.literal('accepted'),
    token,
    /** After this time the token is worth nothing: the session must have ended by then. */
    lifeMs: millis,
    grant: grantSchema,
  }),
  z.strictObject({ verdict: z.literal('key-acceptable') }),
  z.strictObject({
    verdict: z.literal('continue'),
    methods: z
      .array(z.enum(['password', 'key', 'code']))
      .min(1)
      .max(3),
  }),
  /** Only to who has proved who he is: he must set another password, or the one he has just sent does not do. */
  z.strictObject({ verdict: z.literal('change'), about: z.enum(['new', 'weak', 'used-before']) }),
  z.strictObject({ verdict: z.literal('rejected') }),
  z.strictObject({ verdict: z.literal('unavailable') }),
]);
export type Verdict = z.infer<typeof verdictSchema>;

export const dmzStatusSchema = z.strictObject({
  version: text(64),
  startedAtMs: millis,
  policyNumber: count,
  sessions: count,
  items: z.strictObject({ ready: count, held: count, unrouted: count, leased: count, offered: count, partial: count }),
  cacheBytes: count,
  freeBytes: count,
  /** How long the oldest item that is ready for the inside has waited. */
  oldestReadyMs: count.nullable(),
  lastEvent: count,
  rssBytes: count,
});
export type DmzStatus = z.infer<typeof dmzStatusSchema>;

const port = z.int().min(1).max(65_535);

/** How partners reach and recognise the doors that are open. Claims of the DMZ host, whose keys these are. */
export const doorFactsSchema = z.strictObject({
  sftp: z
    .strictObject({
      port,
      keys: z.array(z.strictObject({ line: text(2048), fingerprint: text(64) })).max(8),
    })
    .optional(),
  ftps: z
    .strictObject({
      explicit: port,
      implicit: port.optional(),
      passive: z.strictObject({ first: port, last: port }),
      /** SHA-256 as `openssl x509 -fingerprint` prints it. */
      certificate: text(95),
    })
    .optional(),
});
export type DoorFacts = z.infer<typeof doorFactsSchema>;

const nothing = z.strictObject({});

/** Who may begin it. */
export type Direction = 'inside' | 'dmz' | 'both';
interface Request {
  readonly by: Direction;
  readonly params: z.ZodType;
  readonly result: z.ZodType;
  readonly does: string;
}
interface Note {
  readonly by: Direction;
  readonly params: z.ZodType;
  readonly does: string;
}
interface Stream extends Request {
  /** `out`: bytes flow to the inside after the answer; `in`: bytes flow to the DMZ before it. */
  readonly flow: 'to-inside' | 'to-dmz';
}

/** Asked and answered on the control socket. */
export const requests = {
  'link.hello': {
    by: 'inside',
    params: helloSchema,
    result: helloSchema.extend({ link: id, epoch: count, dataToken: token }),
    does: 'First message of a link, or the link closes. The answer names the link, the lease epoch and the token that data sockets present.',
  },
  'link.ping': { by: 'both', params: nothing, result: nothing, does: 'Heartbeat.' },
  'policy.put': {
    by: 'inside',
    params: z.strictObject({ bundle: text(limits.controlToDmzBytes - 16_384), signature: base64(128), certificate: text(8192) }),
    result: z.strictObject({ number: count }),
    does: 'A signed policy bundle (canonical JSON text, Ed25519 signature, PEM certificate of the signing key). Answers the number now held.',
  },
  'trust.put': {
    by: 'both',
    params: z.strictObject({ statement: text(16_384), signature: base64(256) }),
    result: z.strictObject({ number: count }),
    does: 'Under which keys the sender may appear from now on: canonical JSON, signed by an authority of its that is recorded already. Answers the number now held.',
  },
  'session.revoke': {
    by: 'inside',
    params: z.strictObject({ partner: partnerName }),
    result: z.strictObject({ sessions: count }),
    does: 'Cuts the live sessions of a partner.',
  },
  'session.cut': {
    by: 'inside',
    params: z.strictObject({ sessions: z.array(id).max(limits.listedSessions) }),
    result: z.strictObject({ sessions: count }),
    does: 'Cuts these sessions, those of them that live.',
  },
  'session.list': {
    by: 'inside',
    params: z.strictObject({ after: text(26) }),
    result: z.strictObject({ sessions: z.array(id).max(limits.listedSessions), more: z.boolean() }),
    does: 'The live sessions, in the order of their ids, beginning behind one. What the inside opened before this link and is not among them is over.',
  },
  'bans.list': {
    by: 'inside',
    params: nothing,
    result: z.strictObject({
      bans: z.array(z.strictObject({ source: banSource, secondsLeft: count, reason: text(32) })).max(limits.listedBans),
      total: count,
    }),
    does: 'Sources that are refused now, those with most time left first.',
  },
  'bans.lift': {
    by: 'inside',
    params: z.strictObject({ source: banSource }),
    result: z.strictObject({ lifted: z.boolean() }),
    does: 'Forgets what counts against a source: an address, or an IPv6 /64.',
  },
  'doors.get': {
    by: 'inside',
    params: nothing,
    result: doorFactsSchema,
    does: 'Ports and fingerprints of the doors that are open, for what staff tells partners.',
  },
  'inbox.list': {
    by: 'inside',
    params: z.strictObject({ after: count, limit: z.int().min(1).max(64) }),
    result: z.strictObject({ items: z.array(itemSchema).max(64), more: z.boolean() }),
    does: 'Items that the inside has not confirmed, by rising number.',
  },
  'inbox.lease': {
    by: 'inside',
    params: z.strictObject({ id, epoch: count }),
    result: z.strictObject({ leaseMs: z.int().min(1000).max(86_400_000) }),
    does: 'Takes an item for this link. Asking again renews.',
  },
  'inbox.confirm': {
    by: 'inside',
    params: z.strictObject({
      id,
      epoch: count,
      sha256,
      outcome: z.enum(['delivered', 'pulled', 'quarantined', 'deleted', 'ignored']),
    }),
    result: z.strictObject({ removed: z.boolean() }),
    does: 'The inside has the item for good; the DMZ leaves a tombstone and drops its copy. Idempotent.',
  },
  'inbox.release': {
    by: 'inside',
    params: z.strictObject({ id, epoch: count }),
    result: nothing,
    does: 'Gives a lease back.',
  },
  'outbox.withdraw': {
    by: 'inside',
    params: z.strictObject({ id }),
    result: z.strictObject({ removed: z.boolean() }),
    does: 'Takes an offered item back.',
  },
  'network.get': {
    by: 'inside',
    params: nothing,
    result: dmzNetworkSchema,
    does: 'Where the DMZ node listens and what it may dial, for firewall rules. A claim of the DMZ.',
  },
  'status.get': { by: 'inside', params: nothing, result: dmzStatusSchema, does: 'Counters for health and metrics.' },
  'auth.check': { by: 'dmz', params: authCheckSchema, result: verdictSchema, does: 'One login attempt, answered inside.' },
  'auth.cookies': {
    by: 'dmz',
    params: z.strictObject({ count: z.int().min(1).max(limits.handshakeCookies) }),
    result: z.strictObject({
      cookies: z.array(z.string().regex(/^[A-Za-z0-9+/]{22}==$/, '16 bytes in base64')).max(limits.handshakeCookies),
      lifeMs: millis,
    }),
    does: 'Random numbers for the KEXINIT messages of the next SSH handshakes, each for one. Logins with a key count only in a handshake with one, and before its life is over.',
  },
  'item.ready': {
    by: 'dmz',
    params: itemSchema,
    result: z.strictObject({ decision: decisionSchema }),
    does: 'Registers a complete item while its session is valid. The answer is the decision that counts; the DMZ adopts it. Idempotent.',
  },
  'key.release': {
    by: 'dmz',
    params: z.strictObject({ token, item: id, headers: z.array(base64(16_384)).min(1).max(64) }),
    result: z.strictObject({ keys: z.array(base64(64)).min(1).max(64) }),
    does: 'The file keys of one item for one download by one live session, or refused.',
  },
} as const satisfies Record<string, Request>;

/** Sent without an answer. */
export const notes = {
  'link.bye': {
    by: 'both',
    params: z.strictObject({ reason: text(256) }),
    does: 'The sender closes the link; no new work is begun on it.',
  },
  'session.end': {
    by: 'dmz',
    params: z.strictObject({ token }),
    does: 'A session is over; its token is worth nothing from now on but a grace for uploads that were complete.',
  },
  'outbox.fetched': {
    by: 'dmz',
    params: z.strictObject({ item: id, partner: partnerName, session: id, atMs: millis }),
    does: 'A partner read an offered item whole. A claim of the DMZ.',
  },
} as const satisfies Record<string, Note>;

/** Begun by the inside, each on a data socket of its own while it lasts. */
export const streams = {
  'inbox.read': {
    by: 'inside',
    flow: 'to-inside',
    params: z.strictObject({ id, epoch: count, segment: z.int().min(0).max(999), offset: count }),
    result: nothing,
    does: 'The sealed bytes of one segment of a leased item, from an offset.',
  },
  'inbox.collect': {
    by: 'inside',
    flow: 'to-inside',
    params: z.strictObject({ epoch: count, ids: z.array(id).min(1).max(limits.collectItems) }),
    result: nothing,
    does: 'Leases small items and sends them whole: the time of the leases in milliseconds, then for each item the number of its sealed bytes and these bytes, all segments in order. Numbers have 32 bits, the high byte first. 0 bytes: not this way; that item is leased and read by itself.',
  },
  'outbox.offer': {
    by: 'inside',
    flow: 'to-dmz',
    params: z.strictObject({
      id,
      partner: partnerName,
      path,
      size: count,
      sha256,
      headerSha256: sha256,
      sealedBytes: count,
      modifiedAtMs: millis,
      expiresAtMs: millis,
      trace: id,
    }),
    result: z.strictObject({ stored: z.literal(true), path: path.optional() }),
    does: 'A sealed item for a partner. Answered after it is durable, with the path when its name was taken; an id that is already stored is answered at once.',
  },
  'events.read': {
    by: 'inside',
    flow: 'to-inside',
    params: z.strictObject({ after: count }),
    result: nothing,
    does: 'Events of the DMZ after a number, as JSON lines, then on as they happen.',
  },
} as const satisfies Record<string, Stream>;

export type RequestName = keyof typeof requests;
export type NoteName = keyof typeof notes;
export type StreamName = keyof typeof streams;

export type RequestParams<M extends RequestName> = z.infer<(typeof requests)[M]['params']>;
export type RequestResult<M extends RequestName> = z.infer<(typeof requests)[M]['result']>;
export type NoteParams<N extends NoteName> = z.infer<(typeof notes)[N]['params']>;
export type StreamParams<S extends StreamName> = z.infer<(typeof streams)[S]['params']>;
export type StreamResult<S extends StreamName> = z.infer<(typeof streams)[S]['result']>;

/**
 * Every state change that Sallyport records, with a number that never changes its meaning. EVENTS.md is generated from this
 * table (`npm run docs`), and a test fails when an event is recorded that is not here.
 */

/** `alarm`: somebody should look at it; `warning`: unusual; `info`: the normal course. */
export type EventLevel = 'info' | 'warning' | 'alarm';

interface EventKind<F extends string = string> {
  readonly id: `SP-${number}`;
  readonly level: EventLevel;
  /** Names of the fields, each with what it holds. A name that ends in `?` may be missing. */
  readonly fields: Readonly<Record<F, string>>;
  readonly meaning: string;
  /** What an operator does about it. Empty for the normal course. */
  readonly next: string;
}

const kind = <F extends string>(
  id: `SP-${number}`,
  level: EventLevel,
  meaning: string,
  fields: Record<F, string>,
  next = '',
): EventKind<F> => ({ id, level, fields, meaning, next });

export const eventCatalogue = {
  // nodes
  'node.started': kind('SP-1001', 'info', 'A node is up.', { version: 'of the program' }),
  'node.stopping': kind('SP-1002', 'info', 'A node was told to stop and drains.', { reason: 'signal or fault' }),
  'node.recovered': kind('SP-1003', 'info', 'Start-up recovery has brought records and files together.', {
    partials: 'interrupted uploads kept for resuming',
    removed: 'files without a record that were removed',
    damaged: 'items set aside',
    items: 'items waiting',
  }),
  'store.suspect': kind(
    'SP-1010',
    'alarm',
    'A flush to disk failed; nothing more is accepted.',
    { detail: 'the error' },
    'Check the disk, then restart the node.',
  ),
  'space.low': kind(
    'SP-1011',
    'alarm',
    'Free space fell below the gate; uploads are refused.',
    { freeBytes: 'now', gateBytes: 'needed' },
    'Make room on the file system of the state folder.',
  ),
  'store.replaced': kind(
    'SP-1012',
    'alarm',
    'The DMZ node has another record store than before: restored from a backup, or begun anew.',
    { peer: 'name of the node', last: 'number of the last event of the store before' },
    'If nobody did that, treat the DMZ host as suspect. Files offered since the backup are gone there: offer them again.',
  ),
  // tunnel
  'link.up': kind('SP-1101', 'info', 'The tunnel is connected.', {
    peer: 'name of the other node',
    fingerprint: 'of its key',
    group: 'TLS key exchange',
  }),
  'link.down': kind(
    'SP-1102',
    'warning',
    'The tunnel was lost.',
    { peer: 'name of the other node', reason: 'why' },
    'Nothing when it comes back by itself; otherwise check the network and the other node.',
  ),
  'link.refused': kind(
    'SP-1103',
    'alarm',
    'A tunnel connection was refused.',
    { check: 'which check failed', detail: 'what was wrong' },
    'Compare the fingerprints on both nodes; see `sallyport fingerprint`.',
  ),
  'link.taken-over': kind(
    'SP-1104',
    'alarm',
    'A new link of the same internal identity replaced a live one.',
    { peer: 'name of the node' },
    'If you did not restart the internal node, its key may be in use elsewhere.',
  ),
  'link.violation': kind(
    'SP-1105',
    'alarm',
    'The other side broke the tunnel protocol and was cut off.',
    { detail: 'what it sent' },
    'If both nodes have fitting versions, treat the other host as compromised.',
  ),
  'link.ca-recorded': kind(
    'SP-1106',
    'info',
    'The certificate authority of the pinned other node was recorded at first contact.',
    { fingerprint: 'of the CA' },
  ),
  // policy
  'policy.applied': kind('SP-1201', 'info', 'The DMZ node works by this policy now.', {
    number: 'of the bundle',
    expiresAtMs: 'when it ends',
  }),
  'policy.refused': kind(
    'SP-1202',
    'alarm',
    'A policy bundle was refused.',
    { detail: 'why' },
    'Treat the internal node as suspect until explained.',
  ),
  'policy.expired': kind(
    'SP-1203',
    'alarm',
    'The last policy ran out; partners are refused.',
    { number: 'of the bundle' },
    'Reconnect the internal node.',
  ),
  // sessions
  'session.connected': kind('SP-1301', 'info', 'A partner connection was accepted.', {
    protocol: 'sftp or ftps',
    peer: 'address',
    client: 'what it says it is',
  }),
  'session.opened': kind('SP-1302', 'info', 'A partner logged in.', { protocol: 'sftp or ftps', peer: 'address', method: 'how' }),
  'session.ended': kind('SP-1303', 'info', 'A partner session ended.', {
    reason: 'why',
    receivedBytes: 'from the partner',
    sentBytes: 'to the partner',
  }),
  'login.failed': kind('SP-1304', 'warning', 'A login was refused.', {
    peer: 'address',
    user: 'as typed',
    method: 'how',
    reason: 'in words',
  }),
  'source.banned': kind('SP-1305', 'warning', 'A source address is refused for a while.', {
    peer: 'address',
    seconds: 'how long',
    reason: 'why',
  }),
  'source.ban-lifted': kind('SP-1307', 'info', 'Staff lifted the ban of a source.', { source: 'address, or IPv6 /64' }),
  'connection.refused': kind('SP-1306', 'warning', 'A connection was closed before a login was possible.', {
    peer: 'address',
    reason: 'which limit',
  }),
  'auth.accepted': kind('SP-1311', 'info', 'The inside accepted a login.', {
    method: 'how',
    peer: 'address as the DMZ reports it',
    protocol: 'sftp or ftps',
  }),
  'auth.rejected': kind('SP-1312', 'warning', 'The inside refused a login.', {
    user: 'as typed',
    method: 'how',
    reason: 'known only inside',
    peer: 'address as the DMZ reports it',
  }),
  'auth.step': kind('SP-1321', 'info', 'A method of the login chain was asked about a password.', {
    user: 'as typed',
    method: 'its name; own are the partners of the configuration',
    outcome: 'accept, reject, unknown, failed or stopped',
    detail: 'what it saw',
    ms: 'how long it took',
  }),
  'totp.enrolled': kind('SP-1331', 'info', 'A partner has a new second factor; the one before, if any, is void.', {
    recoveryCodes: 'how many were made',
  }),
  'totp.removed': kind('SP-1332', 'warning', 'Staff removed the second factor of a partner.', {}),
  'totp.recovered': kind('SP-1333', 'warning', 'A partner logged in with a recovery code instead of a one-time code.', {
    left: 'recovery codes he still has',
  }),
  'auth.limited': kind(
    'SP-1313',
    'alarm',
    'More login attempts than the budget of the inside allows.',
    { user: 'as typed', budget: 'which one' },
    'If no partner is misconfigured, somebody is guessing passwords through the DMZ.',
  ),
  // uploads and names
  'upload.started': kind('SP-1401', 'info', 'A partner began to send a file.', {
    path: 'as the partner names it',
    offset: 'where it begins',
  }),
  'upload.partial': kind('SP-1402', 'warning', 'An upload ended before it was complete and is kept for resuming.', {
    path: 'as the partner names it',
    size: 'bytes kept',
    reason: 'why',
  }),
  'upload.refused': kind('SP-1403', 'warning', 'An upload was refused.', {
    path: 'as the partner names it',
    code: 'of the error',
    detail: 'by which rule',
  }),
  'item.completed': kind('SP-1404', 'info', 'An upload is complete and durable; the partner may be told so.', {
    path: 'as the partner names it',
    size: 'bytes',
    sha256: 'of the content, empty when only known inside',
  }),
  'upload.reopened': kind('SP-1405', 'info', 'A partner continues a whole file that nobody took yet; it is an upload again.', {
    path: 'as the partner names it',
    size: 'bytes it has',
    was: 'its item until now',
  }),
  'upload.end-untold': kind(
    'SP-1406',
    'warning',
    'Nobody said that an upload was whole: its connection just ended, and the node is set to take that for the end (FTP).',
    { path: 'as the partner names it' },
    'Compare the size with what the partner sent, or have him use TLS with close_notify and set ftps.requireEndOfData.',
  ),
  'item.renamed': kind('SP-1411', 'info', 'A partner renamed a file or folder.', { from: 'old path', to: 'new path' }),
  'item.removed': kind('SP-1412', 'info', 'A partner removed a file that was not yet taken.', {
    path: 'as the partner names it',
  }),
  'item.superseded': kind('SP-1413', 'info', 'A newer upload replaced one that was not yet taken.', {
    path: 'as the partner names it',
    by: 'the newer item',
  }),
  'folder.made': kind('SP-1414', 'info', 'A partner made a folder.', { path: 'as the partner names it' }),
  'folder.removed': kind('SP-1415', 'info', 'A partner removed a folder.', { path: 'as the partner names it' }),
  'item.ghost-removed': kind(
    'SP-1416',
    'info',
    'A partner removed a file that was taken already: he does not see it any more, and what was taken stays.',
    { path: 'as the partner names it' },
  ),
  // dispatch
  'item.routed': kind('SP-1501', 'info', 'A rule decided where an item goes.', {
    action: 'of the rule',
    target: 'destination or partner',
    rule: 'name and line',
  }),
  'item.unrouted': kind(
    'SP-1502',
    'alarm',
    'No rule matches an item; it waits.',
    { path: 'as the partner names it' },
    'Add a rule and send the internal node SIGHUP, or take the file with `sallyport pull`.',
  ),
  'item.held': kind(
    'SP-1503',
    'info',
    'An item waits: a rule holds it until somebody pulls it, or its upload is not complete yet.',
    {
      path: 'as the partner names it',
      rule: 'name and line, or what the upload waits for',
    },
  ),
  'item.held-long': kind(
    'SP-1506',
    'alarm',
    'An upload is held back for longer than its partner should need.',
    { path: 'as the partner names it', why: 'what it waits for', heldMs: 'for how long' },
    'Ask the partner whether the file is complete: it is delivered once he renames it, or sends what it waits for.',
  ),
  'item.released': kind('SP-1507', 'info', 'What an upload was held back for has come: it is complete.', {
    path: 'as the partner names it',
    why: 'what it waited for',
  }),
  'item.route-mismatch': kind(
    'SP-1504',
    'alarm',
    'The DMZ routed an item differently than the inside.',
    { dmz: 'its decision', inside: 'the one that counts' },
    'Harmless right after a change of rules; otherwise treat the DMZ host as suspect.',
  ),
  'item.dropped': kind('SP-1505', 'info', 'A rule deletes or ignores an item.', {
    action: 'delete or ignore',
    rule: 'name and line',
  }),
  // inside
  'item.registered': kind('SP-1601', 'info', 'The inside took note of an item while its session was valid.', {
    path: 'as the partner names it',
    size: 'bytes',
  }),
  'item.leased': kind('SP-1602', 'info', 'The inside is fetching an item.', { attempt: 'count' }),
  'item.staged': kind('SP-1603', 'info', 'The opened and verified bytes are durable inside.', {
    size: 'bytes',
    sha256: 'of the content',
  }),
  'item.delivered': kind('SP-1604', 'info', 'The file has its final name at the destination.', {
    destination: 'name',
    file: 'below the destination',
    size: 'bytes',
    sha256: 'of the content',
  }),
  'item.delivery-failed': kind(
    'SP-1605',
    'warning',
    'An attempt to deliver failed and will be repeated.',
    { code: 'of the error', detail: 'why', attempt: 'count' },
    'Nothing, unless it repeats.',
  ),
  'item.quarantined': kind(
    'SP-1606',
    'alarm',
    'An item was set aside and will not be delivered.',
    { reason: 'why' },
    'Look at the item with `sallyport trace`; ask the partner to send it again.',
  ),
  'item.confirmed': kind('SP-1607', 'info', 'The DMZ has dropped its copy of an item that the inside took.', {
    outcome: 'what became of it',
  }),
  'item.pulled': kind('SP-1608', 'info', 'A member of staff took an item by hand.', { path: 'as the partner names it' }),
  'item.gone': kind(
    'SP-1609',
    'warning',
    'The DMZ does not have an item any more that the inside did not take.',
    { path: 'as the partner names it' },
    'Nothing, when the trace shows that the partner removed, renamed or replaced it. Otherwise ask the partner to send it again.',
  ),
  'item.duplicate': kind('SP-1610', 'warning', 'A file was sent again: same partner, name and content.', {
    path: 'as the partner names it',
    of: 'the item that was first',
    action: 'deliver, suppress or quarantine',
  }),
  'item.replaced': kind('SP-1611', 'info', 'The file took the place of another one at its destination.', {
    destination: 'name',
    file: 'below the destination',
  }),
  'item.skipped': kind('SP-1612', 'warning', 'A destination has a file of that name, and the rule passes over those.', {
    destination: 'name',
    file: 'below the destination',
  }),
  'item.dispatched': kind('SP-1613', 'info', 'All destinations of an item are done with.', {
    path: 'as the partner names it',
    action: 'of the rule',
    destinations: 'with the file that each has',
    source: 'taken, or kept in the DMZ',
  }),
  'item.given-up': kind(
    'SP-1614',
    'alarm',
    'An item failed as often as its rule allows; it waits in the DMZ.',
    { destination: 'name', failures: 'count', reason: 'the last one' },
    'Mend the destination, then `sallyport retry ITEM`; or take the file with `sallyport pull`.',
  ),
  'item.retried': kind('SP-1615', 'info', 'Staff had an item tried again that was given up.', {
    path: 'as the partner names it',
  }),
  'destination.stopped': kind(
    'SP-1621',
    'alarm',
    'A destination failed too often in a row; nothing is tried there any more.',
    { destination: 'name', errors: 'in a row', reason: 'the last one' },
    'Mend the destination, then `sallyport destination resume NAME`. Its files wait in the DMZ meanwhile.',
  ),
  'destination.resumed': kind('SP-1622', 'info', 'Staff had a stopped destination tried again.', { destination: 'name' }),
  'program.ended': kind('SP-1623', 'info', 'A program was run on the file of an item.', {
    program: 'name of the destination',
    outcome: 'exit code, signal or timeout',
    ranMs: 'for how long',
    output: 'the beginning of what it wrote',
  }),
  // outbound
  'outgoing.found': kind('SP-1701', 'info', 'A finished file was found in an outgoing folder.', {
    file: 'below the folder',
    size: 'bytes',
  }),
  'outgoing.failed': kind('SP-1702', 'warning', 'A file could not be offered and stays where it is.', {
    file: 'below the folder',
    detail: 'why',
  }),
  'item.offered': kind('SP-1703', 'info', 'A sealed file is in the DMZ for a partner.', {
    path: 'as the partner sees it',
    size: 'bytes',
    sha256: 'of the content',
  }),
  'item.stored': kind('SP-1704', 'info', 'The DMZ stored an offered item.', { path: 'as the partner sees it', size: 'bytes' }),
  'item.downloaded': kind(
    'SP-1705',
    'info',
    'A partner read an item from the first byte to the last. This is the claim of the DMZ.',
    { path: 'as the partner sees it', size: 'bytes' },
  ),
  'item.download-partial': kind('SP-1706', 'info', 'A partner stopped reading before the end.', {
    path: 'as the partner sees it',
    size: 'bytes read',
  }),
  'item.withdrawn': kind('SP-1707', 'info', 'An offered item was taken back.', { reason: 'by whom' }),
  'item.expired': kind('SP-1708', 'warning', 'An item was removed because its time was over.', {
    path: 'as the partner sees it',
  }),
  // keys
  'key.released': kind('SP-1801', 'info', 'The inside gave the key of one item to one session.', {
    path: 'as the partner sees it',
  }),
  'key.refused': kind(
    'SP-1802',
    'alarm',
    'The DMZ asked for a key that it may not have.',
    { reason: 'which check failed' },
    'Treat the DMZ host as suspect.',
  ),
  'item.forged': kind(
    'SP-1803',
    'alarm',
    'The DMZ presented an item that no valid session can have sent.',
    { reason: 'which check failed' },
    'Treat the DMZ host as suspect.',
  ),
  // staff
  'partner.changed': kind('SP-1901', 'info', 'The configuration of partners was read anew.', { partners: 'count' }),
  'partner.adopted': kind('SP-1911', 'info', 'A user of a directory logged in for the first time and is a partner now.', {
    directory: 'its name',
    entry: 'what names his entry for good',
  }),
  'partner.forgotten': kind('SP-1912', 'info', 'The name of a user of a directory was given free.', {}),
  'config.refused': kind(
    'SP-1902',
    'alarm',
    'A changed configuration is wrong; the last good one stays in use.',
    { detail: 'file, line and error' },
    'Run `sallyport config check`.',
  ),
  'config.applied': kind('SP-1903', 'info', 'Another configuration was put in place.', {
    folder: 'where it came from',
    policy: 'number that the DMZ node holds',
    confirmUntilMs: 'when it goes back unless it is confirmed; 0: it stays',
  }),
  'config.confirmed': kind('SP-1904', 'info', 'The configuration that was put in place stays.', {}),
  'config.rolled-back': kind(
    'SP-1905',
    'alarm',
    'The configuration of before is back in place.',
    { reason: 'why' },
    'If nobody wanted that: see `sallyport plan`, then apply it again and confirm it.',
  ),
} as const satisfies Record<string, EventKind>;

export type EventName = keyof typeof eventCatalogue;
type Fields<N extends EventName> = keyof (typeof eventCatalogue)[N]['fields'] & string;
export type FieldsOf<N extends EventName> = { readonly [F in Fields<N>]: string | number | boolean | null };

export function isEventName(text: string): text is EventName {
  return Object.hasOwn(eventCatalogue, text);
}

/** Events in the life of an item: where it goes, its delivery inside, its way to a partner. */
import { type EventKind, kind } from './kind.ts';

export const itemEvents = {
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
} as const satisfies Record<string, EventKind>;

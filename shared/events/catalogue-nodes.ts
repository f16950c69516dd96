/** Events of the nodes themselves: starts and stops, the tunnel, policy and keys, what staff change. */
import { type EventKind, kind } from './kind.ts';

export const nodeEvents = {
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
  'door.lost': kind(
    'SP-1020',
    'warning',
    'The staff door went away: staff cannot ask the agent; transfers go on.',
    {},
    'Nothing when SP-1021 follows; otherwise look at the service of the staff door and its log.',
  ),
  'door.back': kind('SP-1021', 'info', 'The staff door is there again.', {}),
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
  'staff.logged-in': kind('SP-1931', 'info', 'A member of staff logged in to the admin socket.', {
    by: 'his name in the directory',
    role: 'auditor, operator or administrator',
  }),
  'staff.refused': kind('SP-1932', 'warning', 'A login of staff was refused.', { user: 'as typed', reason: 'known only inside' }),
  'staff.acted': kind('SP-1933', 'info', 'A member of staff changed something, or took contents of files.', {
    by: 'his name; of somebody who did not log in, the user name as his command told it',
    role: 'his role',
    did: 'what he asked for',
  }),
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
  'proof.holds': kind('SP-1921', 'info', 'A repeated check found that every claim about the pair holds.', {
    claims: 'how many were checked',
  }),
  'proof.drift': kind(
    'SP-1922',
    'alarm',
    'A repeated check found claims about the pair that do not hold.',
    { claims: 'how many were checked', failing: 'ids of those', offending: 'rules, files or sockets that break them' },
    'Run `sallyport prove`; it names each offending rule or file and the command that shows it.',
  ),
  'config.confirmed': kind('SP-1904', 'info', 'The configuration that was put in place stays.', {}),
  'config.rolled-back': kind(
    'SP-1905',
    'alarm',
    'The configuration of before is back in place.',
    { reason: 'why' },
    'If nobody wanted that: see `sallyport plan`, then apply it again and confirm it.',
  ),
} as const satisfies Record<string, EventKind>;

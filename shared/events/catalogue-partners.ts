/** Events of what partners do: sessions, uploads, names. */
import { type EventKind, kind } from './kind.ts';

export const partnerEvents = {
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
    key: 'of a login with a key alone: its fingerprint and name, or the certificate and who signed it',
  }),
  'auth.host-key': kind(
    'SP-1314',
    'warning',
    'A key login went over an SSH host key that was never seen before.',
    { hostKey: 'its fingerprint' },
    'Compare it with `ssh-keygen -l` on the DMZ host. `authentication.ssh.hostKeys` refuses all others.',
  ),
  'auth.withdrawn': kind('SP-1315', 'warning', 'A session ended because what it was opened with does not count any more.', {
    reason: 'key revoked, the password is another one now, …',
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
  'auth.certificate': kind('SP-1325', 'info', 'A client certificate was shown that does not let its partner in by itself.', {
    user: 'as typed',
    fingerprint: 'of the certificate, SHA-256',
    detail: 'why not',
  }),
  'password.invited': kind('SP-1335', 'info', 'Staff made a code with which a partner can set his password.', {
    expiresAtMs: 'when it is void',
  }),
  'password.uninvited': kind('SP-1336', 'info', 'Staff withdrew the code with which a partner could set his password.', {}),
  'password.changed': kind('SP-1337', 'warning', 'A partner set another password.', {
    with: 'what he showed before: the old one, or an invitation',
  }),
  'password.rehashed': kind('SP-1338', 'info', 'A password was hashed anew, as costly as new ones are.', {}),
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
} as const satisfies Record<string, EventKind>;

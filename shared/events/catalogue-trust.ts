/** Events of who may be at the other end of the tunnel: invitations, certificates, and the exchange of keys. */
import { kind } from './kind.ts';

export const trustEvents = {
  'link.keys-announced': kind(
    'SP-1107',
    'warning',
    'The other node says under which keys it may appear from now on.',
    { number: 'of the statement', fingerprints: 'of these keys' },
    'If nobody exchanges keys there (`cert rotate`), treat the other host as compromised.',
  ),
  'enrolment.invited': kind('SP-1111', 'info', 'An invitation for an internal node was made.', {
    invitation: 'its number',
    label: 'for whom',
    expiresAtMs: 'when it ends',
  }),
  'enrolment.withdrawn': kind('SP-1112', 'info', 'An invitation was withdrawn.', { invitation: 'its number' }),
  'enrolment.accepted': kind(
    'SP-1113',
    'warning',
    'An internal node showed an invitation and is the one that may connect from now on.',
    { peer: 'its name', fingerprint: 'of its key', invitation: 'its number', label: 'for whom it was made' },
    'Compare the fingerprint with `sallyport fingerprint` on the internal host.',
  ),
  'enrolment.refused': kind(
    'SP-1114',
    'alarm',
    'Somebody showed an invitation that is used, ended or invented.',
    { reason: 'why', from: 'address', fingerprint: 'of the key that was shown, when there was one' },
    'If it was not a second try of yours, look who can reach the port of the tunnel.',
  ),
  'certificate.renewed': kind('SP-1121', 'info', 'A node renewed a certificate of its own.', {
    kind: 'tunnel or policy',
    fingerprint: 'of the key, which stays',
    endsAtMs: 'of the new one',
  }),
  'certificate.ending': kind(
    'SP-1122',
    'alarm',
    'A certificate ends soon and was not renewed.',
    { whose: 'name of the node', kind: 'tunnel or authority', endsAtMs: 'when' },
    'Look at `cert list` and the log of that node. An authority is exchanged with `cert rotate`.',
  ),
  'identity.changed': kind('SP-1123', 'warning', 'A step in the exchange of the keys of this node was taken.', {
    step: 'announce, switch, retire or back',
    phase: 'after it',
    fingerprint: 'of the keys in use',
    other: 'of the keys beside them',
  }),
  'certificate.revoked': kind('SP-1124', 'warning', 'A key was put on the list of refused ones.', {
    fingerprint: 'of the key',
    reason: 'as given',
  }),
} as const;

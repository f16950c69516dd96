import assert from 'node:assert/strict';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import test from 'node:test';
import { dayMs, newAuthority, type Oddity, oddKeys } from '../../test/hostile/odd-keys.ts';
import {
  clientUsageOid,
  issueLeaf,
  newPolicyKey,
  newTunnelKey,
  policyUsageOid,
  serverUsageOid,
  validFor,
} from './certificates.ts';
import type { NodeKeys } from './node-keys.ts';
import { checkPeer, verifyPolicyCertificate } from './peer-check.ts';

const now = Date.now();
const judge = (keys: NodeKeys, over: { fingerprint?: string; recordedCa?: string; nowMs?: number } = {}) => {
  const verdict = checkPeer(
    { leaf: new X509Certificate(keys.tunnelCertificatePem), authority: new X509Certificate(keys.caCertificatePem) },
    { role: 'internal', fingerprint: over.fingerprint ?? keys.fingerprint, recordedCa: over.recordedCa },
    over.nowMs ?? now,
  );
  return verdict.ok ? 'ok' : verdict.check;
};
const odd = (oddity: Oddity) => judge(oddKeys('internal', oddity));

test('accepts the pinned node with and without a recorded authority', () => {
  const keys = oddKeys('internal');
  assert.equal(judge(keys), 'ok');
  assert.equal(judge(keys, { recordedCa: keys.caCertificatePem }), 'ok');
});

test('names the one check that fails', () => {
  const keys = oddKeys('internal');
  assert.equal(judge(keys, { fingerprint: oddKeys('internal').fingerprint }), 'pin');
  assert.equal(judge(keys, { recordedCa: newAuthority().certificatePem }), 'ca');
  assert.equal(judge(keys, { nowMs: now + 11 * dayMs }), 'expired');
  assert.equal(judge(keys, { nowMs: now - dayMs }), 'not-yet-valid');
  assert.equal(odd({ presentedCa: newAuthority().certificatePem }), 'ca');
  assert.equal(odd({ usages: [] }), 'usage');
  assert.equal(odd({ usages: [serverUsageOid] }), 'usage');
  assert.equal(odd({ usages: [clientUsageOid, serverUsageOid] }), 'usage');
  assert.equal(odd({ uri: 'sallyport://dmz/odd' }), 'usage');
  assert.equal(odd({ uri: 'https://example.org/' }), 'usage');
  assert.equal(odd({ authority: newAuthority({ notBeforeMs: now - 2 * dayMs, notAfterMs: now - dayMs }) }), 'expired');
  const expected = { role: 'internal', fingerprint: keys.fingerprint, recordedCa: undefined } as const;
  const none = checkPeer({ leaf: undefined, authority: undefined }, expected, now);
  assert.equal(!none.ok && none.check, 'no-certificate');
  const leaf = new X509Certificate(keys.tunnelCertificatePem);
  const bare = checkPeer({ leaf, authority: undefined }, expected, now);
  assert.equal(!bare.ok && bare.check, 'ca');
});

test('does not take a leaf for an authority', () => {
  const between = oddKeys('internal');
  const issuer = { key: createPrivateKey(between.tunnelKeyPem), certificatePem: between.tunnelCertificatePem };
  assert.equal(odd({ authority: issuer }), 'ca');
});

test('gives the policy key only for a certificate of the recorded authority with the policy purpose', () => {
  const authority = newAuthority();
  const issue = (over: { usages?: string[]; key?: ReturnType<typeof newTunnelKey>; from?: typeof authority } = {}) =>
    issueLeaf(
      {
        name: 'odd',
        uri: 'sallyport://internal/odd',
        publicKey: over.key ?? newPolicyKey(),
        usages: over.usages ?? [policyUsageOid],
        validity: validFor(now, 10),
      },
      over.from ?? authority,
    );
  const verify = (pem: string, nowMs = now) =>
    verifyPolicyCertificate(pem, [newAuthority().certificatePem, authority.certificatePem], nowMs);
  const refusedFor = (check: string) => (error: unknown) =>
    (error as { code?: string }).code === 'peer-refused' && (error as { fields: { check: string } }).fields.check === check;
  assert.equal(verify(issue()).asymmetricKeyType, 'ed25519');
  assert.throws(() => verify(issue({ from: newAuthority() })), refusedFor('ca'));
  assert.throws(() => verify(issue({ usages: [clientUsageOid] })), refusedFor('usage'));
  assert.throws(() => verify(issue({ key: newTunnelKey() })), refusedFor('usage'));
  assert.throws(() => verify(issue(), now + 11 * dayMs), refusedFor('expired'));
  assert.throws(() => verify('garbage'), refusedFor('no-certificate'));
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newSessionId, newTraceId } from '../../shared/ids.ts';
import { AuthBench } from '../../test/fixtures/auth-bench.ts';
import { type CertificateFields, certificateLogin, makeCertificate, optionText } from '../../test/fixtures/ssh-certificates.ts';
import { makeKey } from '../../test/fixtures/ssh-login.ts';
import { parseSshPublicKeyBlob } from '../ssh-public-key.ts';
import { certificateObjection, readCertificate } from './ssh-certificate.ts';

const authority = makeKey('ed25519');
const ofSite = makeKey('ecdsa384');
const strangers = makeKey('ed25519');
const key = makeKey('ed25519');
const partners = {
  acme: { authorities: [authority.publicLine] },
  batch: { authorities: [authority.publicLine], principals: ['acme-batch', 'night'] },
  globex: { keys: [makeKey('ed25519').publicLine] },
};

async function bench(): Promise<AuthBench> {
  const made = await AuthBench.make(partners);
  made.trust = { ...made.trust, authorities: [parseSshPublicKeyBlob(ofSite.blob)] };
  return made;
}

/** @returns `accepted`, or why it was refused. */
async function login(
  at: AuthBench,
  user: string,
  fields: CertificateFields,
  over: { readonly by?: typeof authority; readonly holder?: typeof key; readonly of?: typeof key; readonly peer?: string } = {},
): Promise<string> {
  const { by = authority, of = key, holder = of, peer } = over;
  const blob = makeCertificate(of, by, fields);
  const args = { user, session: newSessionId(), trace: newTraceId(), handshake: at.handshake(), ...(peer ? { peer } : {}) };
  const { verdict } = await at.check(certificateLogin(holder, blob, args));
  return verdict === 'rejected' ? String(at.lastReason) : verdict;
}

test('a certificate of an authority of the partner lets him in, with each kind of key, and the trail names it', async () => {
  await using at = await bench();
  for (const kind of ['ed25519', 'ecdsa256', 'ecdsa521', 'rsa2048'] as const) {
    assert.equal(await login(at, 'acme', {}, { of: makeKey(kind) }), 'accepted', kind);
  }
  for (const by of [makeKey('rsa2048'), makeKey('ecdsa256')]) {
    at.trust = { ...at.trust, authorities: [parseSshPublicKeyBlob(by.blob)] };
    assert.equal(await login(at, 'acme', { serial: 77n }, { by }), 'accepted', by.parsed.type);
  }
});

test('the authority of a partner is nobody for another, and that of all is good for whom a certificate names', async () => {
  await using at = await bench();
  assert.equal(await login(at, 'globex', { principals: ['globex'] }), 'authority not trusted');
  assert.equal(await login(at, 'globex', { principals: ['globex'] }, { by: ofSite }), 'accepted');
  assert.equal(await login(at, 'globex', { principals: ['acme'] }, { by: ofSite }), 'certificate of somebody else');
  assert.equal(await login(at, 'acme', {}, { by: strangers }), 'authority not trusted');
  assert.equal(await login(at, 'acme', {}, { holder: makeKey('ed25519') }), 'bad signature');
});

test('principals: one of those of the partner, by default his name; with none a certificate is for nobody', async () => {
  await using at = await bench();
  assert.equal(await login(at, 'batch', { principals: ['x', 'night'] }), 'accepted');
  assert.equal(await login(at, 'batch', { principals: ['batch'] }), 'certificate of somebody else');
  assert.equal(await login(at, 'acme', { principals: [] }), 'certificate of somebody else');
  assert.equal(await login(at, 'acme', { principals: ['ACME', 'acme ', '*'] }), 'certificate of somebody else');
});

test('dates count by the clock of the inside, to the second', async () => {
  await using at = await bench();
  const now = BigInt(Math.floor(at.clock.nowMs() / 1000));
  assert.equal(await login(at, 'acme', { validAfter: now, validBefore: now + 1n }), 'accepted');
  assert.equal(await login(at, 'acme', { validAfter: now + 1n }), 'certificate not valid yet');
  assert.equal(await login(at, 'acme', { validBefore: now }), 'certificate expired');
});

test('conditions: source addresses hold, sftp as the one command is no restriction, what is not known refuses', async () => {
  await using at = await bench();
  const only = (name: string, value: Buffer) => ({ criticalOptions: [[name, value]] as const });
  const ranges = only('source-address', optionText('198.51.100.0/24,2001:db8::/32'));
  assert.equal(await login(at, 'acme', ranges, { peer: '198.51.100.9' }), 'accepted');
  assert.equal(await login(at, 'acme', ranges, { peer: '2001:db8::7' }), 'accepted');
  assert.equal(await login(at, 'acme', ranges, { peer: '192.0.2.1' }), 'certificate for another source address');
  const broken = only('source-address', optionText('192.0.2.1/24,anywhere'));
  assert.equal(await login(at, 'acme', broken), 'certificate for another source address');
  assert.equal(await login(at, 'acme', only('force-command', optionText('internal-sftp'))), 'accepted');
  const unknown = 'certificate with an unknown condition';
  assert.equal(await login(at, 'acme', only('force-command', optionText('rm -rf /'))), unknown);
  assert.equal(await login(at, 'acme', only('whatever@example.com', Buffer.alloc(0))), unknown);
  assert.equal(await login(at, 'acme', only('source-address', Buffer.from('192.0.2.1'))), unknown);
  assert.equal(
    await login(at, 'acme', {
      extensions: [
        ['permit-pty', Buffer.alloc(0)],
        ['new@example.com', Buffer.alloc(9)],
      ],
    }),
    'accepted',
  );
});

test('what is no user certificate is refused: of a host, with an option twice, with a byte too many, of SHA-1', async () => {
  await using at = await bench();
  const twice = [
    ['verify-required', Buffer.alloc(0)],
    ['verify-required', Buffer.alloc(0)],
  ] as const;
  for (const fields of [{ kind: 2 }, { criticalOptions: twice }, { extensions: twice }, { trailing: Buffer.from([0]) }]) {
    assert.equal(await login(at, 'acme', fields), 'no certificate');
  }
  assert.equal(await login(at, 'acme', { type: 'ssh-rsa-cert-v01@openssh.com' }), 'no certificate');
  const rsa = makeKey('rsa2048');
  const args = { user: 'acme', session: newSessionId(), trace: newTraceId(), handshake: at.handshake() };
  const sha1 = certificateLogin(rsa, makeCertificate(rsa, authority), { ...args, algorithm: 'ssh-rsa-cert-v01@openssh.com' });
  assert.deepEqual(await at.check(sha1), { verdict: 'rejected' });
  assert.equal(at.lastReason, 'algorithm does not fit the key');
  assert.equal(readCertificate(Buffer.alloc(7000)), undefined);
  assert.equal(readCertificate(key.blob), undefined);
});

test('a byte that differs anywhere makes the signature of the authority void', () => {
  const blob = makeCertificate(key, authority, { extensions: [['permit-pty', Buffer.alloc(0)]] });
  const use = { principals: ['acme'], peer: '', nowMs: 1 };
  const objectionTo = (bytes: Buffer) => {
    const read = readCertificate(bytes);
    return read && certificateObjection(read, use);
  };
  assert.ok(readCertificate(blob));
  assert.equal(objectionTo(blob), undefined);
  let read = 0;
  for (let at = 0; at < blob.length; at += 3) {
    const other = Buffer.from(blob);
    other[at] = (other[at] ?? 0) ^ 0x20;
    if (!readCertificate(other)) continue;
    read += 1;
    assert.equal(objectionTo(other), 'certificate not signed by its authority', `byte ${at}`);
  }
  assert.ok(read > 20, String(read));
});

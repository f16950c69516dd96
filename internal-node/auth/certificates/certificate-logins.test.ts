import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { silentLogger } from '../../../shared/log.ts';
import { ManualClock } from '../../../test/fixtures/manual-clock.ts';
import { TestAuthority } from '../../../test/fixtures/test-authority.ts';
import { type CertificateHolder, CertificateLogins } from './certificate-logins.ts';
import { type IssuerFileNames, IssuerFiles, loadIssuers } from './issuer-files.ts';

let root: TestAuthority;
let clock: ManualClock;
before(async () => {
  root = await TestAuthority.make('root');
  clock = new ManualClock({ startMs: Date.now() + 3_600_000 });
});
after(() => root[Symbol.asyncDispose]());

const derOf = (...pems: readonly string[]): string[] => pems.map((pem) => new X509Certificate(pem).raw.toString('base64'));
const printOf = (pem: string): string => new X509Certificate(pem).fingerprint256.replaceAll(':', '').toLowerCase();
const clockIn = (days: number): ManualClock => new ManualClock({ startMs: Date.now() + days * 86_400_000 });
const unregistered: CertificateHolder = { certificates: [] };

/** What is said about a chain that somebody shows as `acme`. */
async function judged(
  chain: readonly string[],
  names: IssuerFileNames,
  holder: CertificateHolder = unregistered,
  at: { readonly clock?: ManualClock; readonly user?: string } = {},
): Promise<string> {
  const issuers = await loadIssuers(names);
  const deps = { issuers: { current: async () => issuers }, commonNameIsPartner: () => true, clock: at.clock ?? clock };
  const { fits, detail } = await new CertificateLogins(deps).judge(chain, at.user ?? 'acme', holder);
  return `${fits ? 'yes' : 'no'}: ${detail}`;
}

test('AU-17: a certificate of a trusted authority is his whose name its CN is, to the letter', async () => {
  const mine = await root.issue({ subject: '/O=Acme/CN=acme' });
  const authorities = root.file;
  assert.equal(await judged(derOf(mine.cert), { authorities }), 'yes: an authority issued it to CN=acme');
  assert.equal(await judged(derOf(mine.cert), { authorities }, unregistered, { user: 'Acme' }), 'no: it is for CN=acme');
  const shouted = await root.issue({ subject: '/CN=ACME' });
  assert.equal(await judged(derOf(shouted.cert), { authorities }), 'no: it is for CN=ACME');
  await using other = await TestAuthority.make('root');
  const forged = await other.issue({ subject: '/CN=acme' });
  assert.equal(await judged(derOf(forged.cert), { authorities }), 'no: none of the authorities has issued it');
  assert.equal(await judged(derOf(forged.cert, root.cert), { authorities }), 'no: none of the authorities has issued it');
  assert.equal(await judged(derOf(mine.cert), {}), 'no: none of the authorities has issued it');
  assert.equal(await judged(['AAAA'], { authorities }), 'no: it cannot be read');
});

test('alternative names that are written at a partner are his, and no others', async () => {
  const extensions = ['basicConstraints=CA:FALSE', 'subjectAltName=DNS:edi.acme.example,email:edi@acme.example,URI:urn:acme'];
  const { cert } = await root.issue({ subject: '/CN=gateway 7', extensions });
  const at = (name: string) => judged(derOf(cert), { authorities: root.file }, { certificates: [], certificateNames: [name] });
  for (const name of ['dns:edi.acme.example', 'email:edi@acme.example', 'uri:urn:acme', 'CN=gateway 7']) {
    assert.equal(await at(name), `yes: an authority issued it to ${name}`);
  }
  for (const name of ['dns:acme.example', 'dns:EDI.acme.example', 'CN=gateway', 'email:edi.acme.example']) {
    assert.match(await at(name), /^no: it is for /);
  }
});

test('a path through an authority in between counts as far as lengths, dates and purposes allow', async () => {
  const between = await root.intermediate('between');
  const mine = await between.issue({ subject: '/CN=acme' });
  const authorities = root.file;
  assert.equal(await judged(derOf(mine.cert, between.cert), { authorities }), 'yes: an authority issued it to CN=acme');
  assert.equal(await judged(derOf(mine.cert), { authorities }), 'no: none of the authorities has issued it');
  assert.equal(await judged(derOf(mine.cert), { authorities: between.file }), 'yes: an authority issued it to CN=acme');
  await using short = await TestAuthority.make('short', 'CA:TRUE,pathlen:0');
  const below = await short.intermediate('below');
  const far = await below.issue({ subject: '/CN=acme' });
  const tooFar = 'no: its path is longer than an authority allows';
  assert.equal(await judged(derOf(far.cert, below.cert), { authorities: short.file }), tooFar);
  // Whoever has a certificate of a client could issue others with its key.
  const client = await root.issue({ subject: '/CN=globex' });
  await writeFile(join(root.folder, 'client.crt'), client.cert);
  await assert.rejects(loadIssuers({ authorities: join(root.folder, 'client.crt') }), /is no authority/);
  const server = await root.issue({ subject: '/CN=acme', extensions: ['extendedKeyUsage=serverAuth'] });
  assert.equal(await judged(derOf(server.cert), { authorities }), 'no: it is not for TLS clients');
  assert.match(await judged(derOf(between.cert), { authorities }), /^no: it is that of an authority/);
  const odd = await root.issue({ subject: '/CN=acme', extensions: ['1.2.3.4=critical,DER:0500'] });
  assert.equal(await judged(derOf(odd.cert), { authorities }), 'no: its critical extension 1.2.3.4 is not understood');
  const [late, early] = [clockIn(20), clockIn(-1)];
  assert.match(await judged(derOf(mine.cert, between.cert), { authorities }, unregistered, { clock: late }), /^no: it ended on /);
  assert.match(
    await judged(derOf(mine.cert, between.cert), { authorities }, unregistered, { clock: early }),
    /^no: it begins on /,
  );
});

test('revoked is revoked, also with a serial number whose first bit is set; without a list of today nobody is in', async () => {
  const authorities = root.file;
  const high = await root.issue({ subject: '/CN=acme', serial: 'F123456789ABCDEF' });
  const good = await root.issue({ subject: '/CN=acme', serial: 'F123456789ABCDEE' });
  for (const form of ['PEM', 'DER'] as const) {
    const revocationLists = [await root.revocationList(['F123456789ABCDEF', '1234'], form)];
    const names = { authorities, revocationLists };
    assert.equal(await judged(derOf(high.cert), names), 'no: it was revoked');
    assert.equal(await judged(derOf(good.cert), names), 'yes: an authority issued it to CN=acme');
    const later = clockIn(3);
    const outOfDate = 'no: the revocation list of its authority is out of date';
    assert.equal(await judged(derOf(good.cert), names, unregistered, { clock: later }), outOfDate);
    const registered = { certificates: [printOf(high.cert)] };
    assert.equal(await judged(derOf(high.cert), names, registered), 'no: it is registered, but it was revoked');
  }
  const between = await root.intermediate('revoking');
  const { cert } = await between.issue({ subject: '/CN=acme' });
  const lists = [await root.revocationList([])];
  const itsOwn = [...lists, await between.revocationList([])];
  assert.equal(
    await judged(derOf(cert, between.cert), { authorities, revocationLists: itsOwn }),
    'yes: an authority issued it to CN=acme',
  );
  const none = 'no: its authority has no revocation list here';
  assert.equal(await judged(derOf(cert, between.cert), { authorities, revocationLists: lists }), none);
  await using other = await TestAuthority.make('root');
  const foreign = await other.revocationList([]);
  await assert.rejects(loadIssuers({ authorities, revocationLists: [foreign] }), /not signed by the authority that it names/);
});

test('a registered certificate needs no authority, but its dates count', async () => {
  await using self = await TestAuthority.make('own');
  const { cert } = await self.issue({ subject: '/CN=whoever' });
  const holder = { certificates: [printOf(cert)] };
  assert.equal(await judged(derOf(cert), {}, holder), 'yes: it is registered');
  assert.equal(await judged(derOf(cert), { authorities: root.file }, holder), 'yes: it is registered');
  const late = clockIn(20);
  assert.match(await judged(derOf(cert), {}, holder, { clock: late }), /^no: it is registered, but it ended on/);
});

test('files are read again when they change; a broken one keeps what was read before, other settings do not', async () => {
  const list = join(root.folder, 'current.crl');
  await copyFile(await root.revocationList([]), list);
  let names: IssuerFileNames = { authorities: root.file, revocationLists: [list] };
  const files = new IssuerFiles({ names: () => names, clock, log: silentLogger });
  const revoked = async () => [...((await files.current()).lists?.[0]?.revoked ?? [])];
  assert.deepEqual(await revoked(), []);
  await copyFile(await root.revocationList(['ABCD']), list);
  clock.advance(6000);
  assert.deepEqual(await revoked(), ['abcd']);
  await writeFile(list, (await readFile(list)).subarray(0, 40));
  clock.advance(6000);
  assert.deepEqual(await revoked(), ['abcd']);
  names = { authorities: root.file, revocationLists: [join(root.folder, 'none')] };
  assert.deepEqual((await files.current()).authorities, []);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newSessionId, newTraceId } from '../../shared/ids.ts';
import type { Verdict } from '../../shared/tunnel/messages.ts';
import { AuthBench, hashFor } from '../../test/fixtures/auth-bench.ts';
import { eventually } from '../../test/fixtures/eventually.ts';
import { certificateLogin, makeCertificate } from '../../test/fixtures/ssh-certificates.ts';
import { makeKey } from '../../test/fixtures/ssh-login.ts';
import { KeyRevocationList } from './key-revocation-list.ts';

const [first, second, authority, certified] = [makeKey('ed25519'), makeKey('ed25519'), makeKey('ed25519'), makeKey('ed25519')];
const partners = {
  acme: {
    password: hashFor('correct'),
    keys: [first.publicLine, second.publicLine],
    authorities: [authority.publicLine],
  },
  both: { password: hashFor('correct'), keys: [first.publicLine], require: 'key+password' },
  due: { password: hashFor('correct'), passwordMustChange: true },
};
const fresh = 'wagon copper lantern 41 thistle';

async function lives(bench: AuthBench, verdict: Verdict): Promise<boolean> {
  assert.equal(verdict.verdict, 'accepted');
  return verdict.verdict === 'accepted' && (await bench.sessions.byToken(verdict.token)) !== undefined;
}
const listOf = (...lines: readonly string[]): KeyRevocationList => KeyRevocationList.parse(Buffer.from(lines.join('\n')));

test('a key that is revoked or removed ends the sessions that it opened, alone or with a password, and no other', async () => {
  await using bench = await AuthBench.make(partners);
  const ids = [newSessionId(), newSessionId(), newSessionId(), newSessionId()] as const;
  const byFirst = await bench.key('acme', first, { session: ids[0] });
  const bySecond = await bench.key('acme', second, { session: ids[1] });
  const byPassword = await bench.password('acme', 'correct', { session: ids[2] });
  assert.equal((await bench.key('both', first, { session: ids[3] })).verdict, 'continue');
  const byBoth = await bench.password('both', 'correct', { session: ids[3] });
  await bench.withdrawals.look();
  assert.deepEqual(bench.cut, []);
  bench.revoked = () => listOf(first.publicLine);
  await bench.withdrawals.look();
  assert.deepEqual([...bench.cut].sort(), [ids[0], ids[3]].sort());
  assert.equal(await lives(bench, byFirst), false);
  assert.equal(await lives(bench, byBoth), false);
  assert.equal(await lives(bench, bySecond), true);
  assert.equal(await lives(bench, byPassword), true);
  bench.reconfigure({ ...partners, acme: { password: hashFor('correct'), keys: [] } });
  await bench.withdrawals.look();
  assert.equal(await lives(bench, bySecond), false);
  assert.equal(await lives(bench, byPassword), true);
  const told = (await bench.audited()).filter(({ name }) => name === 'auth.withdrawn');
  assert.deepEqual(told.map(({ reason }) => reason).sort(), ['key not registered', 'key revoked', 'key revoked']);
});

test('a certificate that ends leaves its session alone; one whose authority or serial is revoked does not', async () => {
  await using bench = await AuthBench.make(partners);
  const validBefore = BigInt(Math.floor(bench.clock.nowMs() / 1000) + 60);
  const blob = makeCertificate(certified, authority, { principals: ['acme'], validBefore, serial: 7n });
  const login = () => {
    const args = { user: 'acme', session: newSessionId(), trace: newTraceId(), handshake: bench.handshake() };
    return bench.check(certificateLogin(certified, blob, args));
  };
  const verdict = await login();
  assert.equal(await lives(bench, verdict), true);
  bench.clock.advance(120_000);
  await bench.withdrawals.look();
  assert.deepEqual(await login(), { verdict: 'rejected' });
  assert.equal(await lives(bench, verdict), true);
  bench.revoked = () => {
    throw new Error('the list cannot be read');
  };
  await bench.withdrawals.look();
  assert.equal(await lives(bench, verdict), true, 'a list that cannot be read ends nothing');
  bench.revoked = () => listOf(authority.publicLine);
  await bench.withdrawals.look();
  assert.equal(await lives(bench, verdict), false);
});

test('a partner who sets another password ends his sessions with the old one; hashing it anew ends none', async () => {
  await using bench = await AuthBench.make(partners);
  const withOld = await bench.password('acme', 'correct');
  const { code } = await bench.passwords.invite('acme', 60_000);
  const session = newSessionId();
  assert.equal((await bench.password('acme', code, { session })).verdict, 'change');
  const common = { trace: newTraceId(), peer: '192.0.2.1', protocol: 'sftp' } as const;
  const withNew = await bench.check({ method: 'new-password', user: 'acme', password: fresh, session, ...common });
  await bench.withdrawals.look();
  assert.equal(await lives(bench, withOld), false);
  assert.equal(await lives(bench, withNew), true);
  assert.equal(bench.cut.length, 1);
});

test('a key that is revoked while the password is awaited lets nobody in', async () => {
  await using bench = await AuthBench.make(partners);
  const session = newSessionId();
  assert.equal((await bench.key('both', first, { session })).verdict, 'continue');
  bench.revoked = () => listOf(first.publicLine);
  assert.deepEqual(await bench.password('both', 'correct', { session }), { verdict: 'rejected' });
  assert.equal(bench.lastReason, 'what was shown first does not count any more');
});

test('a password that its partner replaces while it is being checked opens no session', async () => {
  await using bench = await AuthBench.make(partners);
  const { code } = await bench.passwords.invite('acme', 60_000);
  const session = newSessionId();
  assert.equal((await bench.password('acme', code, { session })).verdict, 'change');
  let first = true;
  bench.onHash = async () => {
    if (!first) return;
    first = false;
    const common = { trace: newTraceId(), peer: '192.0.2.1', protocol: 'sftp' } as const;
    const set = await bench.check({ method: 'new-password', user: 'acme', password: fresh, session, ...common });
    assert.equal(set.verdict, 'accepted');
  };
  assert.deepEqual(await bench.password('acme', 'correct'), { verdict: 'rejected' });
});

test('a list that has changed is seen without anybody asking', async () => {
  await using bench = await AuthBench.make(partners);
  const verdict = await bench.key('acme', first);
  await bench.withdrawals.start();
  const tick = async (done: () => Promise<boolean>): Promise<boolean> => {
    bench.clock.advance(1000);
    return await done();
  };
  const revoked = listOf(first.publicLine);
  bench.revoked = () => revoked;
  await eventually('the session is over', () => tick(async () => !(await lives(bench, verdict))));
  await bench.withdrawals.stop();
});

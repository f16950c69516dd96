import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newSessionId, newTraceId } from '../../../shared/ids.ts';
import type { Verdict } from '../../../shared/tunnel/messages.ts';
import { AuthBench, hashFor } from '../../../test/fixtures/auth-bench.ts';
import { eventually } from '../../../test/fixtures/eventually.ts';
import { formatPasswordHash, parsePasswordHash } from '../../password-phc.ts';

const mustChange = { verdict: 'change', about: 'new' };
const rejected = { verdict: 'rejected' };
const fresh = 'wagon copper lantern 41 thistle';
const cheap = formatPasswordHash({ ...parsePasswordHash(hashFor('correct')), memoryKib: 7168, passes: 1 });

const partners = {
  acme: { password: hashFor('correct'), formerPasswords: [hashFor('an older one that was fine')], passwordMustChange: true },
  invited: { choosesPassword: true },
  old: { password: hashFor('correct'), passwordSince: '2026-01-01' },
  cheap: { password: cheap },
};

const newPassword = (bench: AuthBench, user: string, password: string, session: string): Promise<Verdict> =>
  bench.check({ method: 'new-password', user, password, session, trace: newTraceId(), peer: '192.0.2.1', protocol: 'sftp' });

test('an invitation is good once, for its time, whatever the case it is typed in, and only to set a password', async () => {
  await using bench = await AuthBench.make(partners);
  assert.deepEqual(await bench.password('invited', 'anything at all'), rejected);
  const { code } = await bench.passwords.invite('invited', 3_600_000);
  assert.match(code, /^([a-z2-7]{5}-){3}[a-z2-7]{5}$/);
  const session = newSessionId();
  assert.deepEqual(await bench.password('invited', code.toUpperCase().replaceAll('-', ' '), { session }), mustChange);
  assert.deepEqual(await bench.password('acme', code), rejected, 'it is his alone');
  assert.deepEqual(await newPassword(bench, 'invited', fresh, newSessionId()), rejected, 'another session has shown nothing');
  assert.deepEqual(await newPassword(bench, 'acme', fresh, session), rejected, 'nor has this one for another partner');
  assert.deepEqual(await newPassword(bench, 'invited', 'short', session), { verdict: 'change', about: 'weak' });
  assert.deepEqual(await newPassword(bench, 'invited', code, session), { verdict: 'change', about: 'used-before' });
  const verdict = await newPassword(bench, 'invited', fresh, session);
  assert.equal(verdict.verdict === 'accepted' && verdict.grant.partner, 'invited');
  assert.deepEqual(await bench.password('invited', code), rejected);
  assert.deepEqual(await newPassword(bench, 'invited', `${fresh} 2`, session), rejected);
  assert.equal((await bench.password('invited', fresh)).verdict, 'accepted');

  const late = await bench.passwords.invite('invited', 3_600_000);
  bench.clock.advance(3_600_000);
  assert.deepEqual(await bench.password('invited', late.code), rejected);
  const withdrawn = await bench.passwords.invite('invited', 3_600_000);
  const other = newSessionId();
  assert.deepEqual(await bench.password('invited', withdrawn.code, { session: other }), mustChange);
  assert.equal(await bench.passwords.withdraw('invited'), true);
  assert.deepEqual(await newPassword(bench, 'invited', `${fresh} 3`, other), rejected, 'withdrawn while he was typing');
});

test('who must change his password is not in before, cannot keep it or take back an older one, and may try five times', async () => {
  await using bench = await AuthBench.make(partners);
  const session = newSessionId();
  assert.deepEqual(await bench.password('acme', 'wrong', { session }), rejected);
  assert.deepEqual(await newPassword(bench, 'acme', fresh, session), rejected, 'nothing right was shown');
  assert.deepEqual(await bench.password('acme', 'correct', { session }), mustChange);
  const older = 'an older one that was fine';
  assert.deepEqual(await newPassword(bench, 'acme', 'correct', session), { verdict: 'change', about: 'weak' });
  assert.deepEqual(await newPassword(bench, 'acme', older, session), { verdict: 'change', about: 'used-before' });
  assert.equal((await newPassword(bench, 'acme', fresh, session)).verdict, 'accepted');
  assert.deepEqual(await bench.password('acme', 'correct'), rejected);
  assert.equal((await bench.password('acme', fresh)).verdict, 'accepted');
  const stubborn = newSessionId();
  bench.passwordSettings = { maxAgeMs: 86_400_000, remember: 8 };
  assert.deepEqual(await bench.password('old', 'correct', { session: stubborn }), mustChange, 'it is too old');
  for (let i = 0; i < 5; i += 1) {
    assert.deepEqual(await newPassword(bench, 'old', 'weak', stubborn), { verdict: 'change', about: 'weak' });
  }
  assert.deepEqual(await newPassword(bench, 'old', fresh, stubborn), rejected);
});

test('a password that staff writes later counts again, one of before a restart still does', async () => {
  await using bench = await AuthBench.make(partners);
  const { code } = await bench.passwords.invite('cheap', 60_000);
  const session = newSessionId();
  await bench.password('cheap', code, { session });
  assert.equal((await newPassword(bench, 'cheap', fresh, session)).verdict, 'accepted');
  const { passwords } = await bench.database.call('password.all', undefined);
  const [kept] = passwords;
  assert.ok(kept);
  const hash = (password: string) => ({ password: parsePasswordHash(password) });
  assert.equal(formatPasswordHash(bench.passwords.of('cheap', hash(cheap)) ?? hash(cheap).password), kept.hash);
  const written = hash(hashFor('written by staff'));
  assert.equal(bench.passwords.of('cheap', written), written.password);
});

test('Argon2id parameters rise at a login: a cheaper hash is replaced once the password was right', async () => {
  await using bench = await AuthBench.make(partners);
  assert.deepEqual(await bench.password('cheap', 'wrong'), rejected);
  const kept = async () => (await bench.database.call('password.all', undefined)).passwords;
  assert.deepEqual(await kept(), []);
  assert.equal((await bench.password('cheap', 'correct')).verdict, 'accepted');
  await eventually('it is hashed anew', async () => (await kept()).length === 1);
  const [{ hash } = { hash: '' }] = await kept();
  assert.match(hash, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
  assert.equal((await bench.password('cheap', 'correct')).verdict, 'accepted');
});

test('who was asked for a new password cannot set one any more once staff has set another', async () => {
  await using bench = await AuthBench.make(partners);
  const session = newSessionId();
  assert.deepEqual(await bench.password('acme', 'correct', { session }), mustChange);
  bench.reconfigure({ ...partners, acme: { password: hashFor('what staff set after the old one leaked') } });
  assert.deepEqual(await newPassword(bench, 'acme', fresh, session), rejected);
  assert.equal(bench.lastReason, 'no change of password was asked for');
  assert.deepEqual(await bench.password('acme', fresh), rejected);
  assert.equal((await bench.password('acme', 'what staff set after the old one leaked')).verdict, 'accepted');
});

test('a change of password that is being hashed while staff sets another one opens no session, and does not count', async () => {
  await using bench = await AuthBench.make(partners);
  const session = newSessionId();
  assert.deepEqual(await bench.password('acme', 'correct', { session }), mustChange);
  let hashes = 0;
  bench.onHash = async () => {
    hashes += 1;
    // The last one is that of the new password itself: those before look for it among the former ones.
    if (hashes === 3) bench.reconfigure({ ...partners, acme: { password: hashFor('what staff set meanwhile') } });
  };
  assert.deepEqual(await newPassword(bench, 'acme', fresh, session), rejected);
  assert.equal(hashes, 3);
  assert.deepEqual(await bench.password('acme', fresh), rejected);
  assert.equal((await bench.password('acme', 'what staff set meanwhile')).verdict, 'accepted');
});

test('what a partner set himself is forgotten a day after he is gone, and is not the password of the next one of his name', async () => {
  await using bench = await AuthBench.make(partners);
  const dayMs = 86_400_000;
  const sets = async () => {
    const session = newSessionId();
    const { code } = await bench.passwords.invite('invited', 3_600_000);
    await bench.password('invited', code, { session });
    assert.equal((await newPassword(bench, 'invited', fresh, session)).verdict, 'accepted');
  };
  await sets();
  await bench.passwords.keepOnly(['acme']);
  bench.clock.advance(dayMs - 1);
  await bench.passwords.keepOnly(['acme', 'invited']);
  assert.equal((await bench.password('invited', fresh)).verdict, 'accepted', 'a change that was taken back');
  await bench.passwords.invite('invited', 10 * dayMs);
  await bench.passwords.keepOnly(['acme']);
  await bench.passwords.keepOnly(['acme']);
  bench.clock.advance(dayMs);
  await bench.passwords.keepOnly(['acme', 'invited']);
  assert.deepEqual(await bench.password('invited', fresh), rejected);
  assert.deepEqual(await bench.database.call('password.all', undefined), { passwords: [], invitations: [] });
});

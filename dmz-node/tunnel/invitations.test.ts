import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { spkiOf } from '../../shared/pki/certificates.ts';
import { invitationId, readInvitation } from '../../shared/pki/invitation.ts';
import { ManualClock } from '../../test/fixtures/manual-clock.ts';
import { oddKeys } from '../../test/hostile/odd-keys.ts';
import { type Claim, Invitations } from './invitations.ts';

const dmz = oddKeys('dmz').fingerprint;
const minuteMs = 60_000;
const clock = new ManualClock();
let folder: string;
let made = 0;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-invitations-'));
});
after(() => rm(folder, { recursive: true }));

function fresh(): { invitations: Invitations; file: string } {
  made += 1;
  const file = join(folder, `${made}.json`);
  return { invitations: new Invitations({ clock }, { file }), file };
}

const claimOf = (token: string, by = 'SPI-one', proves: Claim['proves'] = () => true): Claim => ({
  id: invitationId(spkiOf(readInvitation(token).key)),
  by,
  proves,
});

test('works once, for one node, which may come again with it while its answer was lost', async () => {
  const { invitations, file } = fresh();
  const { token, id } = await invitations.make(dmz, { ttlMs: minuteMs, label: 'inner1' });
  assert.deepEqual(
    invitations.open().map((one) => one.id),
    [id],
  );
  const both = await Promise.all([invitations.redeem(claimOf(token)), invitations.redeem(claimOf(token, 'SPI-two'))]);
  assert.deepEqual(
    both.map(({ ok }) => ok),
    [true, false],
  );
  assert.deepEqual(both[1], { ok: false, reason: 'used' });
  assert.deepEqual(invitations.open(), []);

  const restarted = new Invitations({ clock }, { file });
  await restarted.load();
  assert.equal((await restarted.redeem(claimOf(token))).ok, true);
  assert.deepEqual(await restarted.redeem(claimOf(token, 'SPI-two')), { ok: false, reason: 'used' });
  // Somebody else has been introduced since: the first one does not get his place back with an old token.
  clock.advance(1);
  const second = await restarted.make(dmz, { ttlMs: minuteMs, label: '' });
  assert.equal((await restarted.redeem(claimOf(second.token, 'SPI-two'))).ok, true);
  assert.deepEqual(await restarted.redeem(claimOf(token)), { ok: false, reason: 'used' });
});

test('what is kept cannot be used, and an unproved, ended, withdrawn or invented one is told apart for the audit trail only', async () => {
  const { invitations, file } = fresh();
  const { token } = await invitations.make(dmz, { ttlMs: minuteMs, label: '' });
  const kept = await readFile(file, 'utf8');
  assert.ok(!kept.includes(token.split('.')[2] ?? ''), 'the secret is not on the disk');
  assert.deepEqual(await invitations.redeem(claimOf(token, 'SPI-one', () => false)), { ok: false, reason: 'wrong proof' });
  assert.deepEqual(await invitations.redeem({ ...claimOf(token), id: 'a'.repeat(64) }), { ok: false, reason: 'unknown' });
  clock.advance(minuteMs);
  assert.deepEqual(await invitations.redeem(claimOf(token)), { ok: false, reason: 'expired' });
  const other = await invitations.make(dmz, { ttlMs: minuteMs, label: '' });
  assert.equal(await invitations.withdraw(other.id), true);
  assert.equal(await invitations.withdraw(other.id), false);
  assert.deepEqual(await invitations.redeem(claimOf(other.token)), { ok: false, reason: 'unknown' });
});

test('there are never many open at once, and ended ones are forgotten in time', async () => {
  const { invitations, file } = fresh();
  for (let n = 0; n < 16; n++) await invitations.make(dmz, { ttlMs: minuteMs, label: String(n) });
  await assert.rejects(invitations.make(dmz, { ttlMs: minuteMs, label: 'one more' }), { code: 'limit-reached' });
  clock.advance(8 * 86_400_000);
  await invitations.make(dmz, { ttlMs: minuteMs, label: 'later' });
  assert.equal((JSON.parse(await readFile(file, 'utf8')) as unknown[]).length, 1);
});

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Database } from '../../shared/durable/database.ts';
import { accountsFrom } from '../../test/fixtures/accounts.ts';
import type { AuthOperations } from '../../test/fixtures/auth-records.ts';
import { ManualClock } from '../../test/fixtures/manual-clock.ts';
import type { DirectoryUser } from './directory-operations.ts';
import { AdoptedPartners } from './directory-partners.ts';

const accounts = accountsFrom({
  acme: { directory: 'corporate' },
  globex: { directory: 'other' },
  whoever: { directory: 'corporate' },
});
const member = ((account) => {
  assert.ok(account);
  return account;
})(accounts.get('whoever'));
const user = (partner: string, entry: string, groups: readonly string[] = []): DirectoryUser => ({
  partner,
  directory: 'corporate',
  entry,
  groups,
});

async function bench() {
  const folder = await mkdtemp(join(tmpdir(), 'adopted-'));
  const open = async () => {
    const database = await Database.open<AuthOperations>({
      file: join(folder, 'records.db'),
      operations: new URL('../../test/fixtures/auth-records.ts', import.meta.url),
      audit: { folder: join(folder, 'audit'), node: 'inside' },
    });
    const told: (readonly DirectoryUser[])[] = [];
    const partners = new AdoptedPartners({
      records: database,
      accounts: {
        configured: (partner) => (partner === 'whoever' ? undefined : accounts.get(partner)),
        adoptedAccount: () => member,
        adopt: (users) => told.push(users),
      },
      clock: new ManualClock(),
    });
    await partners.start();
    return { database, partners, names: () => told.at(-1)?.map(({ partner }) => partner) };
  };
  return { open, [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) };
}

test('a name stays that of the entry that had it first, also after a restart, until it is forgotten', async () => {
  await using site = await bench();
  const first = await site.open();
  assert.ok(await first.partners.accountFor(user('john', 'uuid:1', ['a']), true));
  assert.equal(await first.partners.accountFor(user('john', 'uuid:2'), true), undefined);
  assert.deepEqual(first.names(), ['john']);
  await first.database.close();
  const second = await site.open();
  assert.deepEqual(second.names(), ['john']);
  assert.equal(await second.partners.accountFor(user('john', 'uuid:2'), true), undefined);
  assert.equal(await second.partners.forget('john'), true);
  assert.equal(await second.partners.forget('john'), false);
  assert.ok(await second.partners.accountFor(user('john', 'uuid:2'), true));
  await second.database.close();
});

test('an entry that is renamed gives its old name free, and a rehearsal takes none', async () => {
  await using site = await bench();
  const { database, partners, names } = await site.open();
  assert.ok(await partners.accountFor(user('john', 'uuid:1'), false));
  assert.deepEqual(names(), []);
  await partners.accountFor(user('john', 'uuid:1'), true);
  assert.equal(await partners.accountFor(user('john', 'uuid:9'), false), undefined);
  await partners.accountFor(user('johnny', 'uuid:1'), true);
  assert.deepEqual(names(), ['johnny']);
  assert.ok(await partners.accountFor(user('john', 'uuid:9'), true));
  await database.close();
});

test('a partner of the configuration is a user of a directory only if it says so', async () => {
  await using site = await bench();
  const { database, partners, names } = await site.open();
  assert.equal(await partners.accountFor(user('acme', 'uuid:1'), true), accounts.get('acme'));
  assert.equal(await partners.accountFor(user('globex', 'uuid:2'), true), undefined);
  assert.deepEqual(names(), []);
  await database.close();
});

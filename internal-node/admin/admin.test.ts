import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { Clock } from '../../shared/clock.ts';
import type { EventName } from '../../shared/events/catalogue.ts';
import { loadInternalSettings } from '../config.ts';
import type { InternalStatus, OpenedItem, TracedEvent } from './api.ts';
import { initInternal } from './init.ts';
import { addPartner } from './partner-change.ts';
import { parsePartnerPath } from './partner-path.ts';
import { PullTickets } from './pull-tickets.ts';
import { saveFile } from './save-file.ts';
import { troubles } from './status-text.ts';
import { causeOf } from './trace-text.ts';

const root = await mkdtemp(join(tmpdir(), 'sallyport-admin-'));
after(() => rm(root, { recursive: true }));
let count = 0;
async function folder(): Promise<string> {
  count += 1;
  const path = join(root, String(count));
  await mkdir(path, { mode: 0o700 });
  return path;
}

const key = (byte: number): string => {
  const blob = Buffer.concat([
    Buffer.from([0, 0, 0, 11]),
    Buffer.from('ssh-ed25519'),
    Buffer.from([0, 0, 0, 32]),
    Buffer.alloc(32, byte),
  ]);
  return `ssh-ed25519 ${blob.toString('base64')} someone`;
};
const noIdentity = { makeSealingIdentity: async () => {} };
const partnerOf = (name: string, keyTexts: readonly string[]) => ({ name, keyTexts, from: [], require: 'any' as const });

// init

test('init makes a node whose configuration loads, and never overwrites it', async () => {
  const dir = await folder();
  const made = await initInternal({ dir, name: 'inner1' }, noIdentity);
  assert.match(made.fingerprint, /^SPI-/);
  const settings = await loadInternalSettings(made.config);
  assert.equal(settings.destinations[0]?.folder, join(dir, 'delivered'));
  assert.equal((await stat(join(dir, 'state/keys'))).mode & 0o777, 0o700);
  assert.equal((await stat(join(dir, 'conf.d/partners.yaml'))).mode & 0o777, 0o600);
  const before = await readFile(made.config, 'utf8');
  await assert.rejects(initInternal({ dir, name: 'other' }, noIdentity), { code: 'already-exists' });
  assert.equal(await readFile(made.config, 'utf8'), before);
});

test('an init that was cut short goes on with the same keys', async () => {
  const dir = await folder();
  const broken = { makeSealingIdentity: () => Promise.reject(new Error('cut')) };
  await assert.rejects(initInternal({ dir, name: 'inner1' }, broken), /cut/);
  const certificate = await readFile(join(dir, 'state/keys/tunnel.crt'), 'utf8');
  const made = await initInternal({ dir, name: 'inner1' }, noIdentity);
  assert.equal(made.keysReused, true);
  assert.equal(await readFile(join(dir, 'state/keys/tunnel.crt'), 'utf8'), certificate);
});

test('init refuses a folder that others can change, and a state that others can enter', async () => {
  const open = await folder();
  await chmod(open, 0o777);
  await assert.rejects(initInternal({ dir: open, name: 'inner1' }, noIdentity), { code: 'key-file' });
  const dir = await folder();
  await mkdir(join(dir, 'state'));
  await chmod(join(dir, 'state'), 0o755);
  await assert.rejects(initInternal({ dir, name: 'inner1' }, noIdentity), (error: Error) =>
    error.message.includes(join(dir, 'state')),
  );
  assert.deepEqual(await readdir(join(dir, 'state')), []);
});

test('a name that YAML would read as something else is kept', async () => {
  const dir = await folder();
  const { config } = await initInternal({ dir, name: '1.0', delivered: join(dir, 'a: b #c') }, noIdentity);
  const settings = await loadInternalSettings(config);
  assert.equal(settings.name, '1.0');
  assert.equal(settings.destinations[0]?.folder, join(dir, 'a: b #c'));
});

// partners

const commented = `# Our partners. Ask Kim before you change this.
partners:
  # since 2019
  zeta:   # the oldest
    keys:
      - "${key(1)}"   # laptop of Z.
rules: []   # none yet
`;

test('adding a partner keeps every comment and every other value', async () => {
  const dir = await folder();
  const file = join(dir, 'partners.yaml');
  await writeFile(file, commented, { mode: 0o640 });
  await addPartner(file, { ...partnerOf('acme', [key(2)]), from: ['198.51.100.0/24'] }, ['zeta']);
  const text = await readFile(file, 'utf8');
  for (const comment of ['# Our partners. Ask Kim', '# since 2019', '# the oldest', '# laptop of Z.', '# none yet']) {
    assert.ok(text.includes(comment), `${comment} is gone:\n${text}`);
  }
  assert.ok(text.includes(key(1)) && text.includes(key(2)) && text.includes('198.51.100.0/24'));
  assert.ok(text.indexOf('zeta') < text.indexOf('acme'));
  assert.equal((await stat(file)).mode & 0o777, 0o640);
  assert.deepEqual(await readdir(dir), ['partners.yaml']);
});

test('the file of a new node, and none at all, take the first partner', async () => {
  const dir = await folder();
  const { config } = await initInternal({ dir, name: 'inner1' }, noIdentity);
  await addPartner(join(dir, 'conf.d/partners.yaml'), partnerOf('acme', [`# a comment\n${key(3)}\n\n${key(4)}\n`]), []);
  await addPartner(join(dir, 'conf.d/more.yaml'), partnerOf('globex', [key(5)]), ['acme']);
  const { partners } = await loadInternalSettings(config);
  assert.deepEqual(Object.keys(partners).sort(), ['acme', 'globex']);
  assert.equal(partners.acme?.keys.length, 2);
});

test('a partner that exists, a private key and a bad network leave the file as it was', async () => {
  const dir = await folder();
  const file = join(dir, 'partners.yaml');
  await writeFile(file, commented);
  const privateKey = '-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n';
  await assert.rejects(addPartner(file, partnerOf('zeta', [key(2)]), ['zeta']), { code: 'already-exists' });
  await assert.rejects(addPartner(file, partnerOf('acme', [privateKey]), []), { code: 'usage' });
  await assert.rejects(addPartner(file, partnerOf('acme', ['not a key']), []), {
    code: 'usage',
    message: /^--key: expected an OpenSSH public key line/,
  });
  await assert.rejects(addPartner(file, partnerOf('ACME', [key(2)]), []), { code: 'usage' });
  await assert.rejects(addPartner(file, partnerOf('acme', []), []), { code: 'usage' });
  await assert.rejects(addPartner(file, { ...partnerOf('acme', [key(2)]), from: ['nowhere'] }, []), {
    code: 'usage',
    message: /^--from nowhere: expected an IP address/,
  });
  assert.equal(await readFile(file, 'utf8'), commented);
});

// pulling

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
async function* chunks(...texts: readonly string[]): AsyncIterable<Buffer> {
  for (const text of texts) yield Buffer.from(text);
}

test('a pulled file appears whole or not at all', async () => {
  const dir = await folder();
  const target = join(dir, 'a.csv');
  await saveFile(target, chunks('one', 'two'), { size: 6, sha256: sha256('onetwo') }, false);
  assert.equal(await readFile(target, 'utf8'), 'onetwo');
  await assert.rejects(saveFile(join(dir, 'b'), chunks('short'), { size: 6, sha256: sha256('short!') }, false), {
    code: 'content-mismatch',
  });
  await assert.rejects(saveFile(target, chunks('new'), { size: 3, sha256: sha256('new') }, false), { code: 'already-exists' });
  assert.equal(await readFile(target, 'utf8'), 'onetwo');
  await saveFile(target, chunks('new'), { size: 3, sha256: sha256('new') }, true);
  assert.equal(await readFile(target, 'utf8'), 'new');
  const missing = join(dir, 'no', 'a.csv');
  await assert.rejects(saveFile(missing, chunks('x'), { size: 1, sha256: sha256('x') }, false), {
    code: 'usage',
    message: `there is no folder ${join(dir, 'no')}`,
  });
  assert.deepEqual(await readdir(dir), ['a.csv']);
});

function ticketBench() {
  const timers: (() => void)[] = [];
  const clock: Clock = {
    nowMs: () => 0,
    monotonicMs: () => 0,
    sleep: () => Promise.resolve(),
    after: (_delayMs, action) => {
      timers.push(action);
      return () => timers.splice(timers.indexOf(action), 1);
    },
  };
  const happened: string[] = [];
  const item: OpenedItem = {
    item: 'x',
    name: 'a',
    path: 'acme/Inbox/a',
    size: 6,
    sha256: sha256('onetwo'),
    content: chunks('one', 'two'),
    commit: async () => void happened.push('commit'),
    release: async () => void happened.push('release'),
  };
  return { timers, happened, item, tickets: new PullTickets({ clock }, { most: 1, lifeMs: 1000 }) };
}

test('an item counts as pulled only after all its bytes went out and the ticket came back', async () => {
  const { happened, item, tickets, timers } = ticketBench();
  const { ticket, content } = tickets.issue(item);
  await assert.rejects(tickets.commit(ticket), { code: 'item-unknown' });
  for await (const _chunk of content);
  assert.throws(() => tickets.assertRoom(), { code: 'limit-reached' });
  await tickets.commit(ticket);
  await assert.rejects(tickets.commit(ticket), { code: 'item-unknown' });
  assert.deepEqual([happened, timers], [['commit'], []]);
  tickets.assertRoom();
});

test('an item is given back when its reader leaves early, or never comes back', async () => {
  const left = ticketBench();
  for await (const _chunk of left.tickets.issue(left.item).content) break;
  assert.deepEqual(left.happened, ['release']);
  const late = ticketBench();
  const { ticket, content } = late.tickets.issue(late.item);
  for await (const _chunk of content);
  late.timers[0]?.();
  await assert.rejects(late.tickets.commit(ticket), { code: 'item-unknown' });
  assert.deepEqual(late.happened, ['release']);
});

test('staff name files by partner, box and path', () => {
  assert.deepEqual(parsePartnerPath('acme'), { partner: 'acme', below: '' });
  assert.deepEqual(parsePartnerPath('/acme/inbox/a//b.csv'), { partner: 'acme', box: 'Inbox', below: 'a/b.csv' });
  assert.deepEqual(parsePartnerPath('acme/Outbox/'), { partner: 'acme', box: 'Outbox', below: '' });
  assert.throws(() => parsePartnerPath('acme/Elsewhere/x'), { code: 'usage' });
  assert.throws(() => parsePartnerPath('../etc'), { code: 'usage' });
});

// status and trace

const healthy: InternalStatus = {
  node: 'inner1',
  pid: 0,
  configuration: [],
  version: '1',
  fingerprint: 'SPI-…',
  certificates: { ownEndsAtMs: 1, peerEndsAtMs: null, endingSoon: false, phase: 'stable', told: true },
  startedAtMs: 0,
  suspect: null,
  tunnel: {
    up: true,
    peer: 'edge1',
    address: 'edge:8443',
    sinceMs: 0,
    group: 'X25519MLKEM768',
    classicalAdmitted: false,
    lastFailure: null,
    refusedBy: null,
    clockSkewMs: 0,
  },
  policy: { number: 1, expiresAtMs: 1e9 },
  configRefused: null,
  configUnconfirmedUntilMs: null,
  partners: { configured: 1, connected: [] },
  items: { waiting: 0, held: 0, unrouted: 0, quarantined: 0, offered: 0, oldestWaitingMs: null },
  stopped: [],
  lastFailure: null,
  confinement: { filtered: true, noNewPrivileges: true, connect: 'admitted', listen: 'denied' },
  dmz: null,
};

test('silence means healthy; otherwise the worst comes first, each with a next step', () => {
  assert.deepEqual(troubles(healthy, 1000), []);
  const found = troubles(
    {
      ...healthy,
      tunnel: { ...healthy.tunnel, up: false, classicalAdmitted: true, lastFailure: 'connection refused' },
      items: { ...healthy.items, unrouted: 1 },
    },
    60_000,
  );
  assert.deepEqual(
    found.map(({ what }) => what),
    [
      'the tunnel to edge:8443 has been down for 1 m: connection refused',
      '1 item matches no rule and waits',
      'a key exchange that is not post-quantum is admitted',
    ],
  );
  assert.ok(found.every(({ next }) => next.length > 0));
  const pinned = troubles({ ...healthy, tunnel: { ...healthy.tunnel, up: false, sinceMs: null, refusedBy: 'pin' } }, 0);
  assert.match(pinned[0]?.what ?? '', /has not been up yet/);
  assert.match(pinned[0]?.next ?? '', /compare what `sallyport fingerprint`/);
  const stopped = troubles({ ...healthy, stopped: [{ destination: 'archive', sinceMs: 0, reason: 'no-space: full' }] }, 0);
  assert.match(stopped[0]?.what ?? '', /archive is stopped .*no-space/);
  assert.match(stopped[0]?.next ?? '', /destination resume archive/);
  const refused = troubles({ ...healthy, configRefused: 'a.yaml:1:1 x\nb.yaml:2:2 y' }, 0);
  assert.match(refused[0]?.what ?? '', /a\.yaml:1:1 x; b\.yaml:2:2 y$/, 'one line');
  const alone = troubles({ ...healthy, tunnel: { ...healthy.tunnel, up: false, address: null } }, 0);
  assert.match(alone[0]?.next ?? '', /sallyport connect/);
});

const happening = (name: EventName, atMs: number, side: TracedEvent['side'] = 'inside'): TracedEvent => ({
  seq: atMs,
  id: 'SP-0000',
  name,
  atMs,
  node: 'n',
  side,
  fields: {},
});

test('the cause is the last thing that went wrong, unless it ended well', () => {
  const failed = [happening('item.registered', 1), happening('item.delivery-failed', 2)];
  assert.equal(causeOf(failed)?.name, 'item.delivery-failed');
  assert.equal(causeOf([...failed, happening('item.delivered', 3)]), undefined);
  assert.equal(causeOf([happening('item.offered', 1), happening('item.quarantined', 2)])?.name, 'item.quarantined');
});

test('the DMZ can claim a good end for what went wrong there, and for nothing else', () => {
  const claims = (['item.delivered', 'item.downloaded', 'item.stored'] as const).map((name) => happening(name, 3, 'dmz'));
  assert.equal(causeOf([happening('item.forged', 2), ...claims])?.name, 'item.forged');
  assert.equal(causeOf([happening('login.failed', 1, 'dmz'), happening('session.opened', 2, 'dmz')]), undefined);
});

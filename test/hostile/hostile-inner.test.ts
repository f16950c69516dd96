/**
 * A real DMZ node against somebody with the stolen tunnel key of its internal node (reliability.md §1.2 row 6, R55, R56). He
 * can answer logins and take away sealed items. He cannot bring in policy, read a file, or make the node run or write
 * anything outside its state folder; and the true internal node takes over again afterwards, with an alarm.
 */
import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { parseDocument } from 'yaml';
import { createSite, type Site, type SitePartner } from '../../scripts/site/site.ts';
import { delivered, eventually, filesBelow, sftp, sha256 } from '../../scripts/site/walk.ts';
import { newItemId, newTraceId } from '../../shared/ids.ts';
import { loadNodeKeys, makeNodeKeys, type NodeKeys } from '../../shared/pki/node-keys.ts';
import type { PolicyBundle } from '../../shared/policy.ts';
import { canonicalJson, signBundle } from '../../shared/policy-signature.ts';
import { generateIdentity } from '../../shared/seal/age-key.ts';
import { newToken } from '../../shared/secret.ts';
import { everything } from '../fixtures/permissions.ts';
import { HostileInside } from './hostile-inside.ts';
import { type Mark, WatchedNode } from './watched-node.ts';

let outer: string;
let site: Site;
let keys: NodeKeys;
let dmz: WatchedNode;
let tunnelPort: number;
let files = 0;

const acme = (): SitePartner => {
  const { acme: partner } = site.partners;
  assert.ok(partner);
  return partner;
};

/** The true internal node, for as long as `work` takes. */
async function withInside(work: () => Promise<void>): Promise<void> {
  await using inside = await WatchedNode.start({ site, kind: 'internal', outer, mayChange: () => true });
  assert.ok(inside.alive);
  await work();
}

async function upload(content: Buffer, name: string): Promise<{ code: number; output: string }> {
  const local = join(site.folder, 'scratch', name);
  await writeFile(local, content);
  return await sftp(site, acme(), [`put ${local} /Inbox/${name}`]);
}

/** A partner sends a file and it arrives, as on any day. */
async function honestFile(): Promise<void> {
  files += 1;
  const [name, content] = [`honest-${files}.bin`, randomBytes(20_000)];
  const sent = await eventually('the partner is served', async () => {
    const tried = await upload(content, name);
    return tried.code === 0 ? tried : undefined;
  });
  assert.equal(sent.code, 0);
  assert.equal(sha256(await delivered(site, `acme/${name}`)), sha256(content));
}

function attack(name: string, alarms: readonly string[], run: (thief: HostileInside, mark: Mark) => Promise<void>): void {
  it(name, async () => {
    const mark = await dmz.mark();
    {
      await using thief = await HostileInside.connect({ port: tunnelPort, keys });
      await run(thief, mark);
    }
    for (const alarm of alarms) await dmz.heard(mark, alarm);
    await withInside(honestFile);
    await dmz.assertUnharmed(mark);
    assert.deepEqual(await dmz.strangeCalls(() => false), [], 'it connects to nobody, opens no other port, starts nothing');
  });
}

const grant = {
  partner: 'acme',
  permissions: everything,
  quotaBytes: 1e9,
  quotaFiles: 1000,
  maxFileBytes: 1e9,
  maxPartials: 10,
  onExisting: 'keep-both',
};

interface KeptPolicy {
  readonly bundle: string;
  readonly signature: string;
  readonly certificate: string;
}

const keptPolicy = async (): Promise<KeptPolicy> =>
  JSON.parse(await readFile(join(site.dmz.state, 'policy.json'), 'utf8')) as KeptPolicy;

/** Signed by the true policy key, as recorded bundles are. */
function genuine(bundle: PolicyBundle): KeptPolicy {
  const { policyKeyPem = '', policyCertificatePem = '' } = keys;
  return { ...signBundle(bundle, policyKeyPem), certificate: policyCertificatePem };
}

describe('a DMZ node whose internal node had its tunnel key stolen', () => {
  before(async () => {
    outer = await mkdtemp(join(tmpdir(), 'sallyport-stolen-'));
    await mkdir(join(outer, 'a/b/site/scratch'), { recursive: true });
    site = await createSite({ folder: join(outer, 'a/b/site') });
    keys = await loadNodeKeys(join(site.internal.state, 'keys'), 'internal');
    const config = parseDocument(await readFile(site.dmz.config, 'utf8'));
    tunnelPort = Number(String(config.getIn(['tunnel', 'listen'])).split(':')[1]);
    const own = ['dmz/state/', 'internal/state/', 'inside/delivered/', 'scratch/'].map((path) => `a/b/site/${path}`);
    const fixed = ['dmz/state/keys', 'dmz/state/internal-node.json'].map((path) => `a/b/site/${path}`);
    const of = (path: string) => (start: string) => path.startsWith(start);
    const mayChange = (path: string): boolean =>
      (own.some(of(path)) && !fixed.some(of(path))) || /^internal\.(log|strace)$/.test(path);
    dmz = await WatchedNode.start({ site, kind: 'dmz', outer, mayChange });
    await withInside(honestFile);
    assert.ok(
      (await dmz.strangeCalls(() => false)).some((call) => call.includes('listen(')),
      'the calls of the node are seen',
    );
  });
  after(async () => {
    await dmz?.[Symbol.asyncDispose]();
    await rm(outer, { recursive: true, force: true });
  });

  attack('takes no policy from him: not unsigned, not signed by another, not an older one', ['policy.refused'], async (thief) => {
    const older = await keptPolicy();
    const first = JSON.parse(older.bundle) as PolicyBundle;
    const held = { ...first, number: first.number + 1 };
    assert.deepEqual(await thief.ask('policy.put', genuine(held)), { number: held.number }, 'what the true one signed is taken');
    const before = await keptPolicy();
    const mine = { ...held, number: held.number + 1, recipients: [generateIdentity().recipient] };
    const own = await makeNodeKeys(join(outer, 'a/b/site/scratch/own'), { role: 'internal', name: 'inner1' });
    const ed25519 = generateKeyPairSync('ed25519').privateKey;
    const text = canonicalJson(mine);
    const signed = (key: Parameters<typeof sign>[2]): string => sign(null, Buffer.from(text), key).toString('base64');
    const tries: Record<string, KeptPolicy> = {
      unsigned: { bundle: text, signature: '', certificate: before.certificate },
      'under the signature of the one that is held': {
        bundle: text,
        signature: before.signature,
        certificate: before.certificate,
      },
      'signed by another key': { bundle: text, signature: signed(ed25519), certificate: before.certificate },
      'signed by the tunnel key': {
        bundle: text,
        signature: sign('sha256', Buffer.from(text), keys.tunnelKeyPem).toString('base64'),
        certificate: keys.tunnelCertificatePem,
      },
      'signed under an authority of his own': {
        bundle: text,
        signature: signed(own.policyKeyPem ?? ''),
        certificate: own.policyCertificatePem ?? '',
      },
      'an older one that was in force once': { bundle: older.bundle, signature: older.signature, certificate: older.certificate },
      'another one of the same number': genuine({ ...held, banner: 'another' }),
      'one that has expired': genuine({ ...held, number: held.number + 1, expiresAtMs: Date.now() - 1 }),
      'a genuine one with a changed number': {
        ...genuine(held),
        bundle: canonicalJson({ ...held, number: held.number + 1 }),
      },
      'a path for a certificate': { ...genuine({ ...held, number: held.number + 1 }), certificate: '../../../etc/passwd' },
    };
    for (const [name, bundle] of Object.entries(tries)) {
      assert.deepEqual(await thief.ask('policy.put', bundle), { error: 'policy-refused' }, name);
    }
    assert.deepEqual(await keptPolicy(), before);
    assert.equal((await thief.ask('status.get', {})).policyNumber, held.number);
  });

  attack('gives him sealed bytes only, of whatever he lets in', [], async (thief) => {
    const content = Buffer.from(`nobody outside may read this ${randomBytes(16).toString('hex')}\n`.repeat(2000));
    thief.answers.set('auth.check', ({ method }) =>
      method === 'key-probe'
        ? { verdict: 'key-acceptable' }
        : { verdict: 'accepted', token: newToken(), lifeMs: 3_600_000, grant },
    );
    thief.answers.set('item.ready', ({ decision }) => ({ decision }));
    const sent = await upload(content, 'secret.bin');
    assert.equal(sent.code, 0, sent.output);
    await eventually('he hears of the item', async () => thief.heard.some(({ m }) => m === 'item.ready') || undefined);
    const item = thief.heard.find(({ m }) => m === 'item.ready')?.p as { id: string; segments: { sealedBytes: number }[] };
    const { epoch } = thief.hello;
    await thief.ask('inbox.lease', { id: item.id, epoch });
    const { bytes, last } = await thief.stream('inbox.read', { id: item.id, epoch, segment: 0, offset: 0 });
    assert.equal(last.k, 'end');
    assert.equal(bytes.length, item.segments[0]?.sealedBytes, 'he has the whole sealed file');
    const canary = content.subarray(0, 40);
    assert.ok(!bytes.includes(canary), 'and not a word of it');
    for (const file of await filesBelow(site.dmz.state)) {
      const there = await readFile(join(site.dmz.state, file)).catch(() => Buffer.alloc(0));
      assert.ok(!there.includes(canary), `${file} must not hold it either`);
    }
    for (const file of ['tunnel.key', 'policy.key', 'ca.key']) {
      assert.ok(!bytes.includes(await readFile(join(site.internal.state, 'keys', file))));
    }
    // What a session of his brought in is worth nothing to the true internal node.
    await withInside(async () => {
      await eventually('it is set aside', () => asideInside(item.id));
    });
  });

  attack(
    'writes nothing outside its state folder and runs nothing for him',
    ['link.violation', 'link.down'],
    async (thief, mark) => {
      const offer = {
        id: newItemId(),
        partner: 'acme',
        path: '/Outbox/x',
        size: 1,
        sha256: 'a'.repeat(64),
        headerSha256: 'b'.repeat(64),
        sealedBytes: 300,
        modifiedAtMs: 1,
        expiresAtMs: Date.now() + 60_000,
        trace: newTraceId(),
      };
      const body = [Buffer.alloc(300, 0x61)];
      const refused = [
        '/Outbox/../../../../escaped',
        '/etc/cron.d/escaped',
        '/Inbox/escaped',
        'escaped',
        '/Outbox/a\0b',
        '/Outbox/.sallyport-x',
      ];
      for (const path of refused) {
        const { last } = await thief.stream('outbox.offer', { ...offer, id: newItemId(), path }, body);
        assert.equal(last.c, 'bad-name', path);
      }
      const fake = await thief.stream('outbox.offer', offer, body);
      assert.match(String(fake.last.c), /sealed-damaged|content-mismatch/, 'bytes that are not sealed are not kept');
      const endless = await thief.stream('outbox.offer', { ...offer, id: newItemId() }, Array(512).fill(Buffer.alloc(131_072)));
      assert.match(String(endless.last.c ?? endless.last.k), /sealed-damaged|content-mismatch|cut/);
      const { epoch } = thief.hello;
      assert.deepEqual(await thief.ask('inbox.lease', { id: newItemId(), epoch }), { error: 'item-unknown' });

      // Each of these ends the link.
      const breaches: Record<string, readonly [string, unknown]> = {
        'a verb that does not exist': ['exec.run', { command: 'id' }],
        'a verb of the other side': ['key.release', { token: newToken(), item: newItemId(), headers: ['AA=='] }],
        'a path for an id': ['inbox.lease', { id: '../../../../etc/passwd', epoch }],
        'a path for a partner': ['session.revoke', { partner: '../../escaped' }],
      };
      let thieves = 0;
      for (const [name, [method, params]] of Object.entries(breaches)) {
        await using again = await HostileInside.connect({ port: tunnelPort, keys });
        assert.deepEqual(await again.ask(method, params), { error: 'cut' }, name);
        thieves += 1;
        await dmz.heard(mark, 'link.violation', thieves);
      }
    },
  );

  it('lets the true internal node take over from him, with an alarm', async () => {
    const mark = await dmz.mark();
    await using thief = await HostileInside.connect({ port: tunnelPort, keys });
    await withInside(honestFile);
    assert.ok(!thief.open);
    await dmz.heard(mark, 'link.taken-over');
    await dmz.assertUnharmed(mark);
  });
});

/** Whether the true internal node raised its alarm for an item. */
async function asideInside(item: string): Promise<true | undefined> {
  const folder = join(site.internal.state, 'audit');
  for (const day of await filesBelow(folder)) {
    const lines = (await readFile(join(folder, day), 'utf8')).split('\n');
    if (lines.some((line) => line.includes('"item.forged"') && line.includes(item))) return true;
  }
  return undefined;
}

/** Power cuts on real disks right after a promise was made: the acknowledged upload, the confirmed delivery, and both hosts at once. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createSite, type Site } from '../../scripts/site/site.ts';
import { Supervisor } from '../../scripts/site/supervisor.ts';
import { delivered, eventually, filesBelow, sftp } from '../../scripts/site/walk.ts';
import { op, openFlags, RawSftp } from '../fixtures/raw-sftp.ts';
import { Consumer, residue } from './oracle.ts';
import { PowerDisk } from './power.ts';

type NodeKind = 'dmz' | 'internal';

interface Scene extends AsyncDisposable {
  readonly site: Site;
  readonly consumer: Consumer;
  readonly supervisor: Supervisor;
  readonly disk: PowerDisk;
  /** Cuts the power of the disk, and kills the nodes that run on it; they stay down. */
  cut(kinds: readonly NodeKind[]): Promise<void>;
  /** Brings back the disk and the nodes. */
  restore(kinds: readonly NodeKind[]): Promise<void>;
}

/** The processes that lose power together. */
const hostOf = (kind: NodeKind): ('dmz' | 'internal' | 'door')[] => (kind === 'internal' ? ['internal', 'door'] : ['dmz']);

/** @param parts Folders of the site that lie on the disk. */
async function scene(...parts: readonly string[]): Promise<Scene> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-power-'));
  const disk = await PowerDisk.make(
    join(folder, 'disk'),
    parts.map((part) => join(folder, part)),
  );
  const site = await createSite({ folder });
  const supervisor = new Supervisor(site);
  const consumer = new Consumer(join(site.inside.delivered, 'acme'));
  await supervisor.start(AbortSignal.timeout(120_000));
  consumer.start();
  const cut = async (kinds: readonly NodeKind[]): Promise<void> => {
    await disk.cut();
    for (const kind of kinds.flatMap(hostOf)) await supervisor.takeDown(kind, 0);
  };
  const restore = async (kinds: readonly NodeKind[]): Promise<void> => {
    await disk.restore();
    for (const kind of kinds.flatMap(hostOf)) supervisor.bringUp(kind);
    await supervisor.ready(AbortSignal.timeout(120_000));
  };
  const dispose = async (): Promise<void> => {
    await supervisor.stop();
    await consumer.stop();
    await disk[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  };
  return { site, consumer, supervisor, disk, cut, restore, [Symbol.asyncDispose]: dispose };
}

/** Uploads in a session that was opened before: `meanwhile` runs before the upload, `after` at the instant of its "ok". */
async function upload(
  { site, consumer }: Scene,
  name: string,
  content: Buffer,
  steps: { readonly meanwhile?: () => void; readonly after: () => Promise<void> },
): Promise<void> {
  const { acme } = site.partners;
  assert.ok(acme);
  const mark = (what: string): string => join(site.folder, `${name}.${what}`);
  const local = mark('content');
  await writeFile(local, content);
  consumer.sent(name, content);
  const wait = `!sh -c 'touch ${mark('open')}; while [ ! -e ${mark('go')} ]; do sleep 0.01; done'`;
  const session = sftp(site, acme, ['pwd', wait, `put ${local} /Inbox/${name}`, `!touch ${mark('ok')}`]);
  await eventually('the session is open', () => readFile(mark('open')));
  steps.meanwhile?.();
  await writeFile(mark('go'), '');
  await eventually('the upload was acknowledged', () => readFile(mark('ok')));
  await steps.after();
  await session;
}

/** The DMZ has nothing any more: what was delivered is confirmed too. */
const dropped = ({ site }: Scene): Promise<boolean> =>
  eventually('the DMZ drops its copy', async () => (await filesBelow(join(site.dmz.state, 'objects'))).length === 0 || undefined);

async function comeToRest(s: Scene): Promise<void> {
  await dropped(s);
  await sleep(500); // a late duplicate would show now
  await s.supervisor.stop();
}

const content = (name: string): Buffer => Buffer.alloc(300_001, `${name}; `);

it('an acknowledged upload survives a power cut of the DMZ host at that instant', { timeout: 120_000 }, async () => {
  await using s = await scene('dmz');
  for (const name of ['one', 'two']) {
    // The inside stands still meanwhile, so that only the DMZ node has the file.
    const inside = s.supervisor.pid('internal');
    await upload(s, name, content(name), {
      meanwhile: () => process.kill(inside, 'SIGSTOP'),
      after: () => s.cut(['dmz']),
    });
    process.kill(inside, 'SIGCONT');
    assert.equal(s.consumer.has(name), false);
    await s.restore(['dmz']);
    await eventually(`${name} is delivered`, async () => s.consumer.has(name) || undefined);
  }
  await comeToRest(s);
  assert.deepEqual([...s.consumer.faults, ...(await residue(s.site))], []);
});

it('what fsync@openssh.com has acknowledged of an upload survives a power cut at that instant, and is resumed', {
  timeout: 120_000,
}, async () => {
  await using s = await scene('dmz');
  const { acme } = s.site.partners;
  assert.ok(acme);
  const bytes = content('flushed');
  await writeFile(join(s.site.folder, 'local'), bytes);
  s.consumer.sent('flushed', bytes);
  {
    await using client = await RawSftp.connect(s.site.sftp.port, { username: 'acme', password: acme.password });
    const handle = await client.open('/Inbox/flushed', openFlags.write | openFlags.create);
    for (let at = 0; at < 200_001; at += 66_667) {
      assert.equal((await client.ask(op.write, handle, BigInt(at), bytes.subarray(at, at + 66_667))).status, 0);
    }
    assert.equal((await client.ask(op.extended, 'fsync@openssh.com', handle)).status, 0);
    await s.cut(['dmz']);
  }
  await s.restore(['dmz']);
  const { code, output } = await sftp(s.site, acme, ['ls -l /Inbox', `reput ${join(s.site.folder, 'local')} /Inbox/flushed`]);
  assert.equal(code, 0, output);
  assert.match(output, / 200001 .*flushed/);
  await eventually('it is delivered', async () => s.consumer.has('flushed') || undefined);
  await comeToRest(s);
  assert.deepEqual([...s.consumer.faults, ...(await residue(s.site))], []);
});

it('a delivered file survives a power cut of the inside as soon as the DMZ has dropped its copy', {
  timeout: 120_000,
}, async () => {
  await using s = await scene('inside', 'internal/state');
  for (const name of ['one', 'two']) {
    await upload(s, name, content(name), {
      after: async () => {
        await dropped(s);
        await s.cut(['internal']);
      },
    });
    await s.restore(['internal']);
    assert.deepEqual(await delivered(s.site, `acme/${name}`), content(name));
  }
  await comeToRest(s);
  assert.deepEqual([...s.consumer.faults, ...(await residue(s.site))], []);
});

it('both hosts lose their power while files are on their way: each arrives once', { timeout: 120_000 }, async () => {
  await using s = await scene('dmz', 'inside', 'internal/state');
  for (const [index, name] of ['one', 'two', 'three'].entries()) {
    await upload(s, name, content(name), {
      after: async () => {
        await sleep(index * 15);
        await s.cut(['dmz', 'internal']);
      },
    });
    await s.restore(['dmz', 'internal']);
    assert.deepEqual(await delivered(s.site, `acme/${name}`), content(name));
  }
  await comeToRest(s);
  // A cut between the publication and its flush may take the file away again, and it is delivered once more.
  assert.deepEqual([...s.consumer.faults, ...(await residue(s.site))], []);
});

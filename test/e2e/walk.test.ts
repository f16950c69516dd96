/** The whole walk through both halves with OpenSSH `sftp`, and what lies on the DMZ meanwhile. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { ask, curlFtps, eventually, filesBelow, sftp, sha256 } from '../../scripts/site/walk.ts';
import { firstBrokenLine } from '../../shared/events/audit-trail.ts';
import { KernelRecord } from '../fixtures/kernel-record.ts';
import { type Pair, startPair } from '../fixtures/pair.ts';
import {
  contentOf,
  exchangePdf,
  filesWithCanary,
  inboundStations,
  journeySizes,
  offerAndFetch,
  putAndSeeInside,
  traceIsComplete,
} from './journey.ts';

const run = promisify(execFile);

describe('a pair of nodes on one machine', () => {
  let pair: Pair;
  let record: KernelRecord;
  before(async () => {
    record = await KernelRecord.make();
    pair = await startPair({}, { dmz: record.prefix, internal: [] });
  });
  after(async () => {
    await pair[Symbol.asyncDispose]();
    await record[Symbol.asyncDispose]();
  });

  for (const size of journeySizes) {
    it(`delivers ${size} bytes byte-identical, answers ls after put, and can tell the whole way`, async () => {
      await putAndSeeInside(pair, `file-${size}.bin`, contentOf(size));
      await traceIsComplete(pair, `acme/Inbox/file-${size}.bin`, inboundStations);
    });
  }

  it('lets a partner fetch what staff put into the outgoing folder', async () => {
    await offerAndFetch(pair, 'prices.bin', contentOf(3_000_001));
    await traceIsComplete(pair, 'globex/Outbox/prices.bin', [
      'outgoing.found',
      'item.offered',
      'key.released',
      'item.downloaded',
    ]);
  });

  it("hands acme's PDF to globex and to nobody else", async () => {
    await exchangePdf(pair, 'drawing.pdf', contentOf(200_000));
  });

  it('answers stat, setstat and rename after put although the file is already inside', async () => {
    const { site, acme } = pair;
    const local = join(site.folder, 'scratch', 'dated.bin');
    await writeFile(local, contentOf(1000));
    const { code, output } = await sftp(site, acme, [`put -p ${local} /Inbox/dated.bin`, 'ls -l /Inbox/dated.bin']);
    assert.equal(code, 0, output);
  });

  it('keeps one audit chain on each side', async () => {
    const { site } = pair;
    for (const node of ['dmz', 'internal'] as const) {
      const folder = join(site[node].state, 'audit');
      for (const day of await readdir(folder)) {
        const lines = (await readFile(join(folder, day), 'utf8')).trimEnd().split('\n');
        assert.ok(lines.length > 10);
        assert.equal(firstBrokenLine(lines), undefined);
      }
    }
  });

  it('accepts the password of a partner as well as the key', async () => {
    const { site, acme } = pair;
    const helper = join(site.folder, 'askpass');
    await writeFile(helper, `#!/bin/sh\ncat ${join(site.folder, 'partners/acme/password')}\n`, { mode: 0o700 });
    const child = execFile(
      'sftp',
      [
        '-q',
        '-P',
        String(site.sftp.port),
        '-o',
        `UserKnownHostsFile=${site.knownHosts}`,
        '-o',
        'PubkeyAuthentication=no',
        '-o',
        'NumberOfPasswordPrompts=1',
        `acme@${site.sftp.host}`,
      ],
      { env: { ...process.env, SSH_ASKPASS: helper, SSH_ASKPASS_REQUIRE: 'force' } },
    );
    let output = '';
    child.stdout?.on('data', (text: string) => {
      output += text;
    });
    child.stdin?.end('pwd\n');
    const code = await new Promise((resolve) => child.once('close', resolve));
    assert.equal(code, 0);
    assert.match(output, /Remote working directory: \//);
    assert.equal((await sftp(site, { ...acme, name: 'nobody' }, ['pwd'])).code, 255, 'an unknown partner is refused');
  });

  it('R18: through all of it, and an upload over FTPS, the DMZ node has started no program and connected to nobody', async () => {
    const { site, acme, supervisor } = pair;
    const local = join(site.folder, 'scratch', 'invoice.bin');
    await writeFile(local, contentOf(700_000));
    assert.equal((await curlFtps(site, acme, ['-T', local], '/Inbox/')).code, 0);
    assert.match(await ask(site, 'dmz', 'status'), /^node|^!/);
    await supervisor.takeDown('dmz');
    const calls = await record.calls();
    const [start, ...programs] = calls.filter((call) => /\bexecve(at)?\(/.test(call));
    assert.match(start ?? '', /execve\("[^"]*node"/);
    assert.deepEqual(programs, [], 'no program after its own start');
    // For its status it tries a Unix socket that cannot be there, to see whether the kernel denies it.
    const selfTest = /connect\(\d+, \{sa_family=AF_UNIX, sun_path="[^"]*nobody-is-here\/socket"\}/;
    assert.deepEqual(
      calls.filter((call) => /\bconnect\(|sa_family=AF_INET|MSG_FASTOPEN/.test(call) && !selfTest.test(call)),
      [],
      'no connection, nothing sent to an address',
    );
  });
});

describe('what lies on the DMZ', () => {
  it('is sealed: no canary in any file, each object opens with age and the internal identity, and with nothing of the DMZ', async () => {
    // Held items stay in the cache, so that there is something to look at.
    const hold = async (site: Pair['site']): Promise<void> =>
      writeFile(join(site.internal.config, '../conf.d/rules.yaml'), 'rules:\n  - name: keep\n    hold: true\n');
    await using pair = await startPair({}, undefined, hold);
    const { site, acme } = pair;
    const scratch = join(site.folder, 'scratch');
    await mkdir(scratch);
    const contents = [contentOf(40), contentOf(65_536), contentOf(1_000_000)];
    for (const [index, content] of contents.entries()) {
      await writeFile(join(scratch, `held-${index}.bin`), content);
      const { code, output } = await sftp(site, acme, [`put ${join(scratch, `held-${index}.bin`)} /Inbox/`]);
      assert.equal(code, 0, output);
    }
    const offered = contentOf(300_000);
    await offerAndFetch(pair, 'offered.bin', offered);

    const canaries = [...contents, offered].flatMap((content) =>
      [0, Math.floor(content.length / 2) - 16, content.length - 32].map((at) =>
        content.subarray(Math.max(0, at), Math.max(0, at) + 32),
      ),
    );
    assert.deepEqual(await filesWithCanary(site.dmz.state, canaries, await filesBelow(site.dmz.state)), []);

    const objects = (await filesBelow(site.dmz.state)).filter((file) => file.startsWith('objects/'));
    assert.equal(objects.length, 4);
    const keys = join(site.internal.state, 'keys/sealing.key');
    const digests: string[] = [];
    for (const object of objects) {
      const path = join(site.dmz.state, object);
      const { stdout } = await run('age', ['-d', '-i', keys, path], { encoding: 'buffer', maxBuffer: 1 << 24 });
      digests.push(sha256(stdout));
      for (const file of await filesBelow(join(site.dmz.config, '..'))) {
        if (file.includes('objects/')) continue;
        const candidate = join(site.folder, 'candidate');
        await copyFile(join(site.dmz.config, '..', file), candidate).catch(() => {});
        await assert.rejects(run('age', ['-d', '-i', candidate, path]), `${file} of the DMZ must open nothing`);
      }
    }
    assert.deepEqual(digests.sort(), [...contents, offered].map(sha256).sort());
  });
});

describe('staff', () => {
  it('sees, pulls and pushes files with the commands', async () => {
    const hold = async (site: Pair['site']): Promise<void> =>
      writeFile(join(site.internal.config, '../conf.d/rules.yaml'), 'rules:\n  - name: keep\n    hold: true\n');
    await using pair = await startPair({}, undefined, hold);
    const { site, acme, globex } = pair;
    const content = contentOf(123_456);
    await writeFile(join(site.folder, 'held.bin'), content);
    assert.equal((await sftp(site, acme, [`put ${join(site.folder, 'held.bin')} /Inbox/held.bin`])).code, 0);
    const listing = await eventually('ls shows the held item', async () => {
      const text = await ask(site, 'internal', 'ls', 'acme/Inbox');
      return text.includes('held.bin') ? text : undefined;
    });
    assert.match(listing, /held/);
    await ask(site, 'internal', 'pull', 'acme/Inbox/held.bin', join(site.folder, 'pulled.bin'));
    assert.equal(sha256(await readFile(join(site.folder, 'pulled.bin'))), sha256(content));
    await eventually(
      'the DMZ drops its copy',
      async () => (await filesBelow(join(site.dmz.state, 'objects'))).length === 0 || undefined,
    );

    await ask(site, 'internal', 'push', join(site.folder, 'pulled.bin'), 'globex/Outbox/pushed.bin');
    await eventually(
      'globex sees it',
      async () => (await sftp(site, globex, ['ls -1 /Outbox'])).output.includes('pushed.bin') || undefined,
    );
    const status = JSON.parse(await ask(site, 'internal', 'status', '--json')) as { tunnel: { up: boolean; group: string } };
    assert.equal(status.tunnel.up, true);
    assert.equal(status.tunnel.group, 'X25519MLKEM768');
  });
});

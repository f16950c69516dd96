/**
 * What completes an upload, with programs that partners use: OpenSSH `sftp`, lftp and rclone on a running pair. Names of rows
 * are those of reliability.md §2.8, §2.9 and of behaviour.md §7.9.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readdir, readFile, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type SitePartner, sftpArguments } from '../../scripts/site/site.ts';
import { ask, delivered, eventually, filesBelow, sftp, sha256 } from '../../scripts/site/walk.ts';
import { run } from '../fixtures/openssh.ts';
import { type Pair, startPair } from '../fixtures/pair.ts';

/** What each partner has of his own, as it stands in `conf.d`. */
const own = {
  acme: '',
  globex: 'uploads: {complete: trigger}',
  dropbox: 'permissions: {global: [allow-write]}',
  renamer: 'uploads: {complete: rename}',
  quiet: 'uploads: {complete: quiet, quiet: 1s}',
  leaver: 'uploads: {complete: session-end}',
} as const;

interface ListedItem {
  readonly path: string;
  readonly item: string;
  readonly state: string;
  readonly duplicateOf?: string;
}

describe('what completes an upload, with real clients', () => {
  let pair: Pair;
  const partner = (name: keyof typeof own): SitePartner => {
    const found = pair.site.partners[name];
    assert.ok(found);
    return found;
  };
  const local = async (name: string, content: string | Buffer): Promise<string> => {
    const file = join(pair.site.folder, 'scratch', name);
    await mkdir(join(file, '..'), { recursive: true });
    await writeFile(file, content);
    return file;
  };
  const batch = (name: keyof typeof own, ...commands: string[]): ReturnType<typeof sftp> =>
    sftp(pair.site, partner(name), commands);
  const namesInside = async (name: keyof typeof own): Promise<string[]> =>
    (await readdir(join(pair.site.inside.delivered, name)).catch(() => [])).sort();
  const trace = async (reference: string): Promise<string[]> => {
    const { events } = JSON.parse(await ask(pair.site, 'internal', 'trace', reference, '--json')) as {
      events: { name: string }[];
    };
    return events.map((event) => event.name);
  };

  const listed = async (name: keyof typeof own): Promise<readonly ListedItem[]> => {
    const text = await ask(pair.site, 'internal', 'ls', `${name}/Inbox`, '--json');
    return (JSON.parse(text) as { items: ListedItem[] }).items;
  };

  before(async () => {
    pair = await startPair({ partners: Object.keys(own) }, undefined, async ({ internal }) => {
      const file = join(internal.config, '../conf.d/partners.yaml');
      let text = await readFile(file, 'utf8');
      for (const [name, settings] of Object.entries(own)) {
        const lines = settings.startsWith('{') ? settings.slice(1, -1).split(', ') : [settings];
        text = text.replace(`  ${name}:\n`, `  ${name}:\n${lines.map((line) => (line ? `    ${line}\n` : '')).join('')}`);
      }
      await writeFile(file, text);
      await writeFile(join(internal.config, '../conf.d/rules.yaml'), 'rules:\n  - name: all\n    deliver: inside\n');
    });
  });
  after(async () => {
    await pair[Symbol.asyncDispose]();
  });

  it('SF-12, 2.9 temp-name: what WinSCP does, `.filepart` then rename: only the final name is delivered', async () => {
    const file = await local('w.csv', 'from WinSCP');
    assert.equal((await batch('acme', `put ${file} /Inbox/w.csv.filepart`, 'ls -l /Inbox/w.csv.filepart')).code, 0);
    assert.equal((await batch('acme', 'rename /Inbox/w.csv.filepart /Inbox/w.csv', 'ls -l /Inbox/w.csv')).code, 0);
    assert.equal((await delivered(pair.site, 'acme/w.csv')).toString(), 'from WinSCP');
    assert.deepEqual(await namesInside('acme'), ['w.csv']);
  });

  it('2.9 temp-name: lftp with temporary names, and with a file that is there already', async () => {
    for (const content of ['from lftp', 'from lftp, again']) {
      const file = await local('l.csv', content);
      const { port, host } = pair.site.sftp;
      const { keyFile, name } = partner('acme');
      const connect = `ssh -a -x -i ${keyFile} -o UserKnownHostsFile=${pair.site.knownHosts} -o IdentitiesOnly=yes`;
      const commands = [
        `set sftp:connect-program "${connect}"`,
        'set xfer:use-temp-file yes',
        'set net:max-retries 1',
        'set cmd:fail-exit yes',
        `open -u ${name},x sftp://${host}:${port}`,
        `put ${file} -o /Inbox/l.csv`,
      ];
      const ran = await run('lftp', ['--norc', '-c', commands.join('; ')], { HOME: pair.site.folder });
      assert.equal(ran.code, 0, ran.err);
    }
    await eventually(
      'both are delivered',
      async () => (await namesInside('acme')).filter((name) => name.startsWith('l')).length === 2,
    );
    assert.ok((await trace('acme/Inbox/l.csv')).includes('item.renamed'), 'lftp sent under another name first');
  });

  it('2.9 temp-name: rclone, with the names that newer ones use and without', async () => {
    const file = await local('r.csv', 'from rclone');
    const { port, host } = pair.site.sftp;
    const { keyFile, name } = partner('acme');
    const remote = `:sftp,host=${host},user=${name},port=${port},key_file=${keyFile},shell_type=none,md5sum_command=none,sha1sum_command=none:`;
    const config = ['--config', join(pair.site.folder, 'rclone.conf'), '--retries', '1'];
    const partial = await run('rclone', ['copyto', file, `${remote}/Inbox/r.csv.e4a1.partial`, ...config]);
    assert.equal(partial.code, 0, partial.err);
    const moved = await run('rclone', ['moveto', `${remote}/Inbox/r.csv.e4a1.partial`, `${remote}/Inbox/r.csv`, ...config]);
    assert.equal(moved.code, 0, moved.err);
    assert.equal((await delivered(pair.site, 'acme/r.csv')).toString(), 'from rclone');
    const plain = await run('rclone', ['copyto', file, `${remote}/Inbox/s.csv`, ...config]);
    assert.equal(plain.code, 0, plain.err);
    assert.equal((await delivered(pair.site, 'acme/s.csv')).toString(), 'from rclone');
    assert.ok(!(await namesInside('acme')).some((found) => found.includes('partial')));
  });

  it('SF-10, SF-15, 2.8 end without CLOSE, 2.9 resume: a killed put delivers nothing, reput completes it identically', async () => {
    const content = randomBytes(12_000_000);
    const file = await local('big.bin', content);
    const arguments_ = ['-b', '-', '-l', '16000', ...sftpArguments(pair.site, partner('acme'))];
    const put = spawn('sftp', arguments_, { stdio: ['pipe', 'ignore', 'ignore'] });
    const over = once(put, 'close');
    put.stdin.end(`put ${file} /Inbox/big.bin\n`);
    const objects = join(pair.site.dmz.state, 'objects');
    await eventually('some of it has come', async () => {
      const sizes = (await filesBelow(objects)).map(async (name) => (await stat(join(objects, name))).size);
      return (await Promise.all(sizes)).some((size) => size > 300_000);
    });
    put.kill('SIGKILL');
    await over;
    await eventually('the partial is there', async () => (await batch('acme', 'ls -l /Inbox/big.bin')).code === 0);
    assert.ok(!(await namesInside('acme')).includes('big.bin'));
    const again = await batch('acme', `reput ${file} /Inbox/big.bin`, 'ls -l /Inbox/big.bin');
    assert.equal(again.code, 0, again.output);
    assert.equal(sha256(await delivered(pair.site, 'acme/big.bin')), sha256(content));
    const events = await trace('acme/Inbox/big.bin');
    assert.ok(events.includes('item.delivered'), events.join());
  });

  it('SF-04 to SF-07, 2.9 ghost: stat after put shows name, size and `put -p` time, in this session and a new one, until rm; get gets nothing', async () => {
    const file = await local('dated.csv', 'with a time');
    await utimes(file, 1_000_000_000, 1_000_000_000);
    const first = await batch('acme', 'cd /Inbox', `put -p ${file} dated.csv`, 'ls -l dated.csv');
    assert.equal(first.code, 0, first.output);
    await eventually('the DMZ has nothing of it any more', async () =>
      (await trace('acme/Inbox/dated.csv')).includes('item.confirmed'),
    );
    const later = await batch('acme', 'ls -l /Inbox/dated.csv');
    for (const { output } of [first, later]) assert.match(output, /\s11 Sep +9 +2001 .*dated\.csv/);
    assert.notEqual((await batch('acme', `get /Inbox/dated.csv ${join(pair.site.folder, 'stolen')}`)).code, 0);
    assert.notEqual((await batch('acme', 'rename /Inbox/dated.csv /Inbox/other.csv')).code, 0);
    assert.equal((await batch('acme', 'rm /Inbox/dated.csv')).code, 0);
    assert.notEqual((await batch('acme', 'ls -l /Inbox/dated.csv')).code, 0);
    assert.ok((await namesInside('acme')).includes('dated.csv'));
  });

  it('SF-06, 2.9 ghost: a newer upload replaces the ghost', async () => {
    assert.equal((await batch('acme', `put ${await local('n', 'old')} /Inbox/n`)).code, 0);
    await delivered(pair.site, 'acme/n');
    const newer = await batch('acme', `put ${await local('n', 'the newer one')} /Inbox/n`, 'ls -l /Inbox/n');
    assert.match(newer.output, /\s13 .*\/Inbox\/n/);
    await eventually(
      'both are delivered',
      async () => (await namesInside('acme')).filter((name) => name.startsWith('n')).length === 2,
    );
  });

  it('SF-21: a write-only partner puts and looks; ls and other names are refused', async () => {
    const file = await local('drop.csv', 'dropped');
    const put = await batch('dropbox', 'cd /Inbox', `put ${file} drop.csv`, 'ls -l drop.csv');
    assert.match(put.output, /drop\.csv/);
    await delivered(pair.site, 'dropbox/drop.csv');
    const only = await batch('dropbox', 'cd /Inbox', `put ${file} drop2.csv`);
    assert.equal(only.code, 0, only.output);
    assert.notEqual((await batch('dropbox', 'ls /Inbox')).code, 0);
    assert.notEqual((await batch('dropbox', 'ls -l /Inbox/drop.csv')).code, 0);
  });

  it('2.9 completion mode rename: delivered under the name that the rename gives', async () => {
    const file = await local('x.csv', 'renamed');
    assert.equal((await batch('renamer', `put ${file} /Inbox/x.csv`, `put ${file} /Inbox/y.csv`)).code, 0);
    assert.equal((await batch('renamer', 'rename /Inbox/x.csv /Inbox/final.csv')).code, 0);
    await delivered(pair.site, 'renamer/final.csv');
    assert.deepEqual(await namesInside('renamer'), ['final.csv']);
  });

  it('2.9 completion mode quiet: delivered by itself once nothing touches it', async () => {
    const put = await batch('quiet', `put ${await local('q', 'quiet')} /Inbox/q`);
    assert.equal(put.code, 0, put.output);
    assert.equal((await delivered(pair.site, 'quiet/q')).toString(), 'quiet');
    assert.ok((await trace('quiet/Inbox/q')).includes('item.delivered'));
  });

  it('2.9 completion mode session-end: delivered when the session is over', async () => {
    const file = await local('s', 'session');
    assert.equal((await batch('leaver', `put ${file} /Inbox/s`, `put ${file} /Inbox/t`, 'ls -l /Inbox')).code, 0);
    await eventually('both are delivered', async () => (await namesInside('leaver')).length === 2);
  });

  it('2.9 trigger: a file and its digest are delivered in this order; a wrong digest is an alarm and delivers nothing', async () => {
    const content = randomBytes(100_000);
    const good = await local('t.csv', content);
    const digest = await local('t.csv.sha256', `${sha256(content)}  t.csv\n`);
    assert.equal((await batch('globex', `put ${digest} /Inbox/t.csv.sha256`, `put ${good} /Inbox/t.csv`)).code, 0);
    assert.equal(sha256(await delivered(pair.site, 'globex/t.csv.sha256')), sha256(`${sha256(content)}  t.csv\n`));
    assert.equal(sha256(await delivered(pair.site, 'globex/t.csv')), sha256(content));
    assert.equal((await batch('globex', `put ${good} /Inbox/bad.csv`, `put ${digest} /Inbox/bad.csv.md5`)).code, 0);
    const wrong = await local('w.md5', `${'0'.repeat(32)}  wrong.csv\n`);
    assert.equal((await batch('globex', `put ${good} /Inbox/wrong.csv`, `put ${wrong} /Inbox/wrong.csv.md5`)).code, 0);
    await eventually('both are set aside', async () => {
      const states = (await listed('globex')).filter(({ path }) => path.includes('wrong')).map(({ state }) => state);
      return states.length === 2 && states.every((state) => state === 'quarantined');
    });
    assert.ok(!(await namesInside('globex')).some((name) => name.startsWith('wrong')));
  });

  it('2.8 reply to CLOSE lost, 2.9 duplicate: the same file again is delivered beside the first and shown as sent again', async () => {
    const file = await local('dup.csv', 'the same');
    for (const count of [1, 2]) {
      assert.equal((await batch('acme', `put ${file} /Inbox/dup.csv`)).code, 0);
      await eventually(
        'delivered',
        async () => (await namesInside('acme')).filter((name) => name.startsWith('dup')).length === count,
      );
    }
    const [again, first] = (await listed('acme')).filter(({ path }) => path === '/Inbox/dup.csv');
    assert.equal(again?.duplicateOf, first?.item);
    assert.equal(first?.duplicateOf, undefined);
    assert.match(await ask(pair.site, 'internal', 'ls', 'acme/Inbox'), /delivered, sent again/);
  });
});

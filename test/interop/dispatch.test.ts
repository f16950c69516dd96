/**
 * Rules on a running pair, with OpenSSH's `sftp` and with curl over FTPS: what partners and operators see of destinations,
 * programs, delays and stops. Names of rows are those of behaviour.md §7.2.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { InternalStatus, TraceAnswer, TracedEvent } from '../../internal-node/admin/api.ts';
import { commands } from '../../scripts/site/site.ts';
import { ask, curlFtps, delivered, eventually, filesBelow, sftp } from '../../scripts/site/walk.ts';
import { type Pair, startPair } from '../fixtures/pair.ts';
import { op, openFlags, RawSftp } from '../fixtures/raw-sftp.ts';

const rules = `rules:
  - {name: copies, path: '*.copy', copy: [inside, archive]}
  - {name: everywhere, path: 'm/^both\\/(\\w+)\\.PDF$/i', move: [inside, {to: archive, as: 'pdf/{1_lower}/{account.name}.pdf'}]}
  - {name: slow, path: '*.slow', execute: slow}
  - {name: delayed, path: '*.later', delay: 2s, deliver: inside}
  - {name: fragile, path: '*.fragile', move: fragile}
  - {name: exchange, path: '*.pdf', outbox: globex}
  - {name: exchange too, path: 'm/\\.TXT$/i', outbox: globex}
  - {name: exception, path: 'test-*', hold: true}
fallback: {deliver: inside, as: 'fallback/'}
`;

describe('rules, with real clients', () => {
  let pair: Pair;
  const at = (...path: string[]): string => join(pair.site.folder, ...path);
  const put = async (name: string, content: string, to = `/Inbox/${name.split('/').at(-1)}`): Promise<void> => {
    await writeFile(at('file'), content);
    const folder = to.slice(0, to.lastIndexOf('/'));
    const made = folder === '/Inbox' ? [] : [`-mkdir ${folder}`];
    const { code, output } = await sftp(pair.site, pair.acme, [...made, `put ${at('file')} ${to}`]);
    assert.equal(code, 0, output);
  };
  const trace = async (path: string): Promise<readonly TracedEvent[]> =>
    (JSON.parse(await ask(pair.site, 'internal', 'trace', `acme/Inbox/${path}`, '--json')) as TraceAnswer).events;
  const told = (path: string, name: string): Promise<TracedEvent> =>
    eventually(`${name} of ${path}`, async () => (await trace(path)).find((event) => event.name === name));
  const status = async (): Promise<InternalStatus> =>
    JSON.parse(await ask(pair.site, 'internal', 'status', '--json')) as InternalStatus;

  before(async () => {
    pair = await startPair({}, undefined, async ({ folder, internal }) => {
      const program = join(folder, 'slow.sh');
      await writeFile(program, `while [ ! -e "${folder}/go-on" ]; do sleep 0.05; done\ncp -- "$3" "${folder}/by-program"\n`);
      const more = `  archive: {folder: ${folder}/archive}\n  fragile: {folder: ${folder}/fragile, stopAfter: 2}\n  slow: {program: [/bin/sh, ${program}, first]}\n`;
      const config = await readFile(internal.config, 'utf8');
      await writeFile(internal.config, config.replace(/^destinations:\n/m, `destinations:\n${more}`));
      await writeFile(internal.config, `${await readFile(internal.config, 'utf8')}\npull: {retryFirst: 100ms, retryMost: 1s}\n`);
      await writeFile(join(internal.config, '../conf.d/rules.yaml'), rules, { mode: 0o600 });
      await mkdir(join(folder, 'archive'));
    });
  });
  after(async () => {
    await pair[Symbol.asyncDispose]();
  });

  it('FD-01, FD-02, FD-03: over SFTP by a glob and over FTPS by a regular expression: to another partner, byte by byte', async () => {
    await put('drawing.pdf', 'a drawing');
    await writeFile(at('note.txt'), 'a note');
    assert.equal((await curlFtps(pair.site, pair.acme, ['-T', at('note.txt')], '/Inbox/note.txt')).code, 0);
    for (const [name, content] of [
      ['drawing.pdf', 'a drawing'],
      ['note.txt', 'a note'],
    ] as const) {
      await eventually(`globex gets ${name}`, async () => {
        const got = await sftp(pair.site, pair.globex, [`get /Outbox/${name} ${at('got')}`]);
        return got.code === 0 || undefined;
      });
      assert.equal(await readFile(at('got'), 'utf8'), content);
    }
  });

  it('FD-10, FD-18, FD-37: a file goes to two destinations, each with its own path, and the trace names both', async () => {
    await put('Report.pdf', 'to both', '/Inbox/both/Report.pdf');
    assert.equal(String(await delivered(pair.site, 'Report.pdf')), 'to both');
    const { fields, partner } = await told('both/Report.pdf', 'item.dispatched');
    assert.equal(await readFile(at('archive/pdf/report/acme.pdf'), 'utf8'), 'to both');
    assert.deepEqual(
      [partner, fields.action, fields.source, fields.destinations],
      ['acme', 'move', 'taken', 'inside: Report.pdf; archive: pdf/report/acme.pdf'],
    );
    assert.equal((await told('both/Report.pdf', 'item.confirmed')).fields.outcome, 'delivered');
  });

  it('FD-09: what is copied is still there for its sender, who may remove it', async () => {
    await put('x.copy', 'copied');
    assert.equal((await told('x.copy', 'item.dispatched')).fields.source, 'kept');
    assert.equal(await readFile(at('archive/x.copy'), 'utf8'), 'copied');
    const { code, output } = await sftp(pair.site, pair.acme, ['ls -l /Inbox/x.copy', 'rm /Inbox/x.copy']);
    assert.equal(code, 0, output);
  });

  it('FD-17, FD-35: a program that takes its time keeps neither the session waiting nor other files', async () => {
    await put('a.slow', 'for the program');
    await put('b.other', 'meanwhile');
    assert.equal(String(await delivered(pair.site, 'fallback/b.other')), 'meanwhile');
    await writeFile(at('go-on'), '');
    await told('a.slow', 'item.confirmed');
    assert.equal(await readFile(at('by-program'), 'utf8'), 'for the program');
    const events = await trace('a.slow');
    assert.equal(events.find(({ name }) => name === 'program.ended')?.fields.outcome, 'exit 0');
  });

  it('FD-07, FD-16: what no rule takes goes by the fallback, and an exception above it stays', async () => {
    await put('test-1.csv', 'kept');
    await put('free.csv', 'free');
    assert.equal(String(await delivered(pair.site, 'fallback/free.csv')), 'free');
    assert.match(String((await told('free.csv', 'item.routed')).fields.rule), /^fallback \(conf\.d\/rules\.yaml:\d+\)$/);
    await told('test-1.csv', 'item.held');
    assert.ok(!(await filesBelow(pair.site.inside.delivered)).includes('fallback/test-1.csv'));
  });

  it('FD-28: a name that its sender changes within the delay is never seen inside', async () => {
    await put('first.later', 'late');
    assert.equal((await sftp(pair.site, pair.acme, ['rename /Inbox/first.later /Inbox/second.later'])).code, 0);
    assert.equal(String(await delivered(pair.site, 'acme/second.later')), 'late');
    assert.ok(!(await filesBelow(pair.site.inside.delivered)).some((name) => name.includes('first')));
  });

  it('FD-36: nothing happens to a file that is open; closing it is what counts', async () => {
    await using client = await RawSftp.connect(pair.site.sftp.port, { username: pair.acme.name, password: pair.acme.password });
    const handle = await client.open('/Inbox/open.csv', openFlags.write | openFlags.create | openFlags.truncate);
    assert.equal((await client.ask(op.write, handle, 0n, 'half and ')).status, 0);
    await put('after.csv', 'sent meanwhile');
    await delivered(pair.site, 'fallback/after.csv');
    assert.ok(!(await filesBelow(pair.site.inside.delivered)).includes('fallback/open.csv'));
    assert.equal((await client.ask(op.write, handle, 9n, 'half')).status, 0);
    assert.equal((await client.ask(op.close, handle)).status, 0);
    assert.equal(String(await delivered(pair.site, 'fallback/open.csv')), 'half and half');
  });

  it('FD-34: a destination that fails again and again is stopped, is seen in the status, and is resumed by a command', async () => {
    await put('a.fragile', 'in the end'); // its folder is not there
    const [stop] = await eventually('it is stopped', async () => {
      const { stopped } = await status();
      return stopped.length > 0 ? stopped : undefined;
    });
    assert.equal(stop?.destination, 'fragile');
    assert.match(
      await ask(pair.site, 'internal', 'status'),
      /destination fragile is stopped .*\n {2}next: .*destination resume fragile/,
    );
    assert.match(await ask(pair.site, 'internal', 'destination', 'list'), /fragile.*folder.*stopped/);
    await mkdir(at('fragile'));
    assert.match(await ask(pair.site, 'internal', 'destination', 'resume', 'fragile'), /tried again/);
    await told('a.fragile', 'item.confirmed');
    assert.equal(await readFile(at('fragile/a.fragile'), 'utf8'), 'in the end');
    assert.deepEqual((await status()).stopped, []);
  });

  it('FD-33: a rule that cannot be is refused with its place, and the node goes on with the last good rules', async () => {
    const file = at('internal/conf.d/rules.yaml');
    await writeFile(file, 'rules:\n  - {rename: [inside, archive]}\n');
    const [node, ...main] = commands.internal;
    const checked = await new Promise<{ code: number; text: string }>((resolve) => {
      execFile(node, [...main, 'config', 'check', '--config', pair.site.internal.config], (error, _out, text) =>
        resolve({ code: error ? Number(error.code) : 0, text }),
      );
    });
    assert.equal(checked.code, 2);
    assert.match(checked.text, /rules\.yaml:2:\d+.*takes exactly one destination/s);
    await rename(file, `${file}.wrong`);
    await writeFile(file, rules, { mode: 0o600 });
  });
});

/** `can-i` and `rules test` as a person or a script calls them, without a process of their own. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Program } from '../../shared/admin/cli.ts';
import { makeKey } from '../../test/fixtures/ssh-login.ts';
import { addExplainVerbs } from './verbs-explain.ts';

async function run(args: readonly string[]): Promise<{ readonly code: number; readonly out: string; readonly error: string }> {
  const said = { out: '', error: '' };
  const collect = (to: 'out' | 'error') => ({
    write: (text: string): void => {
      said[to] += text;
    },
  });
  const program = new Program(
    { out: collect('out'), error: collect('error'), input: process.stdin, env: {}, signal: new AbortController().signal },
    { name: 'sallyport', summary: '', findConfig: (named = '') => named },
  );
  addExplainVerbs(program);
  const code = await program.run(args);
  return { code, ...said };
}

test('can-i and rules test say what would happen and which line decides it, by exit code, too', async () => {
  const place = await mkdtemp(join(tmpdir(), 'sallyport-explain-'));
  await mkdir(join(place, 'conf.d'));
  await writeFile(join(place, 'sallyport.yaml'), 'version: 1\nname: inner1\ndestinations:\n  inside: {folder: delivered}\n');
  const partners = [
    'groups:\n  senders:\n    permissions:\n      global: [allow-list]\n      paths:\n        - {on: "/Inbox/*.csv", set: [allow-write]}\n',
    `partners:\n  acme:\n    keys: ["${makeKey('ed25519').publicLine}"]\n    groups: [senders]\n    from: [198.51.100.0/24]\n`,
  ];
  await writeFile(join(place, 'conf.d/partners.yaml'), partners.join(''));
  await writeFile(
    join(place, 'conf.d/rules.yaml'),
    'rules:\n  - {name: tests, path: "test-*", ignore: true}\n  - {path: "*.csv", deliver: inside}\n',
  );
  const ask = (...args: string[]) => run([...args, '-c', join(place, 'sallyport.yaml')]);

  const yes = await ask('can-i', 'write', '/Inbox/x.csv', '--as', 'acme', '--from', '198.51.100.9');
  assert.deepEqual([yes.code, yes.out], [0, 'yes   conf.d/partners.yaml:6   (/Inbox/*.csv: allow-write)\n']);
  const no = await ask('can-i', 'write', '/Inbox/x.exe', '--as', 'acme', '--json');
  assert.equal(no.code, 4);
  const told = JSON.parse(no.out) as { allowed: boolean; by: string; line: { on: string | null } };
  assert.deepEqual([told.allowed, told.by, told.line.on], [false, 'conf.d/partners.yaml:4', null]);
  const elsewhere = await ask('can-i', 'write', '/Inbox/x.csv', '--as', 'acme', '--from', '203.0.113.1');
  assert.deepEqual([elsewhere.code, elsewhere.out], [4, 'no   conf.d/partners.yaml:11   no login: source address not allowed\n']);
  const why = await ask('can-i', 'write', '/Inbox/x.exe', '--as', 'acme', '--why');
  assert.deepEqual(
    [why.code, why.out],
    [
      4,
      '/Inbox/*.csv\tallow-write\tno\tconf.d/partners.yaml:6\nall others\tallow-list\tdecides\tconf.d/partners.yaml:4\n' +
        'no   conf.d/partners.yaml:4   (allow-list)\n',
    ],
  );
  const list = await ask('can-i', '--list', '--as', 'acme');
  assert.deepEqual(
    [list.code, list.out],
    [0, '/Inbox/*.csv\twrite\tconf.d/partners.yaml:6\nall others\tlist\tconf.d/partners.yaml:4\n'],
  );
  const typo = await ask('can-i', 'wriet', '/Inbox/x', '--as', 'acme');
  assert.equal(typo.code, 2);
  assert.match(typo.error, /there is no permission "wriet" - did you mean "write"/);
  const stranger = await ask('can-i', 'write', '/Inbox/x', '--as', 'acmee');
  assert.equal(stranger.code, 6);
  assert.match(stranger.error, /did you mean "acme"/);

  const routed = await ask('rules', 'test', 'Inbox/INV_1.csv', '--partner', 'acme');
  assert.equal(routed.code, 0);
  assert.match(
    routed.out,
    /^conf\.d\/rules\.yaml:2\ttests\tpath test-\*\tno: path\nconf\.d\/rules\.yaml:3\trule 2\tpath \*\.csv\tmatches\n→ deliver to inside {3}by rule 2 \(conf\.d\/rules\.yaml:3\)/,
  );
  assert.match(routed.out, /\n {2}file .*\/delivered\/acme\/INV_1\.csv\n$/);
  assert.equal((await ask('rules', 'test', 'notes.doc')).code, 2);
  assert.equal((await ask('rules', 'test', 'notes.doc', '--from-history', '30d')).code, 2);
  assert.equal((await ask('rules', 'test', '--from-history', '30')).code, 2);
  assert.equal((await ask('rules', 'test', '--from-history', '30d')).code, 3);
  assert.equal((await ask('rules', 'test', '--from-history', '30d', '--with', join(place, 'none'))).code, 2);
  const unrouted = await ask('rules', 'test', 'notes.doc', '--partner', 'acme', '--size', '2MiB', '--json');
  assert.equal(unrouted.code, 5);
  assert.deepEqual((JSON.parse(unrouted.out) as { route: unknown; size: number }).route, { action: 'unrouted' });
  assert.deepEqual(await readdir(join(place, 'conf.d')).then((names) => names.sort()), ['partners.yaml', 'rules.yaml']);
  await rm(place, { recursive: true });
});

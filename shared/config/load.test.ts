import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { z } from 'zod';
import { loadConfig, sourceOf } from './load.ts';
import { ConfigError, formatProblem } from './problems.ts';
import { address, duration } from './units.ts';

const schema = z.strictObject({
  version: z.literal(1),
  include: z.array(z.string()).default([]),
  sftp: z.strictObject({ listen: address(), idle: duration().prefault('1m') }).optional(),
  names: z.record(z.string(), z.strictObject({ colour: z.enum(['red', 'green']) })).default({}),
});
const part = z.strictObject({ rules: z.array(z.strictObject({ name: z.string() })).default([]) });
const include = { key: 'include', fallback: ['conf.d/**/*.yaml'], schema: part };

async function inFolder(files: Readonly<Record<string, string>>, check: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-config-'));
  try {
    for (const [name, text] of Object.entries(files)) {
      await mkdir(dirname(join(folder, name)), { recursive: true });
      await writeFile(join(folder, name), text);
    }
    await check(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function problemsOf(files: Readonly<Record<string, string>>): Promise<string[]> {
  let found: string[] = [];
  await inFolder(files, async (folder) => {
    await assert.rejects(loadConfig(join(folder, 'main.yaml'), schema, { include }), (error: unknown) => {
      assert.ok(error instanceof ConfigError);
      assert.equal(error.code, 'config-invalid');
      found = error.problems.map((problem) => formatProblem(problem).replace(`${folder}/`, ''));
      return true;
    });
  });
  return found;
}

test('every problem of every file is told at once, each with line, column and path', async () => {
  const found = await problemsOf({
    'main.yaml': 'version: 1\nsftp:\n  lisen: "0.0.0.0:22"\n  idle: 30\nnames:\n  acme:\n    colour: blue\n',
    'conf.d/a.yaml': 'rules:\n  - name: ok\n  - nam: wrong\n',
  });
  assert.deepEqual(found, [
    'main.yaml:3:3 sftp.listen: listen is missing',
    'main.yaml:3:3 sftp.lisen: unknown key - did you mean "listen"?',
    'main.yaml:4:9 sftp.idle: the unit is missing, expected a duration like 30s or 15m',
    'main.yaml:7:13 names.acme.colour: expected one of "red"|"green"',
    'conf.d/a.yaml:3:5 rules[1].name: name is missing',
    'conf.d/a.yaml:3:5 rules[1].nam: unknown key - did you mean "name"?',
  ]);
});

test('a key that occurs twice is refused where it occurs the second time', async () => {
  const found = await problemsOf({ 'main.yaml': 'version: 1\nnames: {}\nnames: {}\n' });
  assert.equal(found.length, 1);
  assert.match(found[0] ?? '', /^main\.yaml:3:1 the key occurs twice/);
});

test('a file that is no YAML is a problem with a place', async () => {
  const [first = ''] = await problemsOf({ 'main.yaml': 'version: 1\nsftp: [1, 2\n' });
  assert.match(first, /^main\.yaml:\d+:\d+ /);
});

test('a missing file, a huge file and a flood of aliases are refused', async () => {
  assert.deepEqual(await problemsOf({}), ['main.yaml:1:1 there is no such file']);
  assert.match((await problemsOf({ 'main.yaml': `version: 1\n#${'x'.repeat(1024 * 1024)}` })).join(), /the most is 1048576/);
  const level = (name: string, from: string): string => `${name}: &${name} [${Array(9).fill(`*${from}`).join(', ')}]\n`;
  const bomb = `a: &a [x]\n${level('b', 'a')}${level('c', 'b')}${level('d', 'c')}${level('e', 'd')}`;
  assert.match((await problemsOf({ 'main.yaml': bomb })).join(), /alias/i);
});

test('a tag that is not known is refused, not silently read as text', async () => {
  assert.match((await problemsOf({ 'main.yaml': 'version: 1\nnames: !secret {}\n' })).join(), /main\.yaml:2:8 .*tag/);
});

test('included files come in the order of their names, each value with its source', async () => {
  const files = {
    'main.yaml': 'version: 1\ninclude: ["conf.d/**/*.yaml"]\n',
    'conf.d/20-b.yaml': '# one\n\nrules:\n  - name: second\n',
    'conf.d/10-a.yaml': 'rules:\n  - name: first\n',
    'conf.d/deep/er/c.yaml': 'rules: [{name: third}]\n',
    'conf.d/ignored.txt': 'not: [yaml',
    'other/x.yaml': 'nonsense: 1\n',
  };
  await inFolder(files, async (folder) => {
    const { parts } = await loadConfig(join(folder, 'main.yaml'), schema, { include });
    assert.deepEqual(
      parts.flatMap((found) => found.value.rules.map((rule, index) => [rule.name, sourceOf(found, ['rules', index])])),
      [
        ['first', 'conf.d/10-a.yaml:2'],
        ['second', 'conf.d/20-b.yaml:4'],
        ['third', 'conf.d/deep/er/c.yaml:1'],
      ],
    );
  });
});

/** docs/permissions.md and docs/rules.md hold: their configuration is loaded and each of their examples is asked. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseArgs } from 'node:util';
import { parseSize } from '../shared/config/units.ts';
import { actionNames } from '../shared/matching/actions.ts';
import { parseVirtualPath } from '../shared/paths/virtual-path.ts';
import { type Permission, permissionWords } from '../shared/permissions/words.ts';
import { makeKey } from '../test/fixtures/ssh-login.ts';
import { loadInternalSettings } from './config.ts';
import { Explainer } from './explain.ts';
import { groupSchema } from './policy/partners.ts';
import { type Finding, findings } from './rule-findings.ts';

const key = makeKey('ed25519').publicLine;
const main =
  'version: 1\nname: inner1\npolicy: {timeZone: UTC}\ndestinations:\n  inside: {folder: delivered}\n  archive: {folder: archive}\n';
/** Settings that other pages tell of. */
const elsewhere = ['uploads', 'ftps'];
const others = `partners:\n  acme: {keys: ["${key}"]}\n  globex: {keys: ["${key}"]}\n`;

interface Page {
  readonly text: string;
  readonly explainer: Explainer;
  readonly findings: readonly Finding[];
  readonly examples: readonly string[];
}

async function page(name: string, rest?: string): Promise<Page> {
  const text = await readFile(new URL(`../docs/${name}`, import.meta.url), 'utf8');
  const blocks = (kind: string): string[] =>
    [...text.matchAll(new RegExp(`^\`\`\`${kind}\\n([\\s\\S]*?)^\`\`\`$`, 'gm'))].map((found) => found[1] ?? '');
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-page-'));
  try {
    await mkdir(join(folder, 'conf.d'));
    const file = join(folder, 'sallyport.yaml');
    // What a page says of the main file goes on with its destinations.
    const more = blocks('yaml file: sallyport.yaml').map((block) => block.replace(/^destinations:\n/, ''));
    await writeFile(file, [main, ...more].join(''));
    const parts = blocks('yaml').map((block) => block.replace(/ssh-ed25519 AAAA…/g, key));
    for (const [index, part] of parts.entries()) await writeFile(join(folder, `conf.d/${index + 1}.yaml`), part);
    if (rest !== undefined) await writeFile(join(folder, 'conf.d/more.yaml'), rest);
    const settings = await loadInternalSettings(file);
    const examples = blocks('examples').flatMap((block) => block.trimEnd().split('\n'));
    return { text, explainer: new Explainer(settings), findings: findings(settings, 0), examples };
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** `command   answer   place`, columns parted by two blanks or more. */
function read(line: string) {
  const [command = '', answer = '', place = '', file] = line.split(/ {2,}/);
  const options = {
    as: { type: 'string' },
    partner: { type: 'string' },
    from: { type: 'string' },
    at: { type: 'string' },
    size: { type: 'string' },
  } as const;
  const { values, positionals } = parseArgs({ args: command.split(' '), options, allowPositionals: true });
  return { answer, place, file, values, positionals, atMs: Date.parse(values.at ?? '2026-06-01') };
}

function asked({ explainer }: Page, line: string): void {
  const { answer, place, values, positionals, atMs } = read(line);
  const [, permission = '', path = ''] = positionals;
  const who = { partner: values.as ?? '', from: values.from, atMs };
  const given = explainer.may(who, permission as Permission, parseVirtualPath(path));
  assert.deepEqual([given.allowed ? 'yes' : 'no', given.by ?? ''], [answer, place], line);
}

function routed({ explainer }: Page, line: string): void {
  const { answer, place, file: as, values, positionals, atMs } = read(line);
  const path = parseVirtualPath(`/Inbox/${positionals[2]}`);
  const { decision, targets } = explainer.route(values.partner ?? '', path, parseSize(values.size ?? '1KiB'), atMs);
  const { route, plan } = decision;
  const to = plan ? plan.targets.map(({ destination }) => destination) : 'partner' in route ? [route.partner] : [];
  assert.equal([plan?.action ?? route.action, ...to].join(' '), answer, line);
  assert.ok(place === '' ? decision.rule === '' : decision.rule.endsWith(`(${place})`), `${line}: ${decision.rule}`);
  const below = as?.split(', ') ?? (plan ? [`${values.partner}${path.slice('/Inbox'.length)}`] : []);
  const given = targets.map(({ destination, file }) => file?.split(/\/(?:delivered|archive)\//)[1] ?? destination);
  assert.deepEqual(given, below, line);
}

test('PE-01, PE-16: docs/permissions.md: two partners of one group, side by side', async () => {
  const all = await page('permissions.md');
  assert.ok(all.examples.length >= 12);
  for (const line of all.examples) asked(all, line);
  for (const word of permissionWords) assert.ok(all.text.includes(`\`${word}\``), word);
});

test('PE-01, AC-02, AC-10, AC-16: docs/accounts.md: every example is answered so, by that line', async () => {
  const all = await page('accounts.md');
  assert.ok(all.examples.length >= 12);
  for (const line of all.examples) (line.startsWith('can-i') ? asked : routed)(all, line);
  for (const setting of Object.keys(groupSchema.shape))
    assert.ok(elsewhere.includes(setting) || all.text.includes(`\`${setting}`), setting);
});

test('FD-21: docs/rules.md: every example is decided so, by that line', async () => {
  const all = await page('rules.md', others);
  assert.deepEqual(all.explainer.brokenExamples(0), []);
  assert.deepEqual(
    all.findings.filter(({ kind }) => kind === 'never'),
    [],
  );
  assert.ok(all.examples.length >= 12);
  for (const action of actionNames) assert.ok(all.text.includes(`| \`${action}: `), action);
  for (const line of all.examples) routed(all, line);
});

test('examples that another rule decides, or none, are named with who decides them', async () => {
  const rules =
    'rules:\n  - {name: all csv, path: "*.csv", hold: true, expect: [a.csv]}\n' +
    '  - {name: late, path: "*.csv", partner: acme, deliver: inside, expect: [a.csv, b.pdf]}\n';
  const { explainer } = await page('matching.md', `${others}${rules}`);
  assert.deepEqual(
    explainer.brokenExamples(0).map(({ path, by, decided }) => `${by} ${path}: ${decided}`),
    ['conf.d/more.yaml:6 a.csv: all csv (conf.d/more.yaml:5) decides it', 'conf.d/more.yaml:6 b.pdf: no rule takes it'],
  );
});

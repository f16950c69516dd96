import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ConfigError, formatProblem } from '../shared/config/problems.ts';
import { fingerprintOf } from '../shared/pki/fingerprint.ts';
import { loadInternalConfig, loadInternalSettings, loadMainSettings } from './config.ts';

const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const dmzFingerprint = fingerprintOf('dmz', publicKey.export({ type: 'spki', format: 'der' }));
const key = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f someone';

const main = `version: 1
name: inner1
dmz:
  address: edge1.example.com:8443
  fingerprint: ${dmzFingerprint}
destinations:
  inside: {folder: delivered}
outgoing: {folder: /srv/out}
`;
const partners = `partners:
  acme:
    keys: ["${key}"]
  globex:
    keys: ["${key}"]
`;
const rules = `rules:
  - name: pdf
    partner: acme
    path: "*.pdf"
    size: {max: 10MiB}
    outbox: globex
  - path: m/inv_\\d+/i
    deliver: inside
`;

async function load(files: { main?: string; partners?: string; rules?: string; more?: string }) {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-inner-'));
  await mkdir(join(folder, 'conf.d'));
  const file = join(folder, 'sallyport.yaml');
  await writeFile(file, files.main ?? main);
  await writeFile(join(folder, 'conf.d/partners.yaml'), files.partners ?? partners);
  await writeFile(join(folder, 'conf.d/rules.yaml'), files.rules ?? rules);
  if (files.more !== undefined) await writeFile(join(folder, 'conf.d/x.yaml'), files.more);
  try {
    const config = await loadInternalConfig(file);
    return { config, folder, problems: [] as string[] };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return {
      config: undefined,
      folder,
      problems: error.problems.map((problem) => formatProblem(problem).replace(`${folder}/`, '')),
    };
  } finally {
    await rm(folder, { recursive: true });
  }
}

test('a good configuration becomes numbers, absolute paths and rules with their source', async () => {
  const { config, folder } = await load({});
  assert.ok(config);
  assert.equal(config.state, join(folder, 'state'));
  assert.equal(config.keys, join(folder, 'state/keys'));
  assert.equal(config.admin.socket, join(folder, 'state/admin/socket'));
  assert.deepEqual(config.destinations, [
    {
      name: 'inside',
      folder: join(folder, 'delivered'),
      onExisting: 'number',
      makeFolders: 'all',
      fileMode: 0o640,
      stopAfter: 0,
    },
  ]);
  assert.equal(config.outgoing?.folder, '/srv/out');
  assert.deepEqual(config.dmz.address, { host: 'edge1.example.com', port: 8443 });
  assert.equal(config.policy.limits.idleMs, 15 * 60_000);
  assert.deepEqual(config.rules, [
    {
      name: 'pdf',
      source: 'conf.d/rules.yaml:2',
      partner: 'acme',
      path: '*.pdf',
      maxBytes: 10 * 1024 * 1024,
      route: { action: 'outbox', partner: 'globex' },
    },
    {
      name: 'rule 2',
      source: 'conf.d/rules.yaml:7',
      path: 'm/inv_\\d+/i',
      route: { action: 'deliver', destination: 'inside' },
      plan: { action: 'deliver', targets: [{ destination: 'inside' }] },
    },
  ]);
  assert.equal(config.partnerSources.get('globex'), 'conf.d/partners.yaml:4');
});

test('rules that name what is not there are refused with a suggestion', async () => {
  const { problems } = await load({
    rules: 'rules:\n  - {partner: acm, deliver: insid}\n  - outbox: globx\n  - {partner: "a*", deliver: inside}\n',
  });
  assert.deepEqual(problems, [
    'conf.d/rules.yaml:2:15 rules[0].partner: there is no partner "acm" - did you mean "acme"?',
    'conf.d/rules.yaml:2:29 rules[0].deliver: there is no destination "insid" - did you mean "inside"?',
    'conf.d/rules.yaml:3:13 rules[1].outbox: there is no partner "globx" - did you mean "globex"?',
  ]);
});

test('commands that mend references, or only look for the socket, work while a reference is wrong', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-inner-'));
  await mkdir(join(folder, 'conf.d'));
  const file = join(folder, 'sallyport.yaml');
  await writeFile(file, main);
  await writeFile(join(folder, 'conf.d/rules.yaml'), 'rules: [{partner: acme, deliver: inside}]\n');
  await assert.rejects(loadInternalSettings(file), /there is no partner "acme"/);
  assert.equal((await loadInternalSettings(file, 'unchecked')).rules.length, 1);
  await writeFile(join(folder, 'conf.d/rules.yaml'), 'rules: 5\n');
  await assert.rejects(loadInternalSettings(file, 'unchecked'), /rules: expected array/);
  assert.equal((await loadMainSettings(file)).admin.socket, join(folder, 'state/admin/socket'));
  await rm(folder, { recursive: true });
});

test('upload settings that make no sense are refused at their line and column', async () => {
  const own = (uploads: string): string => `partners:\n  acme:\n    keys: ["${key}"]\n    uploads: ${uploads}\n`;
  const rules = 'rules: []\n';
  assert.deepEqual((await load({ rules, partners: own('{complet: close}') })).problems, [
    'conf.d/partners.yaml:4:15 partners.acme.uploads.complet: unknown key - did you mean "complete"?',
  ]);
  assert.deepEqual((await load({ rules, partners: own('{complete: close, quiet: 5s}') })).problems, [
    'conf.d/partners.yaml:4:39 partners.acme.uploads.quiet: has no effect with complete: close',
  ]);
  assert.deepEqual((await load({ rules, partners: own("{temporaryNames: ['*.[a']}") })).problems.length, 1);
  const grace = `${main}sessions: {grace: 1m}\n`;
  assert.deepEqual((await load({ main: grace, rules, partners: own('{complete: quiet, quiet: 2m}') })).problems, [
    'conf.d/partners.yaml:4:14 partners.acme.uploads: quiet, 2m, must be less than sessions.grace, 1m',
  ]);
  const short = `${main}sessions: {grace: 20s}\n`;
  assert.match((await load({ main: short, rules, partners: own('{complete: quiet}') })).problems[0] ?? '', /quiet, 30s, must be/);
  const { config } = await load({ rules, partners: own('{complete: quiet, quiet: 2m}') });
  assert.deepEqual(config?.partners.acme?.uploads, { complete: 'quiet', quietMs: 120_000 });
});

test('FD-33: a rule has exactly one action', async () => {
  const all = 'deliver, move, copy, rename, move-with-timestamp, rename-prepend-unixtime, execute, outbox, hold, delete, ignore';
  const { problems } = await load({ rules: 'rules:\n  - name: none\n  - {hold: true, delete: true}\n' });
  assert.deepEqual(problems, [
    `conf.d/rules.yaml:2:5 rules[0]: the action is missing: exactly one of ${all}`,
    `conf.d/rules.yaml:3:5 rules[1]: hold and delete cannot be together: exactly one of ${all}`,
  ]);
});

const withMore = `${main.replace('destinations:', 'destinations:\n  archive: {folder: archive}\n  scan: {program: [/bin/scan, -q], timeout: 2m}')}`;

test('a rule with several destinations, a fallback and a program become what the nodes read', async () => {
  const { config, problems } = await load({
    main: withMore,
    rules:
      'rules:\n  - {copy: [inside, {to: archive, as: "{year.decimal}/"}], as: "x/", onExisting: skip, retry: {limit: 2, wait: 1m}}\n' +
      '  - {execute: scan, delay: 30s}\nfallback: {rename: archive}\n',
  });
  assert.deepEqual(problems, []);
  const targets = [
    { destination: 'inside', as: 'x/' },
    { destination: 'archive', as: '{year.decimal}/' },
  ];
  const [copy, execute, fallback] = config?.rules ?? [];
  assert.deepEqual(copy?.route, { action: 'hold' });
  assert.deepEqual(copy?.plan, { action: 'copy', targets, onExisting: 'skip', retry: { limit: 2, waitMs: 60_000 } });
  assert.deepEqual(execute?.completion, { complete: 'quiet', quietMs: 30_000 });
  assert.deepEqual([fallback?.name, fallback?.source, fallback?.path], ['fallback', 'conf.d/rules.yaml:4', undefined]);
  assert.deepEqual(config?.programs, [
    { name: 'scan', command: ['/bin/scan', '-q'], timeoutMs: 120_000, concurrent: 2, stopAfter: 10 },
  ]);
});

test('FD-12, FD-17, FD-23, FD-33: what a rule cannot be is refused at its place', async () => {
  const refused = async (rule: string, message: RegExp, more = ''): Promise<void> => {
    const { problems } = await load({ main: withMore, rules: `rules:\n  - ${rule}\n`, ...(more === '' ? {} : { more }) });
    assert.match(problems.join('\n'), message, rule);
  };
  await refused('{rename: [inside, archive]}', /rules\[0\]\.rename: takes exactly one destination/);
  await refused('{rename: inside, onExisting: replace}', /rules\[0\]\.onExisting: rename always means fail/);
  await refused('{execute: inside}', /rules\[0\]\.execute: there is no program among the destinations "inside"/);
  await refused('{execute: /bin/sh}', /there is no program among the destinations/);
  await refused('{move: [inside, insid]}', /there is no destination "insid" - did you mean "inside"/);
  await refused('{move: [inside, inside]}', /a destination is named twice/);
  await refused('{hold: true, retry: {limit: 1}}', /rules\[0\]\.retry: is only for what is delivered inside/);
  await refused('{outbox: globex, as: x}', /rules\[0\]\.as: is only for what is delivered inside/);
  await refused('{deliver: inside, delay: 5s, complete: rename}', /rules\[0\]\.delay: a delay is complete: quiet/);
  await refused('{moev: inside}', /rules\[0\]\.moev: unknown key - did you mean "move"/);
  await refused('{deliver: {to: inside, as: "{1}"}}', /rules\[0\]\.deliver: column 1: there is no group \{1\}/);
  await refused('{hold: true}', /fallback\.as: column 1: there is no group \{1\}/, 'fallback: {deliver: inside, as: "{1}"}\n');
  await refused(
    '{hold: true}\nfallback: {hold: true}',
    /x\.yaml:1:1 fallback: there is a fallback in conf\.d\/rules/,
    'fallback: {hold: true}\n',
  );
});

test('a destination is a folder or a program, with the keys of its kind', async () => {
  const refused = async (destination: string, message: RegExp): Promise<void> => {
    const { problems } = await load({ main: main.replace('{folder: delivered}', destination) });
    assert.match(problems.join('\n'), message, destination);
  };
  await refused('{}', /destinations\.inside: exactly one of folder and program/);
  await refused('{folder: a, program: [/bin/true]}', /exactly one of folder and program/);
  await refused('{program: [scan]}', /destinations\.inside\.program: begins with an absolute path/);
  await refused('{program: [/bin/true], onExisting: replace}', /destinations\.inside\.onExisting: is only for a folder/);
  await refused('{folder: a, timeout: 5s}', /destinations\.inside\.timeout: is only for a program/);
});

test('MX-26: an expression that does not compile is refused with its option, its line and its column', async () => {
  const { problems } = await load({ rules: "rules:\n  - path: m/(a/\n    deliver: inside\n  - {partner: 'a[b', hold: true}\n" });
  assert.equal(problems.length, 2);
  assert.match(problems[0] ?? '', /^conf\.d\/rules\.yaml:2:11 rules\[0\]\.path: column 3: missing closing \)/);
  assert.match(problems[1] ?? '', /^conf\.d\/rules\.yaml:4:15 rules\[1\]\.partner: column 2: `\[` is never closed/);
});

test('the same partner in two files is refused, with the first place', async () => {
  const { problems } = await load({ more: `partners:\n  acme:\n    keys: ["${key}"]\n` });
  assert.deepEqual(problems, ['conf.d/x.yaml:2:3 partners.acme: this partner is in conf.d/partners.yaml:2 already']);
});

test('a private key among the keys is refused and never quoted', async () => {
  const { privateKey } = generateKeyPairSync('ed25519');
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const { problems } = await load({ partners: `partners:\n  acme:\n    keys:\n      - |\n${pem.replace(/^/gm, '        ')}\n` });
  assert.equal(problems.length, 1);
  assert.match(problems[0] ?? '', /^conf\.d\/partners\.yaml:4:9 partners\.acme\.keys\[0\]: this is a private key/);
  assert.ok(!problems.join().includes((pem.split('\n')[1] ?? '').slice(0, 20)));
});

test('a typing error in a fingerprint, and the fingerprint of the wrong node, are named', async () => {
  const last = dmzFingerprint.at(-1) === 'A' ? 'B' : 'A';
  const typo = await load({ main: main.replace(dmzFingerprint, dmzFingerprint.slice(0, -1) + last) });
  assert.match(typo.problems.join(), /sallyport\.yaml:5:16 dmz\.fingerprint: .*typing error/);
  const inner = fingerprintOf('internal', publicKey.export({ type: 'spki', format: 'der' }));
  const wrong = await load({ main: main.replace(dmzFingerprint, inner) });
  assert.match(wrong.problems.join(), /dmz\.fingerprint: .*the other role/);
});

test('without a DMZ node the settings load, but there is nothing to serve', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-inner-'));
  const file = join(folder, 'sallyport.yaml');
  await writeFile(file, 'version: 1\nname: inner1\n');
  assert.equal((await loadInternalSettings(file)).dmz, undefined);
  await assert.rejects(loadInternalConfig(file), /sallyport connect/);
  await rm(folder, { recursive: true });
});

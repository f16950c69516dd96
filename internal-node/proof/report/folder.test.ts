import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { hash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { lineHash } from '../../../shared/events/audit-trail.ts';
import { makeNodeKeys, type NodeKeys } from '../../../shared/pki/node-keys.ts';
import type { Claim } from '../../../shared/proof/claim.ts';
import { verifyReport } from '../verify.ts';
import type { Report } from './document.ts';
import { writeReport } from './folder.ts';
import { reportFiles } from './make.ts';
import { metRequirements, notCovered } from './requirements.ts';

const run = promisify(execFile);
const madeAt = '2026-11-01T12:00:00.000Z';
const nowMs = Date.parse('2026-11-08T12:00:00.000Z');
const maxAgeMs = 31 * 86_400_000;

const claim = (id: string, holds: Claim['holds'] = 'yes'): Claim => ({
  ...{ id, kind: 'observed', statement: `<${id}> holds`, command: 'ss -Hltn | grep "<b>"' },
  ...{ holds, evidence: ['seen'], offending: holds === 'yes' ? [] : ['dmz.yaml:3: wrong'] },
});

const reportWith = (claims: readonly Claim[], over: Partial<Report> = {}): Report => ({
  schema: 'sallyport-report-1',
  madeAt,
  version: '1',
  inside: { node: 'inner1', host: 'inner', fingerprint: 'SPI-…' },
  dmz: { node: 'edge<1>', host: 'edge', fingerprint: 'SPD-…', doors: [{ name: 'sftp', address: '0.0.0.0:2222', ports: '2222' }] },
  tunnel: { address: '10.0.0.1:8443', keyExchange: 'X25519MLKEM768' },
  configuration: [],
  policyNumber: 3,
  auditHeads: { inside: '', dmz: '' },
  groups: [
    { title: 'all', claims: claims.map((one) => ({ ...one, evidence: [...one.evidence], offending: [...one.offending] })) },
  ],
  flows: [],
  inventory: [],
  transfers: [],
  requirements: metRequirements(claims).map(({ claims: ids, failing, section: _, ...rest }) => ({
    ...rest,
    claims: [...ids],
    failing: [...failing],
  })),
  notCovered: [...notCovered],
  ...over,
});

let folder: string;
let keys: NodeKeys;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-report-'));
  keys = await makeNodeKeys(join(folder, 'keys'), { role: 'internal', name: 'inner1' });
});
after(() => rm(folder, { recursive: true, force: true }));

let made = 0;
async function written(report: Report = reportWith([claim('dmz.listeners')])): Promise<string> {
  const place = join(folder, `report-${++made}`);
  await writeReport(place, reportFiles(report), keys);
  return place;
}

async function failures(place: string, over: Partial<Parameters<typeof verifyReport>[1]> = {}): Promise<Record<string, string>> {
  const claims = await verifyReport(place, { signer: keys.fingerprint, maxAgeMs, nowMs, here: undefined, ...over });
  return Object.fromEntries(claims.filter(({ holds }) => holds !== 'yes').map(({ id, offending }) => [id, offending.join('\n')]));
}

test('a report as it was written verifies, also with openssl and sha256sum alone', async () => {
  const place = await written();
  assert.deepEqual(await failures(place), {});
  const { stdout } = await run(
    'openssl',
    ['dgst', '-sha256', '-verify', 'signer.pem', '-signature', 'SHA256SUMS.sig', 'SHA256SUMS'],
    { cwd: place },
  );
  assert.match(stdout, /Verified OK/);
  await run('sha256sum', ['--strict', '-c', 'SHA256SUMS'], { cwd: place });
});

test('a report is never written over another', async () => {
  const place = await written();
  await assert.rejects(writeReport(place, [], keys), { code: 'already-exists' });
});

for (const name of ['report.json', 'report.html', 'report.md', 'SHA256SUMS']) {
  test(`a change of ${name} is found`, async () => {
    const place = await written();
    const text = await readFile(join(place, name), 'utf8');
    await writeFile(
      join(place, name),
      text.replace(/[0-9]/, (digit) => String((Number(digit) + 1) % 10)),
    );
    assert.match((await failures(place))['report.unchanged'] ?? '', new RegExp(`${name}: changed after it was signed`));
  });
}

test('a file that was removed or added is found', async () => {
  const place = await written();
  await writeFile(join(place, 'notes.txt'), 'all fine');
  assert.match((await failures(place))['report.unchanged'] ?? '', /notes\.txt: not part of the report/);
  await rm(join(place, 'notes.txt'));
  await rm(join(place, 'report.md'));
  assert.match((await failures(place))['report.unchanged'] ?? '', /report\.md: missing/);
});

test('a report that somebody else signed is found, whole as it is', async () => {
  const other = await makeNodeKeys(join(folder, 'other'), { role: 'internal', name: 'inner1' });
  const place = join(folder, 'forged');
  await writeReport(place, reportFiles(reportWith([claim('dmz.listeners')])), other);
  const found = await failures(place);
  assert.deepEqual(Object.keys(found), ['report.signer']);
  assert.ok(found['report.signer']?.includes(other.fingerprint));
});

test('a signature by a key that the file of the signer does not name is none', async () => {
  const place = await written();
  const other = await makeNodeKeys(join(folder, 'third'), { role: 'internal', name: 'inner1' });
  const elsewhere = join(folder, 'elsewhere');
  await writeReport(elsewhere, [], other);
  await writeFile(join(place, 'signer.pem'), await readFile(join(elsewhere, 'signer.pem')));
  assert.match((await failures(place))['report.unchanged'] ?? '', /SHA256SUMS: changed/);
});

test('a stale report is found, and one from the future', async () => {
  const place = await written();
  assert.match((await failures(place, { nowMs: nowMs + maxAgeMs }))['report.fresh'] ?? '', /made 2026-11-01T12.*38 d ago/);
  assert.match((await failures(place, { nowMs: Date.parse('2026-10-01') }))['report.fresh'] ?? '', /in the future/);
});

test('a report that says itself that a claim did not hold does not pass for one that does', async () => {
  const place = await written(reportWith([claim('dmz.listeners', 'no'), claim('dmz.sealed')]));
  assert.deepEqual(await failures(place), { 'report.holds': 'dmz.listeners: no' });
});

test('a report about another configuration, or another audit trail, is found where the node is', async () => {
  const state = join(folder, 'state');
  await mkdir(join(state, 'audit'), { recursive: true });
  const config = join(folder, 'sallyport.yaml');
  await writeFile(config, 'version: 1\n');
  const first = JSON.stringify({ seq: 1, prev: '0' });
  const second = JSON.stringify({ seq: 2, prev: lineHash(first) });
  await writeFile(join(state, 'audit/2026-11-01.jsonl'), `${first}\n${second}\n`);
  const sha256 = hash('sha256', 'version: 1\n');
  const place = await written(
    reportWith([claim('dmz.listeners')], {
      configuration: [
        { node: 'inner1', file: config, sha256 },
        { node: 'edge1', file: '/etc/sallyport-dmz/dmz.yaml', sha256 },
      ],
      auditHeads: { inside: lineHash(first), dmz: '' },
    }),
  );
  const here = { files: [config], state };
  assert.deepEqual(await failures(place, { here }), {});
  await writeFile(config, 'version: 1 # changed\n');
  assert.match((await failures(place, { here }))['report.configuration'] ?? '', /sallyport\.yaml: changed since the report/);
  await writeFile(config, 'version: 1\n');
  await writeFile(join(state, 'audit/2026-11-01.jsonl'), `${JSON.stringify({ seq: 1, prev: '1' })}\n`);
  assert.match((await failures(place, { here }))['report.audit'] ?? '', /the trail was written anew/);
});

test('what others named is text in every form of a report, never markup', async () => {
  const place = await written(reportWith([claim('<script>alert(1)</script>', 'no')]));
  const page = await readFile(join(place, 'report.html'), 'utf8');
  assert.ok(!page.includes('<script') && page.includes('&lt;script&gt;'));
  assert.ok(page.includes('edge&lt;1&gt;'));
  // In Markdown a code span is text, and elsewhere a backslash makes it so.
  assert.doesNotMatch(await readFile(join(place, 'report.md'), 'utf8'), /(^|[^`\\])<script/m);
});

test('an item of a framework is shown only when all its claims hold', () => {
  const all = ['dmz.certificates', 'inside.certificates'];
  const item = (claims: readonly Claim[]) => metRequirements(claims).find(({ item: name }) => name === '4.2.1.1');
  assert.equal(item(all.map((id) => claim(id)))?.holds, 'yes');
  assert.deepEqual(item([claim('dmz.certificates')])?.failing, ['inside.certificates']);
  assert.equal(item([claim('dmz.certificates', 'no'), claim('inside.certificates')])?.holds, 'no');
});

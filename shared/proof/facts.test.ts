import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { generateIdentity } from '../seal/age-key.ts';
import { readAuditChain } from './audit-chain.ts';
import { trailClaim } from './common-claims.ts';
import { outcomeOf, parsePorts, targetsOf } from './connect-attempts.ts';
import { parseStatus } from './processes.ts';
import { findSecrets } from './secrets.ts';
import { isListener, parseSocketTable, readSockets } from './sockets.ts';
import { notClosed } from './statement.ts';

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-facts-'));
});
after(() => rm(folder, { recursive: true, force: true }));

test('addresses of the kernel are read in both families, with those of IPv4 that IPv6 carries', () => {
  const line = (local: string, remote: string): string =>
    `   0: ${local} ${remote} 01 00000000:00000000 00:00000000 00000000     0        0 4711 1`;
  const head = '  sl  local_address rem_address   st';
  const [four] = parseSocketTable([head, line('0100007F:1F90', '0200000A:01BB')].join('\n'), 'tcp', 4);
  assert.deepEqual(
    [four?.host, four?.port, four?.remoteHost, four?.remotePort, four?.inode],
    ['127.0.0.1', 8080, '10.0.0.2', 443, '4711'],
  );
  const mapped = '0000000000000000FFFF00000100007F:0016';
  const [six, carried] = parseSocketTable(
    [head, line('B80D0120000000000000000001000000:0016', mapped), line(mapped, mapped)].join('\n'),
    'tcp',
    6,
  );
  assert.deepEqual([six?.host, six?.port, six?.remoteHost], ['2001:db8::1', 22, '127.0.0.1']);
  assert.equal(carried?.host, '127.0.0.1');
});

test('a listener of this process is among its own sockets', async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  const { own } = await readSockets([process.pid]);
  assert.ok(own.some((socket) => isListener(socket) && socket.host === '127.0.0.1' && socket.port === port));
  await new Promise((resolve) => server.close(resolve));
});

test('the status of a thread says what the kernel holds it to', () => {
  const text = 'Name:\tnode\nUid:\t0\t998\t998\t998\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n';
  assert.deepEqual(parseStatus(text, 7), { tid: 7, name: 'node', uid: 998, seccomp: 2, noNewPrivileges: true });
});

test('a secret is found wherever it lies in a large file, and only what is one', async () => {
  const { identity, recipient } = generateIdentity();
  const file = join(folder, 'large');
  const border = 1024 * 1024;
  await writeFile(file, Buffer.concat([Buffer.alloc(border - 30, 0x61), Buffer.from(identity), Buffer.alloc(border, 0x62)]));
  assert.deepEqual(await findSecrets([file]), [{ file, kind: 'age identity', publicKey: recipient }]);
  const harmless = join(folder, 'harmless');
  await writeFile(harmless, 'costs $6 or $2b; age1 and PRIVATE KEY are words, {SHA} too\n');
  assert.deepEqual(await findSecrets([harmless, join(folder, 'gone')]), []);
});

test('what could not be tried, and an address among several that answers, do not show that a way is closed', () => {
  const failed = (code: string): Error => Object.assign(new Error(code), { code });
  const attempt = (error: Error) => notClosed({ target: 'x', port: 1, ms: 1, outcome: outcomeOf(error) });
  for (const code of ['EHOSTUNREACH', 'ENETUNREACH', 'EPERM', 'ETIMEDOUT']) assert.equal(attempt(failed(code)), undefined, code);
  for (const code of ['ENOTFOUND', 'EAI_AGAIN', 'EMFILE', 'EADDRNOTAVAIL']) {
    assert.match(attempt(failed(code)) ?? '', /could not be tried/, code);
  }
  const several = new AggregateError([failed('ENETUNREACH'), failed('ECONNREFUSED')]);
  assert.match(attempt(several) ?? '', /packets get there/);
});

test('an audit trail without one line is no trail that holds', async () => {
  const empty = await mkdtemp(join(folder, 'audit-'));
  assert.equal(trailClaim('inside', { value: await readAuditChain(empty) }, empty).holds, 'no');
});

test('targets and ports are what people write, and bounded', () => {
  assert.deepEqual(parsePorts('22, 8000-8002,22'), [22, 8000, 8001, 8002]);
  assert.throws(() => parsePorts('0'), { code: 'usage' });
  assert.throws(() => parsePorts('70000'), { code: 'usage' });
  assert.deepEqual(
    targetsOf(['10.1.2.4/30', '10.9.9.9/32'], [1]).map(({ host }) => host),
    ['10.1.2.5', '10.1.2.6', '10.9.9.9'],
  );
  assert.throws(() => targetsOf(['10.0.0.0/8'], [22]), { code: 'usage' });
  assert.throws(() => targetsOf(['10.0.0.0/20'], parsePorts('1-1024')), { code: 'usage' });
});

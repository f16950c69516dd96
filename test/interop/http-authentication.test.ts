/** An HTTP authentication service of the login chain, played by Node's own server: what it is asked, and what each answer means. */
import assert from 'node:assert/strict';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { HttpLogins } from '../../internal-node/auth/http/http-logins.ts';
import type { StepAnswer } from '../../internal-node/auth/login-method.ts';
import { authenticationSchema } from '../../internal-node/config-authentication.ts';
import { silentLogger } from '../../shared/log.ts';
import { Secret } from '../../shared/secret.ts';
import { accountsFrom } from '../fixtures/accounts.ts';
import { ManualClock } from '../fixtures/manual-clock.ts';
import { TestCertificates } from '../fixtures/test-certificates.ts';

interface Asked {
  readonly headers: IncomingMessage['headers'];
  readonly method: string | undefined;
  readonly body: unknown;
}
type Answering = (response: ServerResponse) => void;

/** A service that answers as `answer` says at the moment. */
class Service implements AsyncDisposable {
  readonly asked: Asked[] = [];
  answer: Answering = (response) => response.writeHead(204).end();
  readonly #server;
  readonly #scheme: string;

  constructor(tls?: { readonly cert: string; readonly key: string; readonly ca: string }) {
    const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
      let text = '';
      for await (const chunk of request) text += String(chunk);
      this.asked.push({ headers: request.headers, method: request.method, body: JSON.parse(text) });
      this.answer(response);
    };
    const listener = (request: IncomingMessage, response: ServerResponse): void => void handle(request, response);
    this.#server = tls
      ? createSecureServer({ ...tls, requestCert: true, rejectUnauthorized: true }, listener)
      : createServer(listener);
    this.#scheme = tls ? 'https' : 'http';
  }

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return `${this.#scheme}://127.0.0.1:${(this.#server.address() as AddressInfo).port}/login`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

const says = (status: number, body: unknown = ''): Answering => {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return (response) => response.writeHead(status).end(text);
};

function benchOn(settings: Readonly<Record<string, unknown>>) {
  const clock = new ManualClock();
  const plain = { reason: 'the service is on this host' };
  const { http } = authenticationSchema.parse({ http: { identities: { plain, failuresPerUser: 100, ...settings } } });
  const [options] = Object.entries(http).map(([name, given]) => ({ name, ...given }));
  assert.ok(options);
  const known: unknown[] = [];
  const accountFor = async (user: { readonly partner: string; readonly entry: string }) => {
    known.push(user);
    return accountsFrom({ [user.partner]: { directory: 'identities' } }).get(user.partner);
  };
  const method = new HttpLogins({ partners: { accountFor }, clock, log: silentLogger }, options);
  const login = (user: string, password = 'right', code?: string): Promise<StepAnswer> => {
    const typed = { password: new Secret(password), code: code === undefined ? undefined : new Secret(code) };
    return method.check(
      { user, ...typed, protocol: 'ftps', peer: '2001:db8::1', rehearsal: false },
      new AbortController().signal,
    );
  };
  return { clock, method, login, known };
}

test('AU-09: asks with the documented body, and never about a blank password', async () => {
  await using service = new Service();
  const folder = await mkdtemp(join(tmpdir(), 'http-login-'));
  const passwordFile = join(folder, 'password');
  await writeFile(passwordFile, 'canary\n', { mode: 0o600 });
  const { login } = benchOn({ urls: [await service.start()], basic: { name: 'sallyport', passwordFile } });
  assert.equal((await login('john', 'right', '123456')).outcome, 'accept');
  assert.equal((await login('john', ' ')).outcome, 'reject');
  const [first, ...more] = service.asked;
  assert.equal(more.length, 0);
  assert.equal(first?.method, 'POST');
  assert.equal(first?.headers['content-type'], 'application/json; charset=utf-8');
  assert.equal(first?.headers.authorization, `Basic ${Buffer.from('sallyport:canary').toString('base64')}`);
  assert.deepEqual(first?.body, {
    credentials: {
      type: 'password',
      username: 'john',
      content: 'right123456',
      peer: { address: '2001:db8::1', family: 'IPv6', protocol: 'ftps' },
      creator: { type: 'ftps' },
    },
  });
  await chmod(passwordFile, 0o644);
  assert.equal((await login('john')).outcome, 'failed');
  await rm(folder, { recursive: true });
});

test('AU-10, AU-14: 204 and 200 accept, 401 does not know, 403 and others reject, 500 and silence fail; messages stay inside', async () => {
  await using service = new Service();
  const { login, known, clock } = benchOn({ urls: [await service.start()], baseGroups: ['everybody'] });
  assert.equal((await login('John')).outcome, 'accept');
  service.answer = says(200, { account: { uuid: '7', group: 'sales', home_folder_path: '\\teams\\sales' } });
  assert.equal((await login('jane')).outcome, 'accept');
  assert.deepEqual(known, [
    { partner: 'john', directory: 'identities', entry: 'user:john', groups: ['everybody'] },
    { partner: 'jane', directory: 'identities', entry: 'uuid:7', groups: ['sales'], home: 'teams/sales' },
  ]);
  service.answer = says(401);
  assert.equal((await login('john')).outcome, 'unknown');
  for (const status of [403, 404, 302]) {
    service.answer = says(status, { message: 'your time is over' });
    const refused = await login('john');
    assert.equal(refused.outcome === 'reject' && refused.reason, 'refused by the service');
    assert.match(refused.detail, /your time is over/);
  }
  const failing: readonly Answering[] = [
    says(500),
    (response) => response.destroy(),
    (response) => response.end('x'.repeat(100_000)),
  ];
  for (const answer of failing) {
    service.answer = answer;
    assert.equal((await login('john')).outcome, 'failed');
    clock.advance(300_000);
  }
});

test('AU-11: a key that the schema does not know, and what is no JSON, let nobody in', async () => {
  await using service = new Service();
  const { login, method } = benchOn({ urls: [await service.start()] });
  for (const body of [
    { account: { permissions: [['allow-read']] } },
    { account: {}, more: 1 },
    { account: { uuid: 7 } },
    'yes',
    [],
  ]) {
    service.answer = says(200, body);
    assert.equal((await login('john')).outcome, 'failed', JSON.stringify(body));
    assert.equal(method.failing, true);
  }
  service.answer = says(200, { account: { home_folder_path: '../..' } });
  assert.equal((await login('john')).outcome, 'reject');
});

test('AU-12: an address that does not answer is left alone for five minutes, and the next one is asked', async () => {
  await using first = new Service();
  await using second = new Service();
  first.answer = says(503);
  const { login, clock, method } = benchOn({ urls: [await first.start(), await second.start()] });
  for (let i = 0; i < 3; i += 1) assert.equal((await login('john')).outcome, 'accept');
  assert.deepEqual([first.asked.length, second.asked.length], [1, 3]);
  clock.advance(299_999);
  await login('john');
  assert.equal(first.asked.length, 1);
  clock.advance(1);
  second.answer = says(503);
  assert.equal((await login('john')).outcome, 'failed');
  assert.equal(first.asked.length, 2);
  assert.equal(method.failing, true);
  clock.advance(300_000);
  first.answer = says(204);
  assert.equal((await login('john')).outcome, 'accept');
  assert.equal(method.failing, false);
});

test('AU-15: a name and a password are good as long as the service says so', async () => {
  await using service = new Service();
  const { login } = benchOn({ urls: [await service.start()] });
  assert.equal((await login('until-noon')).outcome, 'accept');
  service.answer = says(403, 'expired');
  assert.equal((await login('until-noon')).outcome, 'reject');
});

test('a service is asked over TLS only if its certificate is good, and shown ours', async () => {
  await using certificates = await TestCertificates.make(['localhost', 'client', 'stranger']);
  const { localhost: server, client, stranger } = certificates.clients;
  assert.ok(server && client && stranger);
  await using service = new Service({ ...server, ca: client.cert });
  const at = (name: string, end: string) => join(certificates.folder, `${name}.${end}`);
  for (const name of ['client', 'stranger']) await chmod(at(name, 'key'), 0o600);
  const shown = (name: string) => ({ clientCertificate: { certificate: at(name, 'crt'), key: at(name, 'key') } });
  const byAddress = await service.start();
  const urls = [byAddress.replace('127.0.0.1', 'localhost')];
  const authorities = at('localhost', 'crt');
  for (const wrong of [
    { urls, ...shown('client') },
    { urls, authorities: at('stranger', 'crt'), ...shown('client') },
    { urls: [byAddress], authorities, ...shown('client') },
    { urls, authorities },
    { urls, authorities, ...shown('stranger') },
  ]) {
    assert.equal((await benchOn(wrong).login('john')).outcome, 'failed');
  }
  assert.equal(service.asked.length, 0);
  assert.equal((await benchOn({ urls, authorities, ...shown('client') }).login('john')).outcome, 'accept');
  assert.throws(() => authenticationSchema.parse({ http: { a: { urls: ['http://127.0.0.1/'] } } }), /reason/);
});

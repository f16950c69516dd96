import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, rename, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, request } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { z } from 'zod';
import { SallyportError } from '../errors.ts';
import { silentLogger } from '../log.ts';
import { AdminClient } from './client.ts';
import type { AdminRoute } from './routes.ts';
import { AdminServer } from './server.ts';

async function* bytes(...chunks: readonly Buffer[]): AsyncIterable<Buffer> {
  yield* chunks;
}

const routes: readonly AdminRoute[] = [
  {
    kind: 'json',
    method: 'GET',
    path: '/v1/hello/:name',
    answer: async ({ params, query }) => ({ name: params.name, loud: query.get('loud') }),
  },
  {
    kind: 'json',
    method: 'POST',
    path: '/v1/echo',
    body: z.strictObject({ text: z.string() }),
    answer: async (_request, body) => body,
  },
  {
    kind: 'json',
    method: 'GET',
    path: '/v1/missing',
    answer: async () => {
      throw new SallyportError('no-such-file', 'nothing of that name', { ref: 'x' });
    },
  },
  {
    kind: 'upload',
    method: 'PUT',
    path: '/v1/count',
    answer: async (_request, content) => {
      let size = 0;
      for await (const chunk of content as AsyncIterable<Buffer>) size += chunk.length;
      return { size };
    },
  },
  {
    kind: 'upload',
    method: 'PUT',
    path: '/v1/refuse',
    answer: async () => {
      throw new SallyportError('quota-exceeded', 'no more');
    },
  },
  {
    kind: 'download',
    method: 'GET',
    path: '/v1/bytes',
    answer: async ({ query }) => ({
      headers: { 'x-size': '6' },
      content: query.has('broken') ? broken() : bytes(Buffer.from('abc'), Buffer.from('def')),
    }),
  },
];

async function* broken(): AsyncIterable<Buffer> {
  yield Buffer.from('abc');
  throw new SallyportError('content-mismatch', 'the rest is gone');
}

async function withServer(check: (client: AdminClient, socket: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-admin-'));
  const socket = join(folder, 'admin', 'socket');
  const server = new AdminServer({ routes, log: silentLogger }, { socket });
  await server.start();
  try {
    await check(new AdminClient({ socket }), socket);
  } finally {
    await server.stop(AbortSignal.abort());
    await rm(folder, { recursive: true });
  }
}

/** A request as nobody's client sends it. */
const raw = (socketPath: string, method: string, path: string, body = ''): Promise<number> =>
  new Promise((resolve, reject) => {
    const sent = request({ socketPath, method, path }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    sent.once('error', reject);
    sent.end(body);
  });

test('only the owner can reach the socket', async () => {
  await withServer(async (_client, socket) => {
    assert.equal((await stat(socket)).mode & 0o777, 0o600);
    assert.equal((await stat(dirname(socket))).mode & 0o777, 0o700);
  });
});

test('a folder that others can enter is refused, named with its mode', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-admin-'));
  await chmod(folder, 0o755);
  const server = new AdminServer({ routes, log: silentLogger }, { socket: join(folder, 'socket') });
  await assert.rejects(
    server.start(),
    (error: SallyportError) => error.code === 'key-file' && error.message.includes(`${folder} has mode 0755`),
  );
  await rm(folder, { recursive: true });
});

test('a socket left behind is replaced, a living one and a file are not', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-admin-'));
  const socket = join(folder, 'socket');
  const server = new AdminServer({ routes, log: silentLogger }, { socket });
  const again = new AdminServer({ routes, log: silentLogger }, { socket });
  await server.start();
  await assert.rejects(again.start(), { code: 'already-running' });
  assert.deepEqual(await new AdminClient({ socket }).get(['v1', 'hello', 'you']), { name: 'you', loud: null });
  await server.stop(AbortSignal.abort());

  // What a killed process leaves behind: a socket on which nobody listens.
  const dead = createServer();
  await new Promise<void>((resolve) => dead.listen(join(folder, 'dead'), resolve));
  await rename(join(folder, 'dead'), socket);
  await new Promise((resolve) => dead.close(resolve));
  await again.start();
  await again.stop(AbortSignal.abort());

  await writeFile(socket, 'precious');
  await assert.rejects(again.start(), { code: 'already-exists' });
  await rm(folder, { recursive: true });
});

test('a socket may lie deeper than its address has room for', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-admin-'));
  const socket = join(folder, 'a'.repeat(100), 'b'.repeat(100), 'socket');
  const server = new AdminServer({ routes, log: silentLogger }, { socket });
  await assert.rejects(new AdminClient({ socket }).get(['v1', 'missing']), { code: 'not-running' });
  await server.start();
  assert.deepEqual(await new AdminClient({ socket }).get(['v1', 'hello', 'you']), { name: 'you', loud: null });
  await assert.rejects(new AdminServer({ routes, log: silentLogger }, { socket }).start(), { code: 'already-running' });
  assert.equal((await stat(socket)).mode & 0o777, 0o600);
  await server.stop(AbortSignal.abort());
  await assert.rejects(stat(socket), { code: 'ENOENT' });
  await rm(folder, { recursive: true });
});

test('what is not in the table does not exist', async () => {
  await withServer(async (client, socket) => {
    assert.deepEqual(await client.get(['v1', 'hello', 'a/b %'], { loud: 'yes', gone: undefined }), {
      name: 'a/b %',
      loud: 'yes',
    });
    assert.equal(await raw(socket, 'GET', '/'), 404);
    assert.equal(await raw(socket, 'DELETE', '/v1/hello/x'), 404);
    assert.equal(await raw(socket, 'GET', '/v1/hello/x/y'), 404);
    assert.equal(await raw(socket, 'GET', '/v1/hello/%ff'), 404);
  });
});

test('a body is bounded and checked', async () => {
  await withServer(async (client, socket) => {
    assert.deepEqual(await client.post(['v1', 'echo'], { text: 'hi' }), { text: 'hi' });
    await assert.rejects(client.post(['v1', 'echo'], { text: 'hi', more: 1 }), { code: 'usage' });
    assert.equal(await raw(socket, 'POST', '/v1/echo', '{"text'), 400);
    assert.equal(await raw(socket, 'POST', '/v1/echo', JSON.stringify({ text: 'x'.repeat(70_000) })), 400);
  });
});

test('an error of the node arrives as itself', async () => {
  await withServer(async (client) => {
    await assert.rejects(client.get(['v1', 'missing']), {
      code: 'no-such-file',
      message: 'nothing of that name',
      fields: { ref: 'x' },
    });
  });
});

test('contents go both ways and are counted', async () => {
  await withServer(async (client) => {
    const { answer, sha256, size } = await client.put<{ size: number }>(
      ['v1', 'count'],
      {},
      bytes(Buffer.alloc(100_000, 1), Buffer.alloc(5)),
    );
    assert.deepEqual([answer.size, size, sha256.length], [100_005, 100_005, 64]);
    const { headers, content } = await client.download(['v1', 'bytes']);
    const got: Buffer[] = [];
    for await (const chunk of content) got.push(chunk);
    assert.equal(headers['x-size'], '6');
    assert.equal(Buffer.concat(got).toString(), 'abcdef');
  });
});

test('a download that breaks inside is an error, never a short file', async () => {
  await withServer(async (client) => {
    await assert.rejects(async () => {
      const { content } = await client.download(['v1', 'bytes'], { broken: '1' });
      for await (const _chunk of content);
    });
  });
});

test('an upload that is refused early says why', async () => {
  await withServer(async (client) => {
    await assert.rejects(client.put(['v1', 'refuse'], {}, bytes(Buffer.from('a few bytes'))), { code: 'quota-exceeded' });
    let sent = 0;
    const endless = async function* (): AsyncIterable<Buffer> {
      for (;;) {
        sent += 1;
        yield Buffer.alloc(64 * 1024);
        await setImmediate();
      }
    };
    await assert.rejects(client.put(['v1', 'refuse'], {}, endless()), { code: 'quota-exceeded' });
    const atRefusal = sent;
    await setImmediate();
    await setImmediate();
    assert.ok(sent <= atRefusal + 2, 'nothing more is sent');
  });
});

test('no node is its own error', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-admin-'));
  await mkdir(join(folder, 'admin'));
  await assert.rejects(new AdminClient({ socket: join(folder, 'admin/socket') }).get(['v1', 'x']), { code: 'not-running' });
  await rm(folder, { recursive: true });
});

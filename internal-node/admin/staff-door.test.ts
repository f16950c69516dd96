import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { AdminAnswers } from '../../shared/admin/answers.ts';
import { AdminClient } from '../../shared/admin/client.ts';
import type { AdminRoute } from '../../shared/admin/routes.ts';
import { systemClock as clock } from '../../shared/clock.ts';
import { SallyportError } from '../../shared/errors.ts';
import { silentLogger as log } from '../../shared/log.ts';
import { eventually } from '../../test/fixtures/eventually.ts';
import { DoorLine } from './door-line.ts';
import { StaffDoor } from './staff-door.ts';

const content = randomBytes(3_000_000);
let folder: string;
let socket: string;
let running: { stop(signal: AbortSignal): Promise<void> }[];
/** Requests that wait for `finish`. */
let finish: () => void;
let asked: number;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-door-'));
  socket = join(folder, 'admin/socket');
  running = [];
  asked = 0;
});
afterEach(async () => {
  for (const part of running.reverse()) await part.stop(AbortSignal.abort());
  await rm(folder, { recursive: true });
});

const agentSocket = (): string => `${socket}.agent`;

async function startDoor(patienceMs = 10_000): Promise<StaffDoor> {
  const door = new StaffDoor({ clock, log }, { socket, agentSocket: agentSocket(), patienceMs });
  await door.start();
  running.push(door);
  return door;
}

async function startAgent(): Promise<DoorLine> {
  const held = Promise.withResolvers<void>();
  finish = held.resolve;
  const routes: readonly AdminRoute[] = [
    { kind: 'json', method: 'GET', path: '/v1/hello/:name', answer: async ({ params }) => ({ hello: params.name }) },
    {
      kind: 'json',
      method: 'GET',
      path: '/v1/slow',
      answer: async () => {
        asked += 1;
        await held.promise;
        return {};
      },
    },
    { kind: 'download', method: 'GET', path: '/v1/bytes', answer: async () => ({ headers: {}, content: slices(content) }) },
    {
      kind: 'download',
      method: 'GET',
      path: '/v1/endless',
      answer: async () => ({ headers: {}, content: endless() }),
    },
    {
      kind: 'upload',
      method: 'PUT',
      path: '/v1/count',
      answer: async (_request, bytes) => {
        let size = 0;
        for await (const chunk of bytes as AsyncIterable<Buffer>) size += chunk.length;
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
  ];
  const retry = { firstMs: 5, maxMs: 20 };
  const line = new DoorLine(
    { answers: new AdminAnswers({ routes, log }), clock, log },
    { socket: agentSocket(), spare: 2, retry },
  );
  await line.start();
  running.push(line);
  return line;
}

const staff = (): AdminClient => new AdminClient({ socket });

async function* slices(bytes: Buffer): AsyncIterable<Buffer> {
  for (let at = 0; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536);
}

async function* endless(): AsyncIterable<Buffer> {
  for (;;) yield Buffer.alloc(65_536);
}

test('staff ask the agent through the door, many at the same time, in whichever order the two started', async () => {
  await startAgent();
  await startDoor();
  assert.equal((await stat(agentSocket())).mode & 0o777, 0o600);
  const slow = Array.from({ length: 20 }, () => staff().get(['v1', 'slow']));
  await eventually('all of them have asked', () => asked === 20);
  const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => staff().get(['v1', 'hello', `${i}`])));
  assert.deepEqual(
    answers,
    Array.from({ length: 20 }, (_, i) => ({ hello: `${i}` })),
  );
  finish();
  await Promise.all(slow);
});

test('contents go through the door whole in both directions, and an early refusal arrives as itself', async () => {
  await startDoor();
  await startAgent();
  const { content: bytes } = await staff().download(['v1', 'bytes']);
  const got: Buffer[] = [];
  for await (const chunk of bytes) got.push(chunk);
  assert.ok(Buffer.concat(got).equals(content));
  const sent = await staff().put<{ size: number }>(['v1', 'count'], {}, slices(content));
  assert.deepEqual([sent.answer.size, sent.size], [content.length, content.length]);
  await assert.rejects(staff().put(['v1', 'refuse'], {}, endless()), { code: 'quota-exceeded' });
});

test('while the agent is away staff hear so after a moment, also in the middle of sending', async () => {
  await startDoor(10);
  await assert.rejects(staff().get(['v1', 'hello', 'you']), { code: 'not-running', message: /agent of this node/ });
  await assert.rejects(staff().put(['v1', 'count'], {}, endless()), { code: 'not-running' });
});

test('staff who ask while the agent starts are answered when it is there', async () => {
  await startDoor();
  const answer = staff().get(['v1', 'hello', 'you']);
  await startAgent();
  assert.deepEqual(await answer, { hello: 'you' });
});

test('the agent outlives the door and finds the next one', async () => {
  await startAgent();
  const door = await startDoor();
  assert.deepEqual(await staff().get(['v1', 'hello', 'you']), { hello: 'you' });
  const cut = staff().get(['v1', 'slow']);
  await eventually('it has asked', () => asked === 1);
  await door.stop();
  await assert.rejects(cut, { code: 'link-closed' });
  await assert.rejects(staff().get(['v1', 'hello', 'you']), { code: 'not-running' });
  await startDoor();
  assert.deepEqual(await staff().get(['v1', 'hello', 'again']), { hello: 'again' });
});

test('the door outlives the agent: what was under way is an error, never a short file, and the next agent answers', async () => {
  await startDoor();
  const agent = await startAgent();
  const { content: bytes } = await staff().download(['v1', 'endless']);
  await assert.rejects(async () => {
    let seen = 0;
    for await (const chunk of bytes) {
      seen += chunk.length;
      if (seen > 1_000_000) void agent.stop();
    }
  });
  await startAgent();
  assert.deepEqual(await staff().get(['v1', 'hello', 'you']), { hello: 'you' });
});

test('a second door is refused and takes nothing from the first', async () => {
  await startAgent();
  await startDoor();
  await assert.rejects(startDoor(), { code: 'already-running' });
  assert.deepEqual(await staff().get(['v1', 'hello', 'you']), { hello: 'you' });
});

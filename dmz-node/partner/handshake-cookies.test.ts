import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { SallyportError } from '../../shared/errors.ts';
import { silentLogger } from '../../shared/log.ts';
import { ManualClock } from '../../test/fixtures/manual-clock.ts';
import { HandshakeCookies } from './handshake-cookies.ts';

type Answer = { readonly cookies: readonly string[]; readonly lifeMs: number };
const some = (count: number): Answer => ({
  cookies: Array.from({ length: count }, () => randomBytes(16).toString('base64')),
  lifeMs: 400_000,
});

function bench(answer: (count: number) => Promise<Answer> | Answer = some) {
  const clock = new ManualClock();
  let asked = 0;
  const request = async (_method: string, { count }: { count: number }) => {
    asked += 1;
    return answer(count);
  };
  const pool = new HandshakeCookies({ asking: { request } as never, clock, log: silentLogger });
  return { clock, pool, asked: () => asked };
}

test('each handshake gets another cookie, and more are asked for before the last is gone', async () => {
  const { pool, asked } = bench();
  pool.linkUp();
  await turn();
  const seen = new Set<string>();
  for (let i = 0; i < 500; i += 1) {
    const cookie = await pool.take();
    assert.equal(cookie?.length, 16);
    seen.add(cookie?.toString('hex') ?? '');
    await turn();
  }
  assert.equal(seen.size, 500);
  assert.ok(asked() >= 4 && asked() < 20, String(asked()));
});

test('without a link there are none, and those of the link before are gone', async () => {
  const { pool } = bench();
  assert.equal(pool.take(), undefined);
  pool.linkUp();
  await turn();
  pool.linkDown();
  assert.equal(pool.take(), undefined);
});

test('a handshake waits for the first answer of a link, and not for one that does not come', async () => {
  let give: (answer: Answer) => void = () => undefined;
  const { pool, clock } = bench(() => new Promise((resolve) => (give = resolve)));
  pool.linkUp();
  const [waiting, tired] = [pool.take(), pool.take()];
  assert.ok(waiting instanceof Promise && tired instanceof Promise);
  give(some(1));
  assert.equal((await waiting)?.length, 16);
  clock.advance(2000);
  assert.equal(await tired, undefined);
});

test('an answer to a link that is gone is not used', async () => {
  let give: (answer: Answer) => void = () => undefined;
  const { pool } = bench(() => new Promise((resolve) => (give = resolve)));
  pool.linkUp();
  const waiting = pool.take();
  pool.linkDown();
  give(some(5));
  assert.equal(await waiting, undefined);
  assert.equal(pool.take(), undefined);
});

test('none is handed out after half its life, and they are renewed while nobody comes', async () => {
  const { pool, clock, asked } = bench((count) => (asked() === 1 ? some(count) : { cookies: [], lifeMs: 400_000 }));
  pool.linkUp();
  await turn();
  clock.advance(100_000);
  await turn();
  assert.equal(asked(), 2, 'asked again after a quarter');
  assert.ok(Buffer.isBuffer(pool.take()));
  clock.advance(100_000);
  await turn();
  assert.ok(pool.take() instanceof Promise, 'the first ones are stale');
});

test('asks again a while after the inside could not give any', async () => {
  let fails = true;
  const { pool, clock, asked } = bench((count) => {
    if (fails) throw new SallyportError('request-timeout', 'no answer');
    return some(count);
  });
  pool.linkUp();
  const waiting = pool.take();
  assert.equal(await waiting, undefined);
  fails = false;
  clock.advance(2000);
  await turn();
  assert.equal(asked(), 2);
  assert.ok(Buffer.isBuffer(pool.take()));
});

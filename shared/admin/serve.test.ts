import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { type Logger, silentLogger } from '../log.ts';
import { listenToSignals } from './process.ts';
import { serve } from './serve.ts';

function bench(options: { readonly stop?: (signal: AbortSignal) => Promise<void>; readonly socketFails?: boolean } = {}) {
  const happened: string[] = [];
  const handlers = new Map<string, () => void>();
  const source = { on: (name: string, handler: () => void) => handlers.set(name, handler) };
  const log = Object.create(silentLogger) as Logger;
  log.info = ((_fields: unknown, text: string) => happened.push(`log ${text.split(':')[0]}`)) as unknown as Logger['info'];
  log.error = ((_fields: unknown, text: string) => happened.push(`error ${text}`)) as unknown as Logger['error'];
  let reloads = 0;
  const served = serve({
    start: async () => ({
      admin: {},
      stop: async (reason, signal) => {
        happened.push(`stop ${reason} ${signal.aborted}`);
        await options.stop?.(signal);
      },
    }),
    socket: () => ({
      name: 'socket',
      start: async () => {
        if (options.socketFails) throw new Error('no socket');
        happened.push('socket up');
      },
      stop: async () => void happened.push('socket down'),
    }),
    log,
    signals: listenToSignals(source as unknown as NodeJS.Process),
    drainTimeoutMs: 60_000,
    ready: {},
    reload: async () => {
      reloads += 1;
      if (reloads > 1) throw new Error('wrong');
      return {};
    },
  });
  return { happened, served, signal: (name: string) => handlers.get(name)?.() };
}

test('the first signal drains, then the admin socket goes', async () => {
  const { happened, served, signal } = bench();
  await setImmediate();
  signal('SIGTERM');
  await served;
  assert.deepEqual(happened, ['socket up', 'log ready', 'log stopping', 'stop SIGTERM false', 'socket down', 'log stopped']);
});

test('a second signal ends the drain', async () => {
  const { served, signal, happened } = bench({
    stop: (cut) => new Promise((resolve) => cut.addEventListener('abort', () => resolve())),
  });
  await setImmediate();
  signal('SIGTERM');
  await setImmediate();
  assert.ok(!happened.includes('socket down'));
  signal('SIGINT');
  await served;
  assert.ok(happened.includes('socket down'));
});

test('SIGHUP reads the configuration anew; a wrong one is said and changes nothing', async () => {
  const { happened, served, signal } = bench();
  await setImmediate();
  signal('SIGHUP');
  await setImmediate();
  signal('SIGHUP');
  await setImmediate();
  signal('SIGINT');
  await served;
  assert.deepEqual(happened.slice(2, 4), [
    'log configuration read anew',
    'error the configuration is wrong; the last good one stays in use',
  ]);
  assert.ok(happened.includes('stop SIGINT false'));
});

test('a node whose admin socket cannot be opened is stopped again', async () => {
  const { happened, served } = bench({ socketFails: true });
  await assert.rejects(served, /no socket/);
  assert.deepEqual(happened, ['stop the admin socket could not be opened true']);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SessionCuts } from './session-cuts.ts';
import type { Link } from './tunnel/link.ts';

test('with a new link both nodes come to have the same sessions: what one of them has no more, the other ends', async () => {
  const asked: unknown[] = [];
  const pages: Record<string, { sessions: string[]; more: boolean }> = {
    '': { sessions: ['a', 'b'], more: true },
    b: { sessions: ['c'], more: false },
  };
  const request = async (method: string, params: { after?: string }): Promise<unknown> => {
    asked.push([method, params]);
    return method === 'session.list' ? pages[params.after ?? ''] : { sessions: 0 };
  };
  const ended: unknown[] = [];
  const cuts = new SessionCuts(
    {
      connected: async () => [],
      mayStay: () => true,
      endPartner: async () => 0,
      endOthers: async (kept) => ended.push(kept),
      notLive: async (sessions) => sessions.filter((id) => id === 'b'),
      withdraw: async () => {},
    },
    { request: request as Link['request'] },
  );
  await cuts.linkUp();
  assert.deepEqual(ended, [['a', 'b', 'c']]);
  assert.deepEqual(asked.slice(2), [['session.cut', { sessions: ['b'] }]]);
});

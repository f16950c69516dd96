import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SallyportError } from '../../shared/errors.ts';
import { MemoryView } from '../../test/fixtures/memory-view.ts';
import type { OpenForWriting, VirtualPath, WriteHandle } from '../partner-view.ts';
import { openFlag } from './codec/protocol.ts';
import { Operations, type Reply } from './operations.ts';

/** Writes are done when the test says so. */
class SlowView extends MemoryView {
  readonly steps: string[] = [];
  readonly go: (() => void)[] = [];
  override async openForWriting(path: VirtualPath, options: OpenForWriting): Promise<WriteHandle> {
    const real = await super.openForWriting(path, options);
    return {
      path,
      get size() {
        return real.size;
      },
      stat: () => real.stat(),
      write: async (offset, bytes) => {
        this.steps.push(`write ${offset}`);
        await new Promise<void>((done) => this.go.push(done));
        await real.write(offset, bytes);
      },
      setAttributes: async (attributes) => {
        this.steps.push(`size ${attributes.size}`);
        await real.setAttributes(attributes);
      },
      flush: async () => {
        this.steps.push('flush');
        await real.flush();
      },
      close: async () => {
        this.steps.push('close');
        await real.close();
      },
      abandon: (reason) => real.abandon(reason),
    };
  }
}

const nameIn = (reply: Reply): Buffer => (reply[0] ?? Buffer.alloc(0)).subarray(13);

function bench() {
  const view = new SlowView();
  const budget = { used: 0, max: 10 };
  const operations = new Operations({ view, clock: { nowMs: () => 0 }, budget });
  const open = async (): Promise<Buffer> => {
    const flags = openFlag.write | openFlag.create;
    return nameIn(await operations.run({ type: 'open', id: 1, path: Buffer.from('/Inbox/a'), flags }));
  };
  return { view, budget, operations, open };
}
const turns = async (): Promise<void> => {
  for (let i = 0; i < 20; i++) await Promise.resolve();
};

test('a change of size waits for the writes before it and holds back those after it, and the close waits for all', async () => {
  const { view, operations, open } = bench();
  const handle = await open();
  const all = [
    operations.run({ type: 'write', id: 2, handle, offset: 0, data: Buffer.from('abcdef') }),
    operations.run({ type: 'fsetstat', id: 3, handle, attributes: { size: 3 } }),
    operations.run({ type: 'write', id: 4, handle, offset: 3, data: Buffer.from('XYZ') }),
    operations.run({ type: 'close', id: 5, handle }),
  ];
  await turns();
  assert.deepEqual(view.steps, ['write 0']);
  view.go[0]?.();
  await turns();
  assert.deepEqual(view.steps, ['write 0', 'size 3', 'write 3']);
  view.go[1]?.();
  await Promise.all(all);
  assert.deepEqual(view.steps, ['write 0', 'size 3', 'write 3', 'close']);
  assert.equal(view.files.get('/Inbox/a')?.bytes.toString(), 'abcXYZ');
});

test('the end abandons what is open and waits for a close under way', async () => {
  const { view, budget, operations, open } = bench();
  const handle = await open();
  const writing = operations.run({ type: 'write', id: 2, handle, offset: 0, data: Buffer.from('abc') });
  const closing = operations.run({ type: 'close', id: 3, handle });
  let over = false;
  const ending = operations.end('gone').then(() => (over = true));
  await turns();
  assert.equal(over, false);
  view.go[0]?.();
  await Promise.all([writing, closing, ending]);
  assert.equal(view.files.get('/Inbox/a')?.bytes.toString(), 'abc');
  assert.equal(budget.used, 0);
});

test('what is opened for a client that has left is abandoned at once', async () => {
  const { view, budget, operations } = bench();
  const opening = operations.run({ type: 'open', id: 1, path: Buffer.from('/Inbox/a'), flags: openFlag.write | openFlag.create });
  await operations.end('gone');
  await assert.rejects(opening, (error: SallyportError) => error.code === 'link-closed');
  assert.deepEqual(view.log, ['abandon /Inbox/a (gone)']);
  assert.equal(budget.used, 0);
});

test('an open that fails gives its place back', async () => {
  const { budget, operations } = bench();
  await assert.rejects(operations.run({ type: 'open', id: 1, path: Buffer.from('/Inbox/none'), flags: openFlag.read }));
  await assert.rejects(operations.run({ type: 'opendir', id: 1, path: Buffer.from('/none') }));
  assert.equal(budget.used, 0);
});

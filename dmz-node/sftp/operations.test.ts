import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SallyportError } from '../../shared/errors.ts';
import { MemoryView } from '../../test/fixtures/memory-view.ts';
import type { OpenForWriting, ReadHandle, VirtualPath, WriteHandle } from '../partner-view.ts';
import { openFlag } from './codec/protocol.ts';
import { Operations, type Reply } from './operations.ts';

/** Writes are done when the test says so. */
class SlowView extends MemoryView {
  readonly steps: string[] = [];
  readonly go: (() => void)[] = [];
  /** Only the answer is late then. */
  writesAtOnce = false;
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
        if (this.writesAtOnce) await real.write(offset, bytes);
        await new Promise<void>((done) => this.go.push(done));
        if (!this.writesAtOnce) await real.write(offset, bytes);
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
      keepEmpty: () => real.keepEmpty(),
      abandon: (reason) => real.abandon(reason),
    };
  }
}

/** Reads are done when the test says so. */
class SlowReads extends MemoryView {
  readonly go: (() => void)[] = [];
  override async openForReading(path: VirtualPath): Promise<ReadHandle> {
    const real = await super.openForReading(path);
    return {
      ...real,
      read: async (offset, length) => {
        await new Promise<void>((done) => this.go.push(done));
        return real.read(offset, length);
      },
    };
  }
}

const nameIn = (reply: Reply): Buffer => (reply[0] ?? Buffer.alloc(0)).subarray(13);

function bench<V extends MemoryView = SlowView>(view: V = new SlowView() as never) {
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

test('a file that was read whole by a client that left without closing it is no download, unless he was told its end', async () => {
  const { view, operations } = bench();
  view.files.set('/Outbox/a', { bytes: Buffer.from('abc'), modifiedAtMs: 0 });
  const open = async (): Promise<Buffer> =>
    nameIn(await operations.run({ type: 'open', id: 1, path: Buffer.from('/Outbox/a'), flags: openFlag.read }));
  const [closed, left, told] = [await open(), await open(), await open()];
  for (const handle of [closed, left, told]) await operations.run({ type: 'read', id: 2, handle, offset: 0, length: 3 });
  await operations.run({ type: 'close', id: 3, handle: closed });
  await operations.run({ type: 'read', id: 4, handle: told, offset: 3, length: 3 });
  await operations.end('gone');
  assert.deepEqual(view.log, ['read /Outbox/a', 'left /Outbox/a', 'read /Outbox/a']);
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

test('answers the reads of a handle in the order in which they came, and its close after them', async () => {
  const { view, operations } = bench(new SlowReads());
  view.files.set('/Inbox/a', { bytes: Buffer.from('abcdef'), modifiedAtMs: 0 });
  const handle = nameIn(await operations.run({ type: 'open', id: 1, path: Buffer.from('/Inbox/a'), flags: openFlag.read }));
  const answered: number[] = [];
  const answer = async (request: Parameters<Operations['run']>[0] & { id: number }): Promise<void> => {
    await operations.run(request);
    answered.push(request.id);
  };
  const reads = [0, 2, 4, 100].map((offset, n) => answer({ type: 'read', id: n + 2, handle, offset, length: 2 }));
  const all = [...reads, answer({ type: 'close', id: 9, handle })];
  await turns();
  for (const done of view.go.toReversed()) {
    done();
    await turns();
  }
  await Promise.all(all);
  assert.deepEqual(answered, [2, 3, 4, 5, 9]);
});

test('answers the writes of a handle in the order in which they came', async () => {
  const { view, operations, open } = bench();
  view.writesAtOnce = true;
  const handle = await open();
  const answered: number[] = [];
  const writes = [0, 1, 2].map(async (offset) => {
    await operations.run({ type: 'write', id: offset, handle, offset, data: Buffer.from('x') });
    answered.push(offset);
  });
  await turns();
  for (const done of view.go.toReversed()) {
    done();
    await turns();
  }
  await Promise.all(writes);
  assert.deepEqual(answered, [0, 1, 2]);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../../test/fixtures/manual-clock.ts';
import { ReceiveWindow, RoundTrip, usualWindowBytes } from './receive-window.ts';
import { SharedMemory } from './shared-memory.ts';
import { type SshChannel, type SshClient, watchRoundTrips } from './ssh2-seam.ts';

const mib = 1024 * 1024;

interface Line {
  readonly roundTripMs: number;
  /** What the client could send, bytes per millisecond. */
  readonly rate: number;
  readonly most?: number;
  readonly memory?: SharedMemory;
}

/** A client that sends as fast as line and window allow to a session that always has room. */
class Upload {
  readonly #line: Line;
  readonly #clock = new ManualClock();
  readonly #channel = { incoming: { window: usualWindowBytes }, outgoing: { id: 0, state: 'open' } };
  readonly memory: SharedMemory;
  readonly window: ReceiveWindow;
  granted = 0;
  questions = 0;

  constructor(line: Line) {
    this.#line = line;
    this.memory = line.memory ?? new SharedMemory(32 * mib);
    const roundTrip = new RoundTrip(() => {
      this.questions++;
      if (line.roundTripMs !== Number.POSITIVE_INFINITY) roundTrip.answered(line.roundTripMs);
    });
    const client = { _protocol: { channelWindowAdjust: (_id: number, bytes: number) => (this.granted += bytes) } };
    this.window = new ReceiveWindow(
      {
        client: client as unknown as SshClient,
        channel: this.#channel as unknown as SshChannel,
        memory: this.memory,
        roundTrip,
        clock: this.#clock,
      },
      line.most ?? 8 * mib,
    );
  }

  roundTrips(count: number): this {
    const tripMs = Number.isFinite(this.#line.roundTripMs) ? this.#line.roundTripMs : 50;
    const { incoming } = this.#channel;
    for (let trip = 0; trip < count; trip++) {
      const bytes = Math.min(incoming.window, this.#line.rate * tripMs);
      for (let slice = 0; slice < 8; slice++) {
        incoming.window -= bytes / 8;
        this.#clock.advance(tripMs / 8);
        this.window.took(bytes / 8);
        this.window.reopen();
      }
      assert.ok(incoming.window <= this.window.bytes + 1, 'more is on its way than the window says');
    }
    return this;
  }
}

test('grows over a long line until the client is no longer held back by it', () => {
  const upload = new Upload({ roundTripMs: 50, rate: 60_000 }).roundTrips(40);
  // 60 kB/ms over 50 ms are 3 MB on their way; twice that keeps the line full.
  assert.ok(upload.window.bytes > 5.5e6 && upload.window.bytes < 6.5e6, `${upload.window.bytes}`);
  assert.ok(upload.granted > 0);
  assert.equal(upload.memory.heldBytes, upload.window.bytes - usualWindowBytes);
});

test('never grows beyond its limit, and gives everything back', () => {
  const upload = new Upload({ roundTripMs: 200, rate: 1_000_000 }).roundTrips(40);
  assert.equal(upload.window.bytes, 8 * mib);
  upload.window.close();
  assert.equal(upload.memory.heldBytes, 0);
  upload.roundTrips(5);
  assert.equal(upload.memory.heldBytes, 0, 'nothing is taken after the end');
});

for (const [name, line] of [
  ['a short line, however fast', { roundTripMs: 0.2, rate: 800_000 }],
  ['a long line with a slow client', { roundTripMs: 100, rate: 10_000 }],
  ['a client that never answers', { roundTripMs: Number.POSITIVE_INFINITY, rate: 1_000_000 }],
  ['a limit of the usual size', { roundTripMs: 100, rate: 1_000_000, most: usualWindowBytes }],
] as const) {
  test(`stays as it is over ${name}`, () => {
    const upload = new Upload(line).roundTrips(400);
    assert.deepEqual([upload.window.bytes, upload.memory.heldBytes], [usualWindowBytes, 0]);
    assert.ok(upload.granted > 0, 'the client may send on');
    assert.ok(upload.questions <= 1);
  });
}

test('all windows together take at most half of what the sessions share', () => {
  const memory = new SharedMemory(16 * mib);
  const uploads = [1, 2, 3].map(() => new Upload({ roundTripMs: 100, rate: 1_000_000, memory }));
  for (let trip = 0; trip < 20; trip++) for (const upload of uploads) upload.roundTrips(1);
  assert.equal(memory.heldBytes, 8 * mib);
  for (const { window } of uploads) window.close();
  assert.equal(memory.heldBytes, 0);
});

test('answers belong to questions in their order, whoever asked, and only one question of ours is open', () => {
  const clock = new ManualClock();
  const measured: number[] = [];
  const handlers: Record<string, () => void> = {};
  let pings = 0;
  const protocol = { _handlers: handlers, _kexinit: undefined, ping: () => pings++ };
  const ask = watchRoundTrips(
    { _protocol: protocol } as unknown as SshClient,
    () => clock.monotonicMs(),
    (ms) => measured.push(ms),
  );
  protocol.ping(); // the package's own sign of life
  clock.advance(30);
  ask();
  assert.equal(pings, 1, 'not while an answer is due');
  handlers.REQUEST_FAILURE?.();
  ask();
  clock.advance(10);
  handlers.REQUEST_SUCCESS?.();
  handlers.REQUEST_SUCCESS?.(); // an answer that nobody asked for
  assert.deepEqual(measured, [30, 10]);
});

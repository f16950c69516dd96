import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Database } from '../../shared/durable/database.ts';
import { newSessionId, newTraceId } from '../../shared/ids.ts';
import { silentLogger } from '../../shared/log.ts';
import { tokenHash } from '../../shared/secret.ts';
import { ManualClock } from '../../test/fixtures/manual-clock.ts';
import { defaultSessionOptions, SessionBook } from './session-book.ts';
import type { SessionOperations } from './session-operations.ts';

const minute = 60_000;
const hour = 60 * minute;

class Bench implements AsyncDisposable {
  readonly clock = new ManualClock();
  readonly folder: string;
  #database: Database<SessionOperations> | undefined;

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async make(): Promise<Bench> {
    return new Bench(await mkdtemp(join(tmpdir(), 'session-book-')));
  }

  /** Opens the records anew, as after a restart of the process; `crash` leaves out the orderly stop of the book before. */
  async book(options: Partial<typeof defaultSessionOptions> = {}): Promise<SessionBook> {
    await this.#database?.close();
    this.#database = await Database.open<SessionOperations>({
      file: join(this.folder, 'records.sqlite'),
      operations: new URL('../../test/fixtures/auth-records.ts', import.meta.url),
      audit: { folder: join(this.folder, 'audit'), node: 'inside' },
    });
    const deps = { records: this.#database, clock: this.clock, log: silentLogger };
    const book = new SessionBook(deps, { ...defaultSessionOptions, ...options });
    await book.start();
    return book;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#database?.close();
    await rm(this.folder, { recursive: true });
  }
}

const login = (partner = 'acme') => ({
  session: newSessionId(),
  trace: newTraceId(),
  partner,
  method: 'password',
  peer: '192.0.2.1',
  protocol: 'sftp',
});

async function open(book: SessionBook, partner = 'acme', identifier?: string): Promise<string> {
  const opened = await book.open({ ...login(partner), identifier });
  assert.equal(opened.outcome, 'opened');
  return opened.outcome === 'opened' ? opened.token : '';
}

test('a session is live for its own partner only, until it ends, then in grace, then unknown', async () => {
  await using bench = await Bench.make();
  const book = await bench.book();
  await book.linkUp();
  const token = await open(book);
  const proof = tokenHash(token);
  assert.equal(await book.prove(proof, 'acme'), 'live');
  assert.equal(await book.prove(proof, 'globex'), 'unknown');
  assert.equal(await book.prove(tokenHash('another'), 'acme'), 'unknown');
  assert.equal((await book.byToken(token))?.partner, 'acme');
  assert.equal(await book.byToken(proof), undefined, 'the proof is not the token');

  assert.equal(await book.endSession(token), true);
  assert.equal(await book.endSession(token), false);
  assert.equal(await book.byToken(token), undefined);
  assert.equal(await book.prove(proof, 'acme'), 'grace');
  bench.clock.advance(defaultSessionOptions.graceMs);
  assert.equal(await book.prove(proof, 'acme'), 'unknown');
});

test('a session ends by itself after its longest life', async () => {
  await using bench = await Bench.make();
  const book = await bench.book({ maxLifeMs: hour });
  await book.linkUp();
  const token = await open(book);
  bench.clock.advance(hour);
  assert.equal(await book.byToken(token), undefined);
  assert.equal(await book.prove(tokenHash(token), 'acme'), 'grace');
  bench.clock.advance(16 * minute);
  assert.equal(await book.prove(tokenHash(token), 'acme'), 'unknown');
});

test('sessions survive a restart, an orderly one and a crash', async () => {
  await using bench = await Bench.make();
  const first = await bench.book();
  await first.linkUp();
  const token = await open(first);
  await first.stop();
  const second = await bench.book();
  await second.linkUp();
  assert.equal((await second.byToken(token))?.partner, 'acme');
  const third = await bench.book(); // without stop(): the process died
  await third.linkUp();
  assert.equal((await third.byToken(token))?.partner, 'acme');
});

test('only hashes of tokens are on disk', async () => {
  await using bench = await Bench.make();
  const book = await bench.book();
  const token = await open(book);
  await book.stop();
  await bench.book();
  for (const name of await readdir(bench.folder)) {
    if (name === 'audit') continue;
    assert.equal((await readFile(join(bench.folder, name))).includes(token), false, name);
  }
});

test('an outage longer than life and grace keeps uploads of a session that was live when the link dropped', async () => {
  await using bench = await Bench.make();
  const book = await bench.book({ maxLifeMs: hour });
  await book.linkUp();
  const proof = tokenHash(await open(book));
  bench.clock.advance(30 * minute);
  await book.linkDown();
  bench.clock.advance(72 * hour);
  await book.linkUp();
  assert.equal(await book.prove(proof, 'acme'), 'grace');
  bench.clock.advance(15 * minute);
  assert.equal(await book.prove(proof, 'acme'), 'unknown');
});

test('a crash of the inside counts as an outage since the link was last seen', async () => {
  await using bench = await Bench.make();
  const before = await bench.book({ maxLifeMs: hour });
  await before.linkUp();
  const proof = tokenHash(await open(before));
  bench.clock.advance(50 * minute); // its own look each minute records that the link is there
  const after = await bench.book({ maxLifeMs: hour });
  bench.clock.advance(72 * hour);
  await after.linkUp();
  assert.equal(await after.prove(proof, 'acme'), 'grace');
});

test('a flapping link does not keep an ended session provable', async () => {
  await using bench = await Bench.make();
  const book = await bench.book();
  await book.linkUp();
  const token = await open(book);
  await book.endSession(token);
  let upMs = 0;
  for (let round = 0; round < 50 && (await book.prove(tokenHash(token), 'acme')) === 'grace'; round += 1) {
    bench.clock.advance(minute);
    upMs += minute;
    await book.linkDown();
    bench.clock.advance(10 * minute);
    await book.linkUp();
  }
  assert.equal(await book.prove(tokenHash(token), 'acme'), 'unknown');
  assert.ok(upMs <= defaultSessionOptions.graceMs, `${upMs} ms of link time`);
});

test('an SSH session identifier is accepted once, even after a restart', async () => {
  await using bench = await Bench.make();
  const book = await bench.book();
  const identifier = Buffer.alloc(32, 9).toString('base64');
  await open(book, 'acme', identifier);
  assert.deepEqual(await book.open({ ...login(), identifier }), { outcome: 'replayed' });
  assert.equal(await book.useIdentifier(identifier), false);
  const later = await bench.book();
  assert.deepEqual(await later.open({ ...login('globex'), identifier }), { outcome: 'replayed' });
  const other = Buffer.alloc(32, 8).toString('base64');
  assert.equal(await later.useIdentifier(other), true);
  assert.equal(await later.useIdentifier(other), false);
});

test('a session id opens one session only', async () => {
  await using bench = await Bench.make();
  const book = await bench.book();
  const once = login();
  assert.equal((await book.open(once)).outcome, 'opened');
  assert.deepEqual(await book.open(once), { outcome: 'session-reused' });
});

test('a partner has no more live sessions than allowed, and ended ones do not count', async () => {
  await using bench = await Bench.make();
  const book = await bench.book({ maxLivePerPartner: 2 });
  const token = await open(book);
  await open(book);
  assert.deepEqual(await book.open(login()), { outcome: 'too-many' });
  await open(book, 'globex');
  await book.endSession(token);
  await open(book);
});

test('ending a partner ends his sessions and no others', async () => {
  await using bench = await Bench.make();
  const book = await bench.book();
  const [one, two, other] = [await open(book), await open(book), await open(book, 'globex')];
  assert.equal(await book.endPartner('acme'), 2);
  assert.deepEqual([await book.byToken(one), await book.byToken(two)], [undefined, undefined]);
  assert.ok(await book.byToken(other));
});

test('forgets old sessions and identifiers, but no sessions while the link is down', async () => {
  await using bench = await Bench.make();
  const book = await bench.book({ maxLifeMs: hour, identifierKeepMs: 100 * hour });
  const identifier = Buffer.alloc(32, 1).toString('base64');
  await book.linkUp();
  const proof = tokenHash(await open(book, 'acme', identifier));
  await book.linkDown();
  bench.clock.advance(99 * hour);
  await book.linkUp();
  assert.equal(await book.prove(proof, 'acme'), 'grace', 'kept through the outage');
  assert.equal(await book.useIdentifier(identifier), false, 'still remembered');
  bench.clock.advance(30 * hour);
  assert.equal(await book.prove(proof, 'acme'), 'unknown');
  assert.equal(await book.useIdentifier(identifier), true, 'forgotten after its time');
});

test('records each opened session in the audit trail', async () => {
  await using bench = await Bench.make();
  const book = await bench.book();
  const one = login();
  await book.open(one);
  await bench.book();
  const [day = ''] = await readdir(join(bench.folder, 'audit'));
  const line = JSON.parse((await readFile(join(bench.folder, 'audit', day), 'utf8')).trim()) as Record<string, unknown>;
  assert.deepEqual([line.name, line.partner, line.session, line.method], ['auth.accepted', 'acme', one.session, 'password']);
});

test('a session that the DMZ node has no more is over when the link is up again, one that was opened since is not', async () => {
  await using bench = await Bench.make();
  const book = await bench.book();
  const kept = login();
  const lost = login();
  const keptToken = await book.open(kept);
  const lostToken = await book.open(lost);
  await book.linkDown();
  bench.clock.advance(minute);
  await book.linkUp();
  const later = await book.open(login());
  assert.equal(await book.endOthers([kept.session]), 1);
  assert(keptToken.outcome === 'opened' && lostToken.outcome === 'opened' && later.outcome === 'opened');
  assert.equal((await book.byToken(keptToken.token))?.session, kept.session);
  assert.equal(await book.byToken(lostToken.token), undefined);
  assert(await book.byToken(later.token));
  assert.equal(await book.prove(tokenHash(lostToken.token), 'acme'), 'grace');
});

test('tells which sessions of a list are not live: ended, over in time, never opened', async () => {
  await using bench = await Bench.make();
  const book = await bench.book();
  const [live, ended, strange] = [login(), login(), newSessionId()];
  assert.equal((await book.open(live)).outcome, 'opened');
  const second = await book.open(ended);
  assert.ok(second.outcome === 'opened');
  await book.endSession(second.token);
  assert.deepEqual([...(await book.notLive([live.session, ended.session, strange]))].sort(), [ended.session, strange].sort());
  bench.clock.advance(defaultSessionOptions.maxLifeMs);
  assert.deepEqual(await book.notLive([live.session]), [live.session]);
});

import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Database } from '../../shared/durable/database.ts';
import { SallyportError } from '../../shared/errors.ts';
import { silentLogger } from '../../shared/log.ts';
import type { PolicyBundle } from '../../shared/policy.ts';
import { verifyBundle } from '../../shared/policy-signature.ts';
import type { Asking } from '../../shared/tunnel/handlers.ts';
import type { RequestParams } from '../../shared/tunnel/messages.ts';
import { ManualClock } from '../../test/fixtures/manual-clock.ts';
import { makePolicy } from '../../test/fixtures/policy.ts';
import type { PolicyOperations } from './policy-operations.ts';
import { type PolicyContents, PolicyPublisher } from './publish.ts';

const dayMs = 86_400_000;
const pair = generateKeyPairSync('ed25519');
const policyKeyPem = pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
const publicKey = createPublicKey(pair.privateKey);

class Bench implements AsyncDisposable {
  readonly clock = new ManualClock();
  readonly put: PolicyBundle[] = [];
  contents: PolicyContents;
  /** What the DMZ holds, or claims to hold. */
  held = 0;
  failures: SallyportError[] = [];
  publisher!: PolicyPublisher;
  readonly #folder: string;
  #database: Database<PolicyOperations> | undefined;

  private constructor(folder: string) {
    this.#folder = folder;
    const { format: _f, number: _n, issuedAtMs: _i, expiresAtMs: _e, ...contents } = makePolicy();
    this.contents = contents;
  }

  static async make(): Promise<Bench> {
    const bench = new Bench(await mkdtemp(join(tmpdir(), 'publish-')));
    await bench.restart();
    return bench;
  }

  async restart(): Promise<void> {
    await this.publisher?.stop();
    await this.#database?.close();
    this.#database = await Database.open<PolicyOperations>({
      file: join(this.#folder, 'records.sqlite'),
      operations: new URL('./policy-operations.ts', import.meta.url),
      audit: { folder: join(this.#folder, 'audit'), node: 'inside' },
    });
    const request = async (method: string, params: unknown): Promise<unknown> => {
      if (method === 'status.get') return { policyNumber: this.held };
      const { bundle, signature } = params as RequestParams<'policy.put'>;
      const failure = this.failures.shift();
      if (failure) throw failure;
      const checked = verifyBundle(bundle, signature, publicKey);
      const last = this.put.at(-1);
      if (
        checked.number < this.held ||
        (checked.number === this.held && last && JSON.stringify(last) !== JSON.stringify(checked))
      ) {
        throw new SallyportError('policy-refused', 'not newer');
      }
      this.put.push(checked);
      this.held = checked.number;
      return { number: checked.number };
    };
    this.publisher = new PolicyPublisher({
      records: this.#database,
      link: { request: request as Asking<'inside'>['request'] },
      contents: () => this.contents,
      signer: () => ({ keyPem: policyKeyPem, certificatePem: 'certificate' }),
      clock: this.clock,
      log: silentLogger,
    });
    await this.publisher.start();
  }

  get numbers(): number[] {
    return this.put.map(({ number }) => number);
  }

  async up(): Promise<void> {
    this.publisher.linkUp();
    await this.publisher.publish();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.publisher.stop();
    await this.#database?.close();
    await rm(this.#folder, { recursive: true });
  }
}

test('sends nothing without a link, and a signed bundle when one comes up', async () => {
  await using bench = await Bench.make();
  await bench.publisher.publish();
  assert.deepEqual(bench.numbers, []);
  await bench.up();
  assert.equal(bench.put[0]?.number, 1);
  assert.equal(bench.put[0]?.expiresAtMs, bench.clock.nowMs() + 7 * dayMs);
  assert.equal(bench.publisher.held, 1);
});

test('an unchanged young policy keeps its number over links and restarts; a change makes the next', async () => {
  await using bench = await Bench.make();
  await bench.up();
  bench.publisher.linkDown();
  await bench.up();
  await bench.restart();
  await bench.up();
  assert.deepEqual([...new Set(bench.numbers)], [1]);
  bench.contents = { ...bench.contents, banner: 'changed' };
  await bench.publisher.publish();
  assert.equal(bench.put.at(-1)?.number, 2);
  await bench.restart();
  await bench.up();
  assert.equal(bench.put.at(-1)?.number, 2);
});

test('is renewed by itself before it has lived half its time plus a day', async () => {
  await using bench = await Bench.make();
  await bench.up();
  for (let day = 0; day < 5; day += 1) {
    bench.clock.advance(dayMs);
    await bench.publisher.publish();
  }
  const last = bench.put.at(-1);
  assert.equal(last?.number, 2);
  assert.ok((last?.expiresAtMs ?? 0) > bench.clock.nowMs() + 5 * dayMs);
});

test('tries again later when the link fails under it, and stops trying when the link is down', async () => {
  await using bench = await Bench.make();
  bench.failures = [new SallyportError('request-timeout', 'slow'), new SallyportError('request-timeout', 'slow')];
  bench.publisher.linkUp();
  await bench.publisher.publish();
  assert.deepEqual(bench.numbers, []);
  bench.clock.advance(60_000);
  await bench.publisher.publish();
  assert.equal(bench.held, 1);
  bench.publisher.linkDown();
  const sent = bench.put.length;
  bench.clock.advance(30 * dayMs);
  await bench.publisher.publish();
  assert.equal(bench.put.length, sent);
});

test('overtakes a DMZ node that holds a higher number, as after a restore from backup', async () => {
  await using bench = await Bench.make();
  bench.held = 57;
  await bench.up();
  assert.deepEqual([...new Set(bench.numbers)], [58]);
});

test('does not let a claimed number use up all numbers', async () => {
  await using bench = await Bench.make();
  bench.held = Number.MAX_SAFE_INTEGER - 1;
  await bench.up();
  assert.deepEqual(bench.numbers, []);
  bench.held = 0;
  bench.publisher.linkDown();
  await bench.up();
  assert.equal(bench.put.at(-1)?.number, 1);
});

test('refuses to start with contents that make no valid bundle', async () => {
  await using bench = await Bench.make();
  bench.contents = { ...bench.contents, recipients: [] };
  await assert.rejects(bench.publisher.start(), /the policy bundle is wrong: recipients/);
});

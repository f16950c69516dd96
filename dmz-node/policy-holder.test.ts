import assert from 'node:assert/strict';
import { createPrivateKey } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { SallyportError } from '../shared/errors.ts';
import { silentLogger } from '../shared/log.ts';
import { makeNodeKeys, type NodeKeys } from '../shared/pki/node-keys.ts';
import { verifyPolicyCertificate } from '../shared/pki/peer-check.ts';
import type { PolicyBundle } from '../shared/policy.ts';
import { signBundle } from '../shared/policy-signature.ts';
import type { RequestParams } from '../shared/tunnel/messages.ts';
import { ManualClock } from '../test/fixtures/manual-clock.ts';
import { makePolicy } from '../test/fixtures/policy.ts';
import { RecordedEvents } from '../test/fixtures/recorded-events.ts';
import { PolicyHolder } from './policy-holder.ts';

const dayMs = 86_400_000;

class Bench implements AsyncDisposable {
  readonly clock = new ManualClock();
  readonly events = new RecordedEvents();
  readonly folder: string;
  readonly inside: NodeKeys;
  readonly stranger: NodeKeys;
  peerCa: string | undefined;
  readonly heard: (number | undefined)[] = [];
  holder!: PolicyHolder;

  private constructor(folder: string, inside: NodeKeys, stranger: NodeKeys) {
    this.folder = folder;
    this.inside = inside;
    this.stranger = stranger;
    this.peerCa = inside.caCertificatePem;
  }

  static async make(): Promise<Bench> {
    const folder = await mkdtemp(join(tmpdir(), 'policy-holder-'));
    const clock = new ManualClock();
    const inside = await makeNodeKeys(join(folder, 'inside'), { role: 'internal', name: 'inside', clock });
    const stranger = await makeNodeKeys(join(folder, 'stranger'), { role: 'internal', name: 'inside', clock });
    const bench = new Bench(folder, inside, stranger);
    await bench.restart();
    return bench;
  }

  async restart(): Promise<void> {
    await this.holder?.stop();
    const { clock, events } = this;
    const deps = {
      peerAuthorities: () => (this.peerCa === undefined ? [] : [this.peerCa]),
      verifyCertificate: verifyPolicyCertificate,
      events,
      clock,
      log: silentLogger,
    };
    this.holder = new PolicyHolder(deps, { folder: this.folder });
    this.holder.onChange((bundle) => this.heard.push(bundle?.number));
    await this.holder.start();
  }

  signed(change: Partial<PolicyBundle>, keys: NodeKeys = this.inside): RequestParams<'policy.put'> {
    const bundle = makePolicy({ issuedAtMs: this.clock.nowMs(), expiresAtMs: this.clock.nowMs() + 7 * dayMs, ...change });
    return { ...signBundle(bundle, keys.policyKeyPem ?? ''), certificate: keys.policyCertificatePem ?? '' };
  }

  /** It must be refused, be recorded, and leave everything as it was. */
  async refuses(params: RequestParams<'policy.put'>, pattern: RegExp): Promise<void> {
    const [before, fileBefore] = [this.holder.current(), await this.file()];
    const refusals = this.events.of('policy.refused').length;
    await assert.rejects(this.holder.put(params), (error) => {
      assert.ok(error instanceof SallyportError && error.code === 'policy-refused', String(error));
      assert.match(error.message, pattern);
      return true;
    });
    assert.deepEqual(this.holder.current(), before);
    assert.equal(await this.file(), fileBefore);
    assert.equal(this.events.of('policy.refused').length, refusals + 1);
  }

  file(): Promise<string> {
    return readFile(join(this.folder, 'policy.json'), 'utf8').catch(() => '');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.holder.stop();
    await rm(this.folder, { recursive: true });
  }
}

test('takes a signed bundle, answers its number and announces it', async () => {
  await using bench = await Bench.make();
  assert.equal(bench.holder.current(), undefined);
  const first = bench.signed({ number: 3 });
  assert.deepEqual(await bench.holder.put(first), { number: 3 });
  assert.equal(bench.holder.current()?.number, 3);
  assert.deepEqual(bench.heard, [3]);
  assert.deepEqual(
    bench.events.of('policy.applied').map(({ fields }) => fields.number),
    [3],
  );
  assert.deepEqual(await bench.holder.put(first), { number: 3 }, 'again: answered');
  assert.deepEqual(bench.heard, [3], 'again: without effect');
  await bench.holder.put(bench.signed({ number: 4 }));
  assert.deepEqual(bench.heard, [3, 4]);
});

test('keeps it over a restart, as a file only the node can read, without leftovers', async () => {
  await using bench = await Bench.make();
  await bench.holder.put(bench.signed({ number: 3, banner: 'kept' }));
  await bench.restart();
  assert.equal(bench.holder.current()?.banner, 'kept');
  assert.deepEqual(bench.heard, [3, 3]);
  assert.equal((await stat(join(bench.folder, 'policy.json'))).mode & 0o777, 0o600);
  assert.deepEqual(
    (await readdir(bench.folder)).filter((name) => name.startsWith('policy')),
    ['policy.json'],
  );
});

test('refuses a lower number, and the same number with another text, also after a restart and after expiry', async () => {
  await using bench = await Bench.make();
  await bench.holder.put(bench.signed({ number: 5 }));
  await bench.refuses(bench.signed({ number: 4 }), /number is 4, held is 5/);
  await bench.refuses(bench.signed({ number: 5, banner: 'other' }), /number is 5/);
  await bench.restart();
  await bench.refuses(bench.signed({ number: 4 }), /number is 4/);
  bench.clock.advance(8 * dayMs);
  await bench.restart();
  await bench.refuses(bench.signed({ number: 4 }), /number is 4/);
});

test('refuses forged bundles: changed text, key of another authority, certificate without the key, tunnel certificate', async () => {
  await using bench = await Bench.make();
  const good = bench.signed({ number: 1 });
  const stranger = bench.signed({ number: 1 }, bench.stranger);
  await bench.refuses({ ...good, bundle: good.bundle.replace('accounting', 'attackers1') }, /signature/);
  await bench.refuses(stranger, /refused/);
  await bench.refuses({ ...stranger, certificate: good.certificate }, /signature/);
  await bench.refuses({ ...good, certificate: bench.inside.tunnelCertificatePem }, /refused/);
  await bench.refuses({ ...good, certificate: 'nonsense' }, /refused/);
  assert.equal(createPrivateKey(bench.inside.tunnelKeyPem).asymmetricKeyType, 'ec', 'the tunnel key cannot even sign');
});

test('refuses everything while the authority of the inside is not known', async () => {
  await using bench = await Bench.make();
  bench.peerCa = undefined;
  await bench.refuses(bench.signed({ number: 1 }), /authority of the internal node is not known/);
});

test('refuses a bundle that has expired already', async () => {
  await using bench = await Bench.make();
  await bench.refuses(bench.signed({ number: 1, expiresAtMs: bench.clock.nowMs() }), /expired/);
});

test('an expired policy is not in force, is announced once, and is followed by the next', async () => {
  await using bench = await Bench.make();
  await bench.holder.put(bench.signed({ number: 1 }));
  bench.clock.advance(7 * dayMs - 1);
  assert.equal(bench.holder.current()?.number, 1);
  bench.clock.advance(1);
  assert.equal(bench.holder.current(), undefined);
  bench.clock.advance(dayMs);
  assert.equal(bench.events.of('policy.expired').length, 1);
  await bench.holder.put(bench.signed({ number: 2 }));
  assert.deepEqual(bench.heard, [1, undefined, 2]);
});

test('a policy that expired while the node was down is not used, but its number counts', async () => {
  await using bench = await Bench.make();
  await bench.holder.put(bench.signed({ number: 9 }));
  await bench.holder.stop();
  bench.clock.advance(8 * dayMs);
  await bench.restart();
  assert.equal(bench.holder.current(), undefined);
  assert.equal(bench.holder.number, 9);
  assert.equal(bench.events.of('policy.expired').length, 1);
});

test('does not use a kept file that was changed, cut, or signed under another authority', async () => {
  await using bench = await Bench.make();
  await bench.holder.put(bench.signed({ number: 1 }));
  const text = await bench.file();
  const file = join(bench.folder, 'policy.json');
  for (const damaged of [text.replace('accounting', 'attackers1'), text.slice(0, -20), '', '{}']) {
    await writeFile(file, damaged);
    await bench.restart();
    assert.equal(bench.holder.current(), undefined);
  }
  await writeFile(file, text);
  bench.peerCa = bench.stranger.caCertificatePem;
  await bench.restart();
  assert.equal(bench.holder.current(), undefined);
  assert.equal(bench.events.of('policy.refused').length, 5);
});

test('answers an error and changes nothing when the file cannot be written', async () => {
  await using bench = await Bench.make();
  await bench.holder.put(bench.signed({ number: 1 }));
  await mkdir(join(bench.folder, 'policy.json.new'));
  await assert.rejects(bench.holder.put(bench.signed({ number: 2 })));
  assert.equal(bench.holder.current()?.number, 1);
  assert.equal(bench.events.of('policy.refused').length, 0, 'our disk is no fault of the inside');
  await rm(join(bench.folder, 'policy.json.new'), { recursive: true });
  assert.deepEqual(await bench.holder.put(bench.signed({ number: 2 })), { number: 2 });
});

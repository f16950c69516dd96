/**
 * How long it takes to decide 10,000 past items again: makes a record store that holds them, reads them as the admin socket does,
 * and decides each by rules of every kind.
 *
 *   node scripts/measure/replay.ts [ITEMS] [RULES]
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadInternalSettings } from '../../internal-node/config.ts';
import { Explainer } from '../../internal-node/explain.ts';
import type { LedgerOperations } from '../../internal-node/inbound/ledger-operations.ts';
import type { InternalOperations } from '../../internal-node/records.ts';
import { asConfigured, asRecorded, type PastItem, replay } from '../../internal-node/replay.ts';
import { Database } from '../../shared/durable/database.ts';
import { newItemId, newSessionId, newTraceId } from '../../shared/ids.ts';

const [items = 10_000, rules = 200] = process.argv.slice(2).map(Number);
const partners = 50;
const hash = '$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc';

const nameOf = (n: number): string => `partner${n % partners}`;
const ruleOf = (n: number): string =>
  [
    `  - {name: r${n}, path: "in/kind${n}_*.csv | *.x${n}", deliver: inside}`,
    `  - {name: r${n}, path: 'm/^out\\/(\\w+)_${n}_[0-9]+\\.xml$/', deliver: inside, as: 'teams/{1}/{year.decimal}/'}`,
    `  - {name: r${n}, partner: ${nameOf(n)}, path: "t/day${n}_{year.decimal}-{month.padded}-{day.padded}*/", hold: true}`,
    `  - {name: r${n}, path: "*.big${n}", size: {min: 1MiB}, outbox: ${nameOf(n)}}`,
  ][n % 4] ?? '';

const folder = await mkdtemp(join(tmpdir(), 'sallyport-replay-'));
try {
  await mkdir(join(folder, 'conf.d'));
  await writeFile(join(folder, 'sallyport.yaml'), 'version: 1\nname: inner1\ndestinations:\n  inside: {folder: delivered}\n');
  const accounts = Array.from({ length: partners }, (_, n) => `  ${nameOf(n)}: {password: "${hash}"}\n`).join('');
  const list = Array.from({ length: rules - 1 }, (_, n) => ruleOf(n)).join('\n');
  await writeFile(join(folder, 'conf.d/all.yaml'), `partners:\n${accounts}rules:\n${list}\n  - {name: rest, deliver: inside}\n`);
  const database = await Database.open<InternalOperations>({
    file: join(folder, 'records.db'),
    operations: new URL('../../internal-node/records.ts', import.meta.url),
    audit: { folder: join(folder, 'audit'), node: 'inner1' },
  });
  const ledger = database.room<LedgerOperations>();
  const registered = Array.from({ length: items }, (_, n) => register(n));
  await Promise.all(registered);

  const startedMs = performance.now();
  const settings = await loadInternalSettings(join(folder, 'sallyport.yaml'));
  const loadedMs = performance.now();
  const past: PastItem[] = [];
  for (let after = 0, page = []; ; after = page.at(-1)?.number ?? after) {
    page = await ledger.call('ledger.history', { sinceMs: 0, after, limit: 5000 });
    past.push(...page);
    if (page.length < 5000) break;
  }
  const readMs = performance.now();
  const result = replay(past, asRecorded, asConfigured(new Explainer(settings)), 100);
  const endMs = performance.now();
  const [load, read, decide] = [loadedMs - startedMs, readMs - loadedMs, endMs - readMs].map(Math.round);
  process.stdout.write(
    `${past.length} past items by ${rules} rules: ${Math.round(endMs - startedMs)} ms ` +
      `(configuration ${load}, reading ${read}, deciding ${decide}; slowest ${result.slowestMs.toFixed(2)}); ${result.differ} differ\n`,
  );
  await database.close();

  async function register(n: number): Promise<void> {
    const path = ['in/kind{}_7.csv', 'out/sales_{}_7.xml', 'day{}_x', 'a/b/file{}.pdf'][n % 4]?.replace('{}', String(n % rules));
    const segment = { headerSha256: n.toString(16).padStart(64, '0'), plainBytes: 10, sealedBytes: 300, sha256: null };
    const decision = { route: { action: 'deliver', destination: 'inside' }, rule: 'rest (conf.d/all.yaml:1)' } as const;
    await ledger.call('ledger.register', {
      item: {
        ...{
          id: newItemId(),
          seq: n,
          partner: nameOf(n),
          path: `/Inbox/${path}`,
          size: 10,
          sha256: null,
          completedAtMs: n * 60_000,
        },
        ...{ session: newSessionId(), sessionProof: 'b'.repeat(64), trace: newTraceId(), segments: [segment], state: 'ready' },
        ...{ decision, policyNumber: 1 },
      },
      decision: { ...decision, plan: { action: 'deliver', targets: [{ destination: 'inside', file: `${nameOf(n)}/${path}` }] } },
      ...{ forged: null, mismatch: null, nowMs: Date.now(), maxWaiting: items, maxSetAside: 10 },
    });
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}

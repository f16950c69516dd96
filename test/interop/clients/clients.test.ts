/**
 * The client matrix: what docs/clients.md says of each client is what happens, in the cases that take moments. `scripts/clients`
 * makes the table anew; a cell that changed, for better or worse, fails here until it is.
 */
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { cases, casesOf, clients, inSuite, judge } from './matrix.ts';
import { kept, readResults, titlesOf } from './results.ts';
import { Stages, suiteFolders } from './stage.ts';

const stages = new Stages(suiteFolders);
after(async () => {
  for (const client of clients) await client.close?.();
  await stages[Symbol.asyncDispose]();
});

describe('the client matrix', () => {
  const results = readResults();

  it('has the titles of the cases, and results of these clients and cases only', () => {
    assert.deepEqual(results.cases, titlesOf(cases), 'run scripts/clients');
    assert.deepEqual(
      results.clients.map(({ id }) => id),
      clients.map(({ id }) => id),
    );
    for (const { protocol, cells } of results.clients) {
      const ids = casesOf(protocol).map(({ id }) => id);
      assert.deepEqual(
        Object.keys(cells).filter((one) => !ids.includes(one)),
        [],
      );
    }
  });

  for (const client of clients) {
    describe(client.name, () => {
      for (const one of inSuite(client)) {
        it(one.title, async () => {
          const verdict = await judge(await stages.for(client), client, one);
          assert.deepEqual(kept(verdict), results.verdictOf(client.id, one.id), 'why' in verdict ? verdict.why : '');
        });
      }
    });
  }
});

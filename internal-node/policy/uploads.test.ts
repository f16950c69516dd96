import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { parse } from 'yaml';
import { type PolicyBundle, policyBundleSchema } from '../../shared/policy.ts';
import { defaultUploads, withOwn } from '../../shared/uploads.ts';
import { accountsFrom } from '../../test/fixtures/accounts.ts';
import { makePolicy } from '../../test/fixtures/policy.ts';
import { makeKey } from '../../test/fixtures/ssh-login.ts';
import { internalConfigSchema, partSchema } from '../config-schema.ts';
import { forDmz, uploadsOfAll, uploadsSchema } from './uploads.ts';

const problems = (uploads: unknown): string[] => {
  const result = uploadsSchema.safeParse(uploads);
  return result.success ? [] : result.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
};

test('what is not written is as for all partners, and that is what 2.9 says', () => {
  assert.deepEqual(forDmz(uploadsOfAll(uploadsSchema.parse({}))), defaultUploads);
  assert.equal(defaultUploads.complete, 'close');
  for (const name of '*.part *.filepart *.partial *.tmp *.temp *.upload *.uploading *.crdownload *.!* .* ~* *~'.split(' ')) {
    assert.ok(defaultUploads.temporaryNames.includes(name), name);
  }
  const bundle: PolicyBundle = makePolicy({ uploads: forDmz(uploadsOfAll(uploadsSchema.parse({ ghost: '1m' }))) });
  assert.equal(policyBundleSchema.parse(bundle).uploads.ghostMs, 60_000);
});

test("a partner's own settings come with his grant, and only those", () => {
  const uploads = { complete: 'quiet', quiet: '5s', takeOver: 'never', temporaryNames: ['*.wip'] };
  const own = accountsFrom({ acme: { keys: [makeKey('ed25519').publicLine], uploads } })
    .get('acme')
    ?.grantFor(undefined).uploads;
  assert.deepEqual(own, { complete: 'quiet', quietMs: 5000, takeOverMs: null, temporaryNames: ['*.wip'] });
  assert.deepEqual(withOwn(defaultUploads, own), { ...defaultUploads, ...own });
});

test('refuses what has no meaning, at the place where it stands', () => {
  assert.deepEqual(problems({ complete: 'close', quiet: '5s' }), ['quiet: has no effect with complete: close']);
  assert.deepEqual(problems({ complete: 'rename', trigger: {} }), ['trigger: has no effect with complete: rename']);
  assert.match(problems({ quiet: '1d' })[0] ?? '', /^quiet: too large/);
  assert.match(problems({ temporaryNames: ['a/b'] })[0] ?? '', /^temporaryNames\.0: matched against the last component/);
  assert.match(problems({ temporaryNames: ['*.[a'] })[0] ?? '', /^temporaryNames\.0: /);
  assert.match(problems({ trigger: { suffixes: ['done'] } })[0] ?? '', /^trigger\.suffixes\.0: /);
  assert.match(problems({ takeOver: 'soon' })[0] ?? '', /^takeOver: /);
});

test('every example of docs/uploads.md is a good configuration', async () => {
  const page = await readFile(new URL('../../docs/uploads.md', import.meta.url), 'utf8');
  const blocks = [...page.matchAll(/^```yaml\n([\s\S]*?)^```$/gm)].map(([, text = '']) => parse(text) as Record<string, unknown>);
  assert.ok(blocks.length >= 2, 'the page has examples');
  const shown = new Set<string>();
  for (const block of blocks) {
    if ('partners' in block) {
      const partners = Object.entries(block.partners as Record<string, { uploads?: object }>);
      for (const [, { uploads = {} }] of partners) for (const key of Object.keys(uploads)) shown.add(key);
      const keys = [makeKey('ed25519').publicLine];
      partSchema.parse({ ...block, partners: Object.fromEntries(partners.map(([name, one]) => [name, { keys, ...one }])) });
    } else {
      for (const key of Object.keys((block.policy as { uploads: object }).uploads)) shown.add(key);
      internalConfigSchema.parse({ version: 1, name: 'inner1', ...block });
    }
  }
  const known = Object.keys(uploadsSchema.in.shape);
  assert.deepEqual([...shown].sort(), known.sort(), 'every setting has an example, and there are no others');
});

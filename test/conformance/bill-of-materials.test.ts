/** The bills of materials say what is in node_modules, no more and no less, in the form that scanners read. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { z } from 'zod';
import { billOfMaterials, type NodeName } from '../../scripts/closure/bill-of-materials.ts';

const ref = z.string().min(1);
const licence = z.union([
  z.strictObject({ license: z.strictObject({ id: z.string().regex(/^[\w.+-]+$/) }) }),
  z.strictObject({ expression: z.string() }),
]);
const property = z.strictObject({ name: z.string(), value: z.string() });

/** The part of bom-1.5.schema.json that we write. */
const bom = z.strictObject({
  $schema: z.literal('http://cyclonedx.org/schema/bom-1.5.schema.json'),
  bomFormat: z.literal('CycloneDX'),
  specVersion: z.literal('1.5'),
  version: z.int().min(1),
  metadata: z.strictObject({
    component: z.strictObject({
      type: z.literal('application'),
      'bom-ref': ref,
      name: z.string(),
      version: z.string(),
      licenses: z.array(licence),
      purl: z.string(),
    }),
    properties: z.array(property),
  }),
  components: z.array(
    z.strictObject({
      type: z.literal('library'),
      'bom-ref': ref,
      name: z.string(),
      version: z.string().regex(/^\d+\.\d+\.\d+/),
      purl: z.string().regex(/^pkg:npm\/(%40[\w.-]+\/)?[\w.-]+@\d/),
      scope: z.literal('required'),
      licenses: z.array(licence).length(1),
      hashes: z.array(z.strictObject({ alg: z.literal('SHA-512'), content: z.string().regex(/^[0-9a-f]{128}$/) })).length(1),
      pedigree: z
        .strictObject({
          patches: z.array(
            z.strictObject({
              type: z.literal('unofficial'),
              diff: z.strictObject({ text: z.strictObject({ content: z.string() }) }),
            }),
          ),
        })
        .optional(),
      properties: z.array(property),
    }),
  ),
  dependencies: z.array(z.strictObject({ ref, dependsOn: z.array(ref) })),
});

for (const node of ['sallyport', 'sallyport-dmz'] as const satisfies readonly NodeName[]) {
  const document = billOfMaterials(node);

  test(`${node}: the document has the form of CycloneDX 1.5, and every reference leads somewhere`, () => {
    const { components, dependencies, metadata } = bom.parse(document);
    const refs = components.map((component) => component['bom-ref']);
    assert.equal(new Set(refs).size, refs.length);
    const known = new Set([...refs, metadata.component['bom-ref']]);
    for (const { ref: from, dependsOn } of dependencies)
      for (const name of [from, ...dependsOn]) assert.ok(known.has(name), name);
    const reached = new Set<string>();
    const visit = (name: string): void => {
      if (reached.has(name)) return;
      reached.add(name);
      for (const next of dependencies.find((one) => one.ref === name)?.dependsOn ?? []) visit(next);
    };
    visit(node);
    assert.deepEqual([...reached].sort(), [...known].sort(), 'every package is there because something loads it');
  });

  test(`${node}: every package is installed in the version that is named`, () => {
    for (const { name, version } of document.components) {
      // An override may have put it under another name.
      const folder = name === 'neoip' ? 'ip' : name;
      const manifest = JSON.parse(
        readFileSync(new URL(`../../node_modules/${folder}/package.json`, import.meta.url), 'utf8'),
      ) as object;
      assert.deepEqual(pick(manifest, ['name', 'version']), { name, version });
    }
  });

  test(`${node}: the same checkout gives the same bytes`, () => {
    assert.equal(JSON.stringify(billOfMaterials(node)), JSON.stringify(document));
  });
}

test('what is patched says so, and development packages are in neither', () => {
  const { components } = billOfMaterials('sallyport-dmz');
  const patched = components.filter((component) => 'pedigree' in component).map(({ name }) => name);
  assert.deepEqual(patched, ['commander', 'ftp-srv', 'ssh2']);
  for (const name of ['typescript', '@biomejs/biome', 'fast-check']) {
    assert.ok(!components.some((component) => component.name === name));
  }
});

const pick = (from: object, keys: readonly string[]): object =>
  Object.fromEntries(Object.entries(from).filter(([key]) => keys.includes(key)));

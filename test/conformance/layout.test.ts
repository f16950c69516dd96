/** The house keeps its plan: who may import whom, what every file must have, and that the catalogues are the truth. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventCatalogue } from '../../shared/events/catalogue.ts';
import { codeOnly, filesLike, importsOf, layerOf, roomOf, type SourceFile } from './sources.ts';

const all = filesLike('{shared,dmz-node,internal-node,test,scripts}/**/*.ts');
const isTest = ({ path }: SourceFile): boolean => path.endsWith('.test.ts') || layerOf(path) === 'test';
const product = all.filter((file) => !isTest(file) && layerOf(file.path) !== 'scripts');

/** Layers that a layer may import from, beside packages. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  shared: ['shared'],
  'dmz-node': ['dmz-node', 'shared'],
  'internal-node': ['internal-node', 'shared'],
};

/**
 * Events that nothing records yet, each with the reason. An entry that is recorded after all fails the test too: take it out.
 */
const notRecordedYet: Readonly<Record<string, string>> = {};

test('the files are found', () => {
  assert.ok(product.length > 30 && all.some(isTest));
});

test('imports point down only: nodes to shared, never across, never up', () => {
  const wrong = product.flatMap((file) =>
    importsOf(file)
      .filter((name) => ['dmz-node', 'internal-node', 'shared', 'test', 'scripts'].includes(layerOf(name)))
      .filter((name) => !mayImport[layerOf(file.path)]?.includes(layerOf(name)))
      .map((name) => `${file.path} imports ${name}`),
  );
  assert.deepEqual(wrong, []);
});

test('rooms of a node do not import each other', () => {
  const wrong = product.flatMap((file) => {
    const room = roomOf(file.path);
    if (room === undefined) return [];
    return importsOf(file)
      .filter((name) => roomOf(name) !== undefined && roomOf(name) !== room)
      .map((name) => `${file.path} imports ${name}`);
  });
  assert.deepEqual(wrong, []);
});

test('imports of own files name files that exist', () => {
  const known = new Set(all.map(({ path }) => path));
  const wrong = all.flatMap((file) =>
    importsOf(file)
      .filter((name) => mayImport[layerOf(name)] && name.endsWith('.ts') && !known.has(name))
      .map((name) => `${file.path} imports ${name}`),
  );
  assert.deepEqual(wrong, []);
});

test('every file says at its top what it is for; a unit test by the file that it stands beside', () => {
  const wrong = all
    .filter(({ path, text }) => !path.endsWith('.test.ts') && !/^(#!.*\n)?\/\*\*\s*\S/.test(text))
    .map(({ path }) => path);
  assert.deepEqual(wrong, []);
});

test('no type is left open with any', () => {
  const asType = /(?::|<|,|\||&|\bas|\bextends|=)\s*any\b(?!\s*[.(])/;
  assert.ok(
    asType.test(codeOnly('const x: any = 1')) &&
      asType.test(codeOnly('f<any>()')) &&
      !asType.test(codeOnly("// : any\n'as any'")),
  );
  const wrong = all.filter(({ text }) => asType.test(codeOnly(text))).map(({ path }) => path);
  assert.deepEqual(wrong, []);
});

test('files are named in kebab-case', () => {
  const wrong = all.map(({ path }) => path).filter((path) => !/^[a-z0-9/-]+(\.test)?\.ts$/.test(path));
  assert.deepEqual(wrong, []);
});

test('no test is skipped or runs alone', () => {
  const marked = /\b(?:test|it|describe|suite)\.(?:skip|only|todo)\b|\b(?:skip|only|todo):\s*(?:true|'')|\bt\.(?:skip|todo)\(/;
  const wrong = all.filter((file) => file.path.endsWith('.test.ts') && marked.test(codeOnly(file.text))).map(({ path }) => path);
  assert.deepEqual(wrong, []);
});

test("no file names a path of a developer's machine", () => {
  const folders = ['work', 'Users', 'home'].map((name) => `/${name}/`);
  const texts = [...all, ...filesLike('{*,docs/**/*,scripts/**/*,test/**/*}'), ...filesLike('.ci/*')];
  const wrong = texts
    .filter(({ text }) => folders.some((folder) => new RegExp(`(^|[\\s'"\`(=:])${folder}[a-z0-9]`, 'im').test(text)))
    .map(({ path }) => path);
  assert.deepEqual([...new Set(wrong)], []);
});

test('every dependency is pinned and has its reason in CONTRIBUTING.md', () => {
  const [manifest] = filesLike('package.json');
  const [contributing] = filesLike('CONTRIBUTING.md');
  const { dependencies, devDependencies } = JSON.parse(manifest?.text ?? '') as Record<string, Record<string, string>>;
  const versions = { ...dependencies, ...devDependencies };
  const reasons = contributing?.text.slice(contributing.text.indexOf('## Dependencies')).split('\n') ?? [];
  const missing = Object.entries(versions).filter(
    ([name, version]) =>
      !/^\d+\.\d+\.\d+$/.test(version) || !reasons.some((line) => line.startsWith('|') && line.includes(`\`${name}\``)),
  );
  assert.deepEqual(missing, []);
});

test('every package that the sources import is a dependency', () => {
  const [manifest] = filesLike('package.json');
  const { dependencies, devDependencies } = JSON.parse(manifest?.text ?? '') as Record<string, Record<string, string>>;
  const packageOf = (name: string): string =>
    name
      .split('/')
      .slice(0, name.startsWith('@') ? 2 : 1)
      .join('/');
  const wrong = all.flatMap((file) =>
    importsOf(file)
      .filter((name) => !name.startsWith('node:') && !name.includes('.ts') && !mayImport[layerOf(name)])
      .map(packageOf)
      .filter((name) => !(dependencies?.[name] || (!product.includes(file) && devDependencies?.[name])))
      .map((name) => `${file.path} imports ${name}`),
  );
  assert.deepEqual(wrong, []);
});

test('every event that the sources record is in the catalogue', () => {
  const recorded = product.flatMap(({ path, text }) =>
    Array.from(text.matchAll(/\bevent\(\s*'([^']+)'/g), ([, name = '']) => ({ path, name })),
  );
  assert.ok(recorded.length > 10);
  assert.deepEqual(
    recorded.filter(({ name }) => !Object.hasOwn(eventCatalogue, name)),
    [],
  );
});

test('every event of the catalogue is recorded somewhere', () => {
  const texts = product.filter(({ path }) => path !== 'shared/events/catalogue.ts').map(({ text }) => text);
  const silent = Object.keys(eventCatalogue).filter((name) => !texts.some((text) => text.includes(`'${name}'`)));
  assert.deepEqual(silent.sort(), Object.keys(notRecordedYet).sort());
});

/**
 * The software bill of materials of one node, as CycloneDX 1.5 (ECMA-424): the packages that the node really loads, with the
 * version, licence and digest under which they were installed. Two runs on the same checkout give the same bytes.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { programVersion } from '../../shared/version.ts';
import { type Closure, closureOf, type LoadedPackage, projectRoot } from './import-graph.ts';

export type NodeName = 'sallyport' | 'sallyport-dmz';

const entries: Readonly<Record<NodeName, string>> = {
  sallyport: 'internal-node/main.ts',
  'sallyport-dmz': 'dmz-node/main.ts',
};

interface LockEntry {
  readonly version: string;
  readonly resolved?: string;
  readonly integrity?: string;
  readonly license?: string;
}

/** @returns a document for `JSON.stringify`. @throws when a package is loaded that package-lock.json does not name. */
export function billOfMaterials(node: NodeName) {
  const closure = closureOf([entries[node]]);
  const lock = lockEntries();
  const packages = [...closure.packages.values()].sort((a, b) => a.folder.localeCompare(b.folder));
  return {
    $schema: 'http://cyclonedx.org/schema/bom-1.5.schema.json',
    bomFormat: 'CycloneDX',
    specVersion: '1.5',
    version: 1,
    metadata: {
      component: {
        type: 'application',
        'bom-ref': node,
        name: node,
        version: programVersion,
        licenses: [{ license: { id: 'Apache-2.0' } }],
        purl: `pkg:generic/${node}@${programVersion}`,
      },
      properties: [
        { name: 'sallyport:ownFiles', value: String(closure.files.size) },
        { name: 'sallyport:builtinModules', value: [...closure.builtins.keys()].sort().join(' ') },
      ],
    },
    components: packages.map((pack) => component(pack, lock)),
    dependencies: [
      { ref: node, dependsOn: directOf(closure).map(refOf).sort() },
      ...packages.map((pack) => ({ ref: refOf(pack), dependsOn: loadedBy(pack, packages).map(refOf).sort() })),
    ],
  };
}

function component(pack: LoadedPackage, lock: Readonly<Record<string, LockEntry>>) {
  const entry = lock[pack.folder];
  if (!entry || entry.version !== pack.version) {
    throw new Error(`${pack.folder} is not what package-lock.json names; run ./scripts/test once`);
  }
  const patches = patchesOf(pack);
  return {
    type: 'library',
    'bom-ref': refOf(pack),
    name: pack.name,
    version: pack.version,
    purl: refOf(pack),
    scope: 'required',
    licenses: [licenceOf(entry.license ?? olderLicence(pack))],
    ...(entry.integrity === undefined ? {} : { hashes: [hashOf(entry.integrity)] }),
    ...(patches.length === 0
      ? {}
      : { pedigree: { patches: patches.map((text) => ({ type: 'unofficial', diff: { text: { content: text } } })) } }),
    properties: [
      { name: 'sallyport:filesLoaded', value: String(pack.files.size) },
      { name: 'sallyport:builtinModules', value: [...pack.builtins].sort().join(' ') },
    ],
  };
}

/** https://github.com/package-url/purl-spec: the `@` of a scope is escaped. */
const refOf = ({ name, version }: Pick<LoadedPackage, 'name' | 'version'>): string =>
  `pkg:npm/${name.replace('@', '%40')}@${version}`;

const loadedBy = ({ loads }: LoadedPackage, all: readonly LoadedPackage[]): LoadedPackage[] =>
  all.filter(({ name }) => loads.has(name));

/** Those that our own files import, also through another name. */
const directOf = ({ packages }: Closure): LoadedPackage[] => {
  const { dependencies } = JSON.parse(readFileSync(join(projectRoot, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>;
  };
  return [...packages.values()].filter(({ folder }) => Object.hasOwn(dependencies, folder.replace(/^node_modules\//, '')));
};

function lockEntries(): Readonly<Record<string, LockEntry>> {
  const lock = JSON.parse(readFileSync(join(projectRoot, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, LockEntry>;
  };
  return lock.packages;
}

/** One licence by its SPDX name, or an expression of several. */
const licenceOf = (text: string) =>
  /[\s(]/.test(text) ? { expression: text.replace(/^\((.*)\)$/, '$1') } : { license: { id: text } };

/** As packages wrote it before npm 2. @throws when there is none: somebody has to look at that. */
function olderLicence({ folder, name }: LoadedPackage): string {
  const { licenses } = JSON.parse(readFileSync(join(projectRoot, folder, 'package.json'), 'utf8')) as {
    licenses?: readonly { readonly type?: string }[];
  };
  const [{ type } = {}] = licenses ?? [];
  if (type === undefined) throw new Error(`${name} names no licence`);
  return type;
}

/** `sha512-…` in base64, as npm writes it; hexadecimal in CycloneDX. */
function hashOf(integrity: string): { readonly alg: string; readonly content: string } {
  const [algorithm = '', digest = ''] = integrity.split('-', 2);
  return { alg: algorithm === 'sha512' ? 'SHA-512' : 'SHA-1', content: Buffer.from(digest, 'base64').toString('hex') };
}

function patchesOf({ name, version }: LoadedPackage): string[] {
  const folder = join(projectRoot, 'patches', `${name}@${version}`);
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .sort()
    .map((file) => readFileSync(join(folder, file), 'utf8'));
}

/**
 * Odd names of partners and files, through rules that put them into paths, onto real folders: whatever is delivered lies below
 * the destination, and nothing else is made. Folders are on a tmpfs when the caller says so. The suite plays a sample,
 * `scripts/fuzz destinations` more.
 */
import { lstat, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { FolderDestination, folderDefaults } from '../../internal-node/destinations/folder.ts';
import { addressNames, forgedNames, mappedNames } from '../../internal-node/redteam/names.ts';
import { SallyportError } from '../../shared/errors.ts';
import { newItemId } from '../../shared/ids.ts';
import { insideActionNames } from '../../shared/matching/actions.ts';
import { Router } from '../../shared/matching/routing.ts';
import type { Rule } from '../../shared/policy.ts';

/** Of reliability.md §2.10, as components and as pieces of them. */
const odd = [
  ...[...Object.values(forgedNames('tag')), ...Object.keys(mappedNames), ...Object.keys(addressNames)].flatMap((name) => [
    name,
    ...name.split('/'),
  ]),
  ...['.', '..', '...', '', ' ', '.. ', ' ..', '..\\..', '~', '~root', '/etc/passwd', '/', '//', '\\', 'e\u0301', 'é'],
  ...['\ud800', '\u202e', '\u200b', '\u2028', '\0', '\n', '%2e%2e', '$HOME', '$'.concat('{USER}'), '{account.name}', '{1}'],
  ...[
    'é'.repeat(128),
    'x'.repeat(255),
    'x'.repeat(256),
    'LPT1.x',
    'AUX',
    'LONGNA~1.TXT',
    '.sallyport-staging',
    '.sallyport-claimed',
  ],
];
const component = fc.oneof(
  fc.constantFrom(...odd),
  fc.array(fc.constantFrom(...odd), { minLength: 1, maxLength: 3 }).map((parts) => parts.join('')),
  fc.string({ maxLength: 20, unit: 'binary' }),
);
const path = fc.array(component, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'));
const templates = [
  ...[
    '{account.name}/{data.file_name}',
    '{1}',
    '{1}/',
    '{1}/../{1}',
    '../{account.name}',
    '/{data.path}',
    '{data.directory_name}/',
  ],
  ...['{1_upper}{account.name_lower}', '\\{1}\\', 'x/{1}/{data.path}', '{data.path}/{data.path}', '.{1}', '{1}.', '-{1}'],
];
const rule = fc.record({
  as: fc.option(fc.constantFrom(...templates)),
  action: fc.constantFrom(...insideActionNames.filter((name) => name !== 'execute')),
  path: fc.constantFrom('m/(?s)^(.*)$/', 'm/(?s)(.*?)[\\/.](.*)/', 'm/(?s)([^\\/]*)$/'),
});
const sample = fc.record({ rule, path, partner: fc.oneof(component, fc.constantFrom('acme', 'a.b', 'con')) });

/** @returns what must not have happened, and how many files were made. */
export async function fuzzDestinations(
  folder: string,
  seed: number,
  count: number,
): Promise<{ readonly delivered: number; readonly refused: number; readonly faults: readonly string[] }> {
  const top = await mkdtemp(join(folder, 'destinations-'));
  const root = join(top, 'inside', 'root');
  await mkdir(root, { recursive: true });
  const fresh = () => new FolderDestination({ ...folderDefaults, name: 'files', folder: root });
  let destination = fresh();
  const faults: string[] = [];
  let [delivered, refused] = [0, 0];
  try {
    for (const [n, { rule: given, path: sent, partner }] of fc.sample(sample, { seed, numRuns: count }).entries()) {
      try {
        const made = await deliver(destination, plannedFile(given, sent, partner, n), `${n}`);
        delivered += 1;
        const found = await lstat(join(root, made));
        if (!found.isFile() || made.split('/').some((part) => part === '..')) faults.push(`${n}: ${JSON.stringify(made)}`);
      } catch (error) {
        if (!(error instanceof SallyportError)) throw error;
        // What reaches the destination has harmless components: it need not refuse them as a fault of the program.
        if (error.code === 'internal') faults.push(`${n}: ${error.message}`);
        refused += 1;
      }
      if (n % 500 === 499 || n === count - 1) {
        faults.push(...(await strays(top)));
        await rm(root, { recursive: true });
        await mkdir(root);
        destination = fresh();
      }
    }
    return { delivered, refused, faults };
  } finally {
    await rm(top, { recursive: true, force: true });
  }
}

/** What the decision says; a name that cannot be used makes it a hold. */
function plannedFile(
  { as, action, path }: { as: string | null; action: (typeof insideActionNames)[number]; path: string },
  sent: string,
  partner: string,
  n: number,
): string {
  const rule: Rule = {
    ...{ name: 'fuzz', source: '', path, route: { action: 'deliver', destination: 'files' } },
    plan: { action, targets: [{ destination: 'files', ...(as === null ? {} : { as }) }] },
  };
  const facts = { partner, path: sent, size: 1, atMs: n, item: `${n}` };
  const file = new Router([rule], { timeZone: 'UTC' }).decide(facts).plan?.targets[0]?.file;
  if (file === undefined) throw new SallyportError('bad-name', 'held');
  return file;
}

async function deliver(destination: FolderDestination, file: string, content: string): Promise<string> {
  const item = newItemId();
  await writeFile(await destination.stage(item), content, { flag: 'wx', mode: 0o600 });
  const facts = await destination.keep(item);
  try {
    const target = { components: file.split('/') };
    for (let name = await destination.plan(target, false); ; name = await destination.plan(target)) {
      if ((await destination.publish(item, facts, name, () => undefined)) === 'published') return name;
    }
  } finally {
    await destination.discard(item);
  }
}

/** Whatever lies beside the destination. */
async function strays(top: string): Promise<readonly string[]> {
  const found: string[] = [];
  for (const [at, only] of [
    ['', 'inside'],
    ['inside', 'root'],
  ] as const) {
    for (const name of await readdir(join(top, at))) if (name !== only) found.push(`${join(at, name)} beside the destination`);
  }
  return found;
}

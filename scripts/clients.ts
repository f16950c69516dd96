/**
 * Plays the client matrix (test/interop/clients) against a running pair and writes what it found, with the versions of the
 * clients, into test/interop/clients/results.json and docs/clients.md.
 */
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { stderr } from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { type Case, type Client, cases, casesOf, clients, judge } from '../test/interop/clients/matrix.ts';
import { type Cell, type ClientResults, readResults, titlesOf, writeResults } from '../test/interop/clients/results.ts';
import { fullFolders, type Stage, Stages } from '../test/interop/clients/stage.ts';
import { clientsPage } from './docs/clients-page.ts';

const run = promisify(execFile);
const { values } = parseArgs({
  options: {
    full: { type: 'boolean', default: false },
    ftps: { type: 'boolean', default: false },
    only: { type: 'string' },
    cases: { type: 'string' },
  },
});
const root = fileURLToPath(new URL('..', import.meta.url));
const today = new Date().toISOString().slice(0, 10);
const chosen = <T extends { readonly id: string }>(all: readonly T[], list: string | undefined): readonly T[] =>
  list === undefined ? all : all.filter(({ id }) => list.split(',').includes(id));

async function versions({ packages, modules = [] }: Client): Promise<Record<string, string>> {
  const ofPackage = async (name: string) => (await run('dpkg-query', ['-W', '-f', `\${Version}`, name])).stdout;
  const ofModule = async (name: string) => {
    const { version } = JSON.parse(await readFile(`${root}/node_modules/${name}/package.json`, 'utf8')) as { version: string };
    return version;
  };
  const each = (names: readonly string[], of: (name: string) => Promise<string>) =>
    Promise.all(names.map(async (name) => [name, await of(name)] as const));
  return Object.fromEntries([...(await each(packages, ofPackage)), ...(await each(modules, ofModule))]);
}

async function cell(stage: Stage, client: Client, one: Case): Promise<Cell> {
  const startedAt = performance.now();
  const verdict = await judge(stage, client, one);
  const seconds = Math.round(performance.now() - startedAt) / 1000;
  stderr.write(`${client.id} ${one.id}: ${verdict.verdict} (${seconds} s)${'why' in verdict ? ` ${verdict.why}` : ''}\n`);
  return one.extent === 'full' && verdict.verdict === 'works' ? { ...verdict, on: today, seconds: Math.round(seconds) } : verdict;
}

/** What was not played now stays as it was found before. */
async function resultsOf(stage: Stage, client: Client, before: ClientResults | undefined): Promise<ClientResults> {
  const { id, name, protocol, note = '' } = client;
  const wanted = chosen(casesOf(protocol), values.cases).filter(({ extent }) => values.full || extent !== 'full');
  const cells: Record<string, Cell> = { ...before?.cells };
  for (const one of wanted) cells[one.id] = await cell(stage, client, one);
  await client.close?.();
  const ordered = Object.fromEntries(casesOf(protocol).flatMap((one) => (cells[one.id] ? [[one.id, cells[one.id]]] : [])));
  return { id, name, protocol, note, packages: await versions(client), on: today, cells: ordered as Record<string, Cell> };
}

const known = new Map(readResults().clients.map((client) => [client.id, client]));
await using stages = new Stages(fullFolders);
for (const client of chosen(clients, values.only).filter(({ protocol }) => !values.ftps || protocol === 'ftps')) {
  known.set(client.id, await resultsOf(await stages.for(client), client, known.get(client.id)));
  const found = clients.flatMap(({ id }) => known.get(id) ?? []);
  writeResults({ cases: titlesOf(cases), clients: found });
}
await writeFile(`${root}/docs/clients.md`, clientsPage());

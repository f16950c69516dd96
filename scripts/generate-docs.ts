/**
 * Writes the reference pages of docs/ from the tables in the code and in kept results. `--check` writes nothing and fails when a page differs.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { argv, exit, stderr } from 'node:process';
import { fileURLToPath } from 'node:url';
import { clientsPage } from './docs/clients-page.ts';
import { configurationPage } from './docs/configuration-page.ts';
import { errorsPage } from './docs/errors-page.ts';
import { eventsPage } from './docs/events-page.ts';
import { protocolPage } from './docs/protocol-page.ts';

const pages = {
  'docs/EVENTS.md': eventsPage,
  'docs/ERRORS.md': errorsPage,
  'docs/PROTOCOL.md': protocolPage,
  'docs/clients.md': clientsPage,
  'docs/configuration.md': configurationPage,
};

const read = (path: string): string => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
};

/** The first line in which two texts differ, for people. */
function firstDifference(kept: string, made: string): string {
  const keptLines = kept.split('\n');
  const madeLines = made.split('\n');
  const at = madeLines.findIndex((line, index) => line !== keptLines[index]);
  const line = at < 0 ? madeLines.length : at;
  return `line ${line + 1}:\n  - ${keptLines[line] ?? '(end)'}\n  + ${madeLines[line] ?? '(end)'}`;
}

const root = fileURLToPath(new URL('../', import.meta.url));
let stale = 0;
mkdirSync(`${root}docs`, { recursive: true });
for (const [name, make] of Object.entries(pages)) {
  const made = make();
  const kept = read(root + name);
  if (kept === made) continue;
  if (argv.includes('--check')) {
    stale += 1;
    stderr.write(`${name} is not what the code says, ${firstDifference(kept, made)}\n`);
  } else {
    writeFileSync(root + name, made);
    stderr.write(`wrote ${name}\n`);
  }
}
if (stale > 0) {
  stderr.write('run `npm run docs` and commit the pages\n');
  exit(1);
}

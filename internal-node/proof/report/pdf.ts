/** Prints a report with the Chromium of the host, where there is one. The page has no script and loads nothing. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { SallyportError } from '../../../shared/errors.ts';

const run = promisify(execFile);
const names = ['chromium', 'chromium-browser', 'google-chrome'] as const;
const atMostMs = 120_000;

/** @throws SallyportError `unsupported` when the host has none, or it fails. */
export async function printPdf(page: string, signal: AbortSignal): Promise<Buffer> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-report-'));
  try {
    const [source, target] = [join(folder, 'report.html'), join(folder, 'report.pdf')];
    await writeFile(source, page, { mode: 0o600 });
    await printedBy(
      [
        '--headless',
        '--disable-gpu',
        '--no-first-run',
        // Its sandbox refuses root, and the page is our own.
        ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
        `--user-data-dir=${join(folder, 'profile')}`,
        '--no-pdf-header-footer',
        `--print-to-pdf=${target}`,
        `file://${source}`,
      ],
      signal,
    );
    return await readFile(target);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function printedBy(args: readonly string[], signal: AbortSignal): Promise<void> {
  for (const name of names) {
    try {
      await run(name, args, { signal, timeout: atMostMs });
      return;
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') continue;
      throw new SallyportError('unsupported', `${name} could not print the report: ${(cause as Error).message}`, {}, { cause });
    }
  }
  throw new SallyportError('unsupported', 'a PDF needs Chromium on this host', {
    next: 'install it, or print report.html from any browser',
  });
}

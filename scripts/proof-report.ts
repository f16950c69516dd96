/**
 * The picture in docs/proof.md: a pair on three hosts, proven by its own commands, the first page of its report as Chromium draws it.
 *
 *   --keep DIR  also copies the report there
 */
import { execFile } from 'node:child_process';
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { mustProbe, ProofStage } from '../test/fixtures/proof-stage.ts';
import { addresses } from '../test/fixtures/three-hosts.ts';

const run = promisify(execFile);
const picture = new URL('../docs/proof-report.png', import.meta.url).pathname;
/** Of the page, in pixels: about what fits on one screen and a half. */
const size = { width: 1120, height: 1500 } as const;

async function made(stage: ProofStage): Promise<string> {
  const { folder } = stage.pair.site;
  const [statement, probe, report] = [join(folder, 'edge1.json'), join(folder, 'probe.json'), join(folder, 'report')];
  const step = async (...args: Parameters<ProofStage['run']>): Promise<void> => {
    const { code, out } = await stage.run(...args);
    if (code !== 0) throw new Error(`${args.slice(2).join(' ')}: exit ${code}\n${out}`);
  };
  const dmz = ['-c', stage.dmz.file] as const;
  const target = ['--inside', mustProbe.host, '--internet', `${addresses.partner}:443`] as const;
  await step('dmz', 'dmz', 'probe', ...dmz, ...target, '--timeout', '500', '--out', probe);
  await step('dmz', 'dmz', 'prove', ...dmz, '--ruleset', stage.rulesFile('dmz'), '--out', statement);
  await step(
    'internal',
    'inside',
    'prove',
    '-c',
    stage.inside.file,
    '--dmz',
    statement,
    '--probe',
    probe,
    '--report',
    report,
    '--pdf',
  );
  return report;
}

const { keep } = parseArgs({ options: { keep: { type: 'string' } } }).values;
await using stage = await ProofStage.make();
const report = await made(stage);
if (keep !== undefined) await cp(report, keep, { recursive: true });
await run('chromium', [
  ...[
    '--headless',
    '--no-sandbox',
    '--disable-gpu',
    '--hide-scrollbars',
    `--user-data-dir=${join(stage.pair.site.folder, 'profile')}`,
  ],
  ...[`--window-size=${size.width},${size.height}`, `--screenshot=${picture}`, `file://${join(report, 'report.html')}`],
]);
await run('pngquant', ['--force', '--ext', '.png', '--speed', '1', '64', picture]);
process.stdout.write(`wrote ${picture}\n`);

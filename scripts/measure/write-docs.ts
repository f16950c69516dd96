/** Writes the figures of a bench run into docs/: the JSON, a chart, and the tables between the marks of performance.md. */
import { readFile, writeFile } from 'node:fs/promises';
import { barChart } from './chart.ts';
import { median, type Results, type Row, ratio } from './results.ts';

const docs = new URL('../../docs/', import.meta.url);
const [begin, end] = ['<!-- figures: written by scripts/bench --docs -->', '<!-- end of figures -->'];

export async function writeDocs(results: Results): Promise<void> {
  await writeFile(new URL('performance.json', docs), `${JSON.stringify(results, undefined, 2)}\n`);
  const transfers = results.rows.filter(({ unit }) => unit === 'MiB/s');
  if (transfers.length > 0) await writeFile(new URL('performance.svg', docs), barChart('One stream, medians', transfers));
  const page = new URL('performance.md', docs);
  const text = await readFile(page, 'utf8');
  const [before, rest] = text.split(begin);
  const after = rest?.split(end)[1];
  if (before === undefined || after === undefined) throw new Error('docs/performance.md has lost its marks');
  await writeFile(page, `${before}${begin}\n\n${figures(results)}\n${end}${after}`);
}

export function figures(results: Results): string {
  const parts = [
    `Run of ${results.at.slice(0, 10)}: ${results.cpu}, Node ${results.node}, medians of ${results.rounds} interleaved rounds.`,
    table(results.rows),
    '![Throughput](performance.svg)',
  ];
  const { latency, idle, memory } = results;
  if (latency)
    parts.push(
      `From the partner's \`put\` returning to the file inside (4 KiB, idle): p50 ${latency.p50Ms} ms, p99 ${latency.p99Ms} ms.`,
    );
  if (idle)
    parts.push(
      `${idle.sessions} idle sessions: ${idle.kibPerSession} KiB each, opened at ${idle.loginsPerSecond} logins a second.`,
    );
  if (memory) {
    const peaks = (['put', 'get'] as const).map(
      (way) => `${way}: DMZ node ${memory[way].dmzPeakMiB} MiB, internal node ${memory[way].internalPeakMiB} MiB`,
    );
    parts.push(`Most resident memory while ${memory.sizeMiB} MiB pass: ${peaks.join('; ')}.`);
  }
  return `${parts.join('\n\n')}\n`;
}

function table(rows: readonly Row[]): string {
  const servers = [...new Set(rows.flatMap(({ runs }) => Object.keys(runs)))];
  const cell = (values: readonly number[] | undefined): string => (values && values.length > 0 ? shown(median(values)) : '–');
  const lines = rows.map((row) => {
    const by = ratio(row);
    return [row.work, row.unit, ...servers.map((server) => cell(row.runs[server])), Number.isFinite(by) ? by.toFixed(2) : '–'];
  });
  const head = ['work', 'unit', ...servers, 'Sallyport / OpenSSH (FTPS: ProFTPD)'];
  return [head, head.map(() => '---'), ...lines].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

const shown = (value: number): string => (value >= 100 ? Math.round(value).toLocaleString('en') : value.toFixed(1));

/** Draws results as an SVG of horizontal bars: one group a row of work, one bar a server. No dependency. */
import { median, type Row } from './results.ts';

const colours: Readonly<Record<string, string>> = {
  Sallyport: '#1f6feb',
  OpenSSH: '#6e7781',
  ProFTPD: '#bf8700',
  rclone: '#8250df',
};
const [width, left, right, barHeight, gap, top] = [760, 250, 90, 16, 14, 34];
const escaped = (text: string): string => text.replace(/&/g, '&amp;').replace(/</g, '&lt;');

export function barChart(title: string, rows: readonly Row[]): string {
  const bars = rows.map((row) => Object.entries(row.runs).filter(([, values]) => values.length > 0));
  const most = Math.max(...bars.flat().map(([, values]) => median(values)));
  const shapes: string[] = [];
  let y = top;
  for (const [index, row] of rows.entries()) {
    const servers = bars[index] ?? [];
    shapes.push(`<text x="${left - 10}" y="${y + 12}" text-anchor="end" font-weight="600">${escaped(row.work)}</text>`);
    for (const [server, values] of servers) {
      const value = median(values);
      const length = Math.max(1, Math.round((value / most) * (width - left - right)));
      const label = `${Math.round(value).toLocaleString('en')} ${row.unit}`;
      shapes.push(
        `<rect x="${left}" y="${y}" width="${length}" height="${barHeight - 2}" fill="${colours[server] ?? '#999'}"><title>${escaped(server)}: ${label}</title></rect>`,
        `<text x="${left + length + 6}" y="${y + 11}">${escaped(server)} ${label}</text>`,
      );
      y += barHeight;
    }
    y += gap;
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width + 90} ${y}" font-family="system-ui, sans-serif" font-size="12" fill="#24292f">
<title>${escaped(title)}</title>
<rect width="100%" height="100%" fill="#ffffff"/>
<text x="10" y="20" font-size="14" font-weight="600">${escaped(title)}</text>
${shapes.join('\n')}
</svg>
`;
}

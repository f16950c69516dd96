/** The data flow of a pair as an SVG, drawn from the doors that the DMZ node has: who opens which connection, and what nobody may open. */
import type { Report } from './document.ts';
import { html } from './markup.ts';

const ink = '#1d2733';
const soft = '#5b6b7b';
const green = '#1a7f4b';
const red = '#b3261e';
const width = 1000;
const partnersRight = 180;
const dmzLeft = 390;
const dmzRight = 610;
const insideLeft = 800;
const rowHeight = 38;
const top = 64;

interface Arrow {
  readonly fromX: number;
  readonly toX: number;
  readonly y: number;
  readonly label: string;
  readonly note?: string;
  /** Nobody may open it. */
  readonly forbidden?: true;
}

const doorNames: Readonly<Record<string, string>> = {
  sftp: 'SFTP',
  ftps: 'FTPS (AUTH TLS)',
  'ftps-implicit': 'FTPS (implicit)',
  'ftps-data': 'FTPS data',
};

export function dataFlow({ inside, dmz, tunnel }: Report): string {
  const doors = dmz?.doors ?? [];
  const partners = doors.filter(({ name }) => name !== 'tunnel');
  const port = doors.find(({ name }) => name === 'tunnel')?.ports ?? '';
  const rows = Math.max(partners.length + 1, 4);
  const height = top + rows * rowHeight + 50;
  const rowY = (row: number): number => top + 34 + row * rowHeight;
  const forbidden = rowY(rows - 1);
  const arrows: Arrow[] = [
    ...partners.map(({ name, ports }, row) => ({
      ...{ fromX: partnersRight, toX: dmzLeft, y: rowY(row) },
      label: `${doorNames[name] ?? name} · tcp ${ports}`,
    })),
    {
      ...{ fromX: insideLeft, toX: dmzRight, y: rowY(0) },
      label: `tunnel · tcp ${port}`,
      note: `TLS 1.3 ${tunnel.keyExchange}`.trim(),
    },
    { fromX: dmzRight, toX: insideLeft, y: forbidden, label: 'nothing, ever', forbidden: true },
    { fromX: dmzLeft, toX: partnersRight, y: forbidden, label: 'nothing', forbidden: true },
  ];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-labelledby="flow-title" font-family="system-ui, 'DejaVu Sans', sans-serif">`,
    `<title id="flow-title">${html(`Data flow: partners connect to ${dmz?.node ?? 'the DMZ node'}, ${inside.node} connects to it from inside, nothing connects inward`)}</title>`,
    `<defs>${marker('ok', green)}${marker('no', red)}</defs>`,
    zone(20, partnersRight, height, '#f3f5f8', 'Partners', 'Internet', ['any SFTP or', 'FTPS program']),
    zone(dmzLeft, dmzRight, height, '#fff6e5', 'DMZ node', dmz?.node ?? 'not known', [
      'sealed caches: age files',
      'no key that opens them',
      'no account, no password',
      'cannot decide',
    ]),
    zone(insideLeft, width - 20, height, '#e9f5ee', 'Internal node', inside.node, [
      'holds all keys',
      'answers every login',
      'decides by your rules',
      'listens nowhere',
    ]),
    ...arrows.map(arrow),
    '</svg>',
  ].join('\n');
}

const marker = (id: string, colour: string): string =>
  `<marker id="${id}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" orient="auto"><path d="M0 0L10 5L0 10z" fill="${colour}"/></marker>`;

function zone(
  left: number,
  right: number,
  height: number,
  fill: string,
  title: string,
  name: string,
  lines: readonly string[],
): string {
  const middle = (left + right) / 2;
  const text = (y: number, size: number, colour: string, weight: number, words: string): string =>
    `<text x="${middle}" y="${y}" font-size="${size}" font-weight="${weight}" fill="${colour}" text-anchor="middle">${html(words)}</text>`;
  return [
    `<rect x="${left}" y="12" width="${right - left}" height="${height - 24}" rx="10" fill="${fill}" stroke="#c3ccd6"/>`,
    text(38, 16, ink, 700, title),
    text(57, 13, soft, 400, name),
    ...lines.map((line, index) => text(98 + index * 22, 13, ink, 400, line)),
  ].join('');
}

function arrow({ fromX, toX, y, label, note, forbidden }: Arrow): string {
  const colour = forbidden ? red : green;
  const [from, to] = fromX < toX ? [fromX + 4, toX - 4] : [fromX - 4, toX + 4];
  const middle = (from + to) / 2;
  const dash = forbidden ? ' stroke-dasharray="6 5"' : '';
  const cross = forbidden
    ? `<text x="${middle}" y="${y + 7}" font-size="20" font-weight="700" fill="${red}" text-anchor="middle">✕</text>`
    : '';
  const below =
    note === undefined
      ? ''
      : `<text x="${middle}" y="${y + 17}" font-size="11" fill="${soft}" text-anchor="middle">${html(note)}</text>`;
  return [
    `<line x1="${from}" y1="${y}" x2="${to}" y2="${y}" stroke="${colour}" stroke-width="2"${dash} marker-end="url(#${forbidden ? 'no' : 'ok'})"/>`,
    `<text x="${middle}" y="${y - 8}" font-size="12.5" fill="${ink}" text-anchor="middle">${html(label)}</text>${below}${cross}`,
  ].join('');
}

/** The little Markdown that the generated pages need. */

/** A table; cells may hold anything. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.map(cell).join(' | ')} |`;
  return [line(head), `| ${head.map(() => '---').join(' | ')} |`, ...rows.map(line)].join('\n');
}

export const code = (text: string): string => `\`${text}\``;

/** Said at the top of every generated page. */
export const generatedFrom = (source: string): string =>
  `<!-- Generated from ${source} by \`npm run docs\`. Do not edit: the next run overwrites it, and the tests compare. -->`;

const cell = (text: string): string => text.replaceAll('\n', ' ').replaceAll('|', '\\|');

/** Text that goes into HTML, SVG or Markdown. Whatever a partner, the DMZ node or a file named is escaped here. */
import { printable } from '../../../shared/log.ts';

const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

/** For the text and the attributes of HTML and SVG. */
export const html = (text: string): string => printable(text, 8192).replace(/[&<>"']/g, (character) => entities[character] ?? '');

/** For a cell of a Markdown table. */
export const cell = (text: string): string =>
  printable(text, 8192)
    .replace(/[\\`*_[\]<>|]/g, (character) => `\\${character}`)
    .replaceAll('\n', ' ');

/** For a cell that is code. */
export const codeCell = (text: string): string => `\`${printable(text, 8192).replaceAll('`', "'").replaceAll('|', '\\|')}\``;

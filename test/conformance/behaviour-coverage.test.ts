/** docs/behaviour-coverage.md: a row that it says is tested somewhere is cited there. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { filesLike } from './sources.ts';

/** `SF-02, SF-03` and `MX-01 to MX-22` as single rows. */
function rowsIn(text: string): string[] {
  return text.split(',').flatMap((part) => {
    const [from = '', to = from] = part.trim().split(' to ');
    const [kind, first, last] = [from.slice(0, 3), Number(from.slice(3)), Number(to.slice(3))];
    return Array.from({ length: last - first + 1 }, (_, n) => `${kind}${String(first + n).padStart(2, '0')}`);
  });
}

/** What stands in the files that the paths and globs between backticks name; of a folder, in all that it holds. */
function textsOf(places: string): string[] {
  return [...places.matchAll(/`([^`]+\/[^`]*)`/g)].flatMap(([, path = '']) => {
    const files = filesLike(path.endsWith('/') ? `${path}**` : path);
    assert.ok(files.length > 0, `${path} is not there`);
    return files.map(({ text }) => text);
  });
}

test('each row of the behaviour table is cited where the page says, or the page says why not', () => {
  const page = filesLike('docs/behaviour-coverage.md')[0]?.text ?? '';
  const lines = [...page.matchAll(/^\| ([A-Z]{2}-\d{2}[^|]*) \| ([^|]*) \| ?(.*)\|$/gm)];
  assert.ok(lines.length > 40, `${lines.length} lines were found`);
  const missing = lines.flatMap(([, rows = '', places = '', remark = '']) => {
    if (/not cited there by row yet/i.test(remark)) return [];
    if (places.trim() === '–') return remark.trim() === '' ? rowsIn(rows) : [];
    const texts = textsOf(places);
    return rowsIn(rows).filter((row) => !texts.some((text) => text.includes(row)));
  });
  assert.deepEqual(missing, []);
});

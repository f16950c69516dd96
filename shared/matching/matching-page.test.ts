/** docs/matching.md holds: each of its examples is run. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { placeholders } from './dates.ts';
import { compileExpression, matcherOf } from './expression.ts';

const page = await readFile(new URL('../../docs/matching.md', import.meta.url), 'utf8');
const blocks = [...page.matchAll(/^```(examples|wrong) ?(\S*)\n([^`][\s\S]*?)^```$/gm)].map(([, kind, at, text]) => ({
  kind,
  atMs: Date.parse(at || '2026-01-01T00:00:00Z'),
  lines: (text ?? '').trimEnd().split('\n'),
}));
const split = (list: string | undefined): readonly string[] => (list ?? '').split(', ').map((word) => word.trim());

test('what the page says that matches does, and what it says that does not does not', () => {
  let examples = 0;
  for (const { atMs, lines } of blocks.filter(({ kind }) => kind === 'examples')) {
    for (const line of lines) {
      const [, expression = '', yes, no] = /^(.+?) {2,}yes: (.+?) {2,}no: (.+)$/.exec(line) ?? [];
      const matches = matcherOf(expression, { timeZone: 'UTC' });
      for (const value of split(yes)) assert.ok(matches(value, atMs), `${line}: ${value}`);
      for (const value of split(no)) assert.ok(!matches(value, atMs), `${line}: ${value}`);
      examples += 1;
    }
  }
  assert.ok(examples >= 20, `${examples} examples`);
});

test('what the page says that is refused is, with these words', () => {
  const lines = blocks.filter(({ kind }) => kind === 'wrong').flatMap((block) => block.lines);
  assert.ok(lines.length >= 4);
  for (const line of lines) {
    const [, expression = '', words = ''] = /^(.+?) {2,}(.+)$/.exec(line) ?? [];
    assert.throws(
      () => compileExpression(expression),
      (error) => error instanceof Error && error.message.startsWith(words),
      line,
    );
  }
});

test('every placeholder is on the page', () => {
  for (const name of Object.keys(placeholders)) assert.ok(page.includes(`\`{${name}}\``), name);
});

/** Schemas come out readable, with every limit, and never silently wrong. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { shapeOf, type Vocabulary } from './schema-shape.ts';

const inner = z.strictObject({ at: z.int().min(0).max(Number.MAX_SAFE_INTEGER) });
const vocabulary: Vocabulary = { patterns: { '^[a-z]+$': 'word' }, schemas: [['Inner', inner]] };

test('shows members, limits, alternatives and references', () => {
  const schema = z.strictObject({
    name: z
      .string()
      .max(8)
      .regex(/^[a-z]+$/),
    note: z.string().min(1).max(9).optional(),
    kind: z.enum(['a', 'b']),
    digest: z
      .string()
      .regex(/^[a-z]+$/)
      .nullable(),
    parts: z.array(inner).min(1).max(3),
    level: z.int().min(1).max(5),
    nothing: z.strictObject({}),
  });
  const expected = `{
  name: word ≤ 8
  note?: text 1…9
  kind: 'a' | 'b'
  digest: word | null
  parts: [Inner] 1…3
  level: whole number 1…5
  nothing: {}
}`;
  assert.equal(shapeOf(schema, vocabulary), expected);
});

test('writes a named schema itself out in full', () => {
  assert.equal(shapeOf(inner, vocabulary), '{ at: count }');
});

test('refuses what it cannot show', () => {
  assert.throws(
    () => shapeOf(z.strictObject({ x: z.tuple([z.string()]).or(z.intersection(z.string(), z.number())) }), vocabulary),
    Error,
  );
});

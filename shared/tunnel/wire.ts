/**
 * Text messages of the tunnel as bytes on the wire: JSON in one canonical form. A text that does not come out the same when
 * it is parsed and written again is a violation, which disposes of duplicate keys, odd numbers, stray white space and numbers
 * that a double cannot hold. Depth is limited before anything is parsed, dangerous keys and broken Unicode are refused.
 */
import type { z } from 'zod';
import { SallyportError } from '../errors.ts';
import { printable } from '../log.ts';

const maxDepth = 24;
const forbiddenKeys = new Set(['__proto__', 'constructor', 'prototype']);

export const violation = (detail: string): SallyportError => new SallyportError('protocol-violation', detail);

/** @throws SallyportError `protocol-violation` whose detail holds no value of the text. */
export function decodeText(text: string): unknown {
  if (isTooDeep(text)) throw violation(`JSON deeper than ${maxDepth}`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw violation('not JSON');
  }
  if (JSON.stringify(value) !== text) throw violation('JSON not in canonical form');
  checkParts(value);
  return value;
}

export const encodeText = (message: object): string => JSON.stringify(message);

/** Brackets outside of strings. Parsing and walking may recurse afterwards. */
function isTooDeep(text: string): boolean {
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 0x22) at = endOfString(text, at);
    else if (code === 0x7b || code === 0x5b) {
      depth += 1;
      if (depth > maxDepth) return true;
    } else if (code === 0x7d || code === 0x5d) depth -= 1;
  }
  return false;
}

/** @param start Index of the opening quote. @returns that of the closing one, or the end of a broken text. */
function endOfString(text: string, start: number): number {
  for (let from = start + 1; ; ) {
    const end = text.indexOf('"', from);
    if (end < 0) return text.length;
    let escapes = 0;
    while (text.charCodeAt(end - 1 - escapes) === 0x5c) escapes += 1;
    if (escapes % 2 === 0) return end;
    from = end + 1;
  }
}

function checkParts(value: unknown): void {
  if (typeof value === 'string') {
    if (!value.isWellFormed()) throw violation('a lone surrogate');
  } else if (Array.isArray(value)) {
    for (const part of value) checkParts(part);
  } else if (typeof value === 'object' && value !== null) {
    for (const [key, part] of Object.entries(value)) {
      if (forbiddenKeys.has(key) || !key.isWellFormed()) throw violation('a forbidden key');
      checkParts(part);
    }
  }
}

/** Parses by a schema. @throws SallyportError `protocol-violation` that names the place, never the value. */
export function parseBy<T extends z.ZodType>(schema: T, value: unknown, what: string): z.infer<T> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const place = issue && issue.path.length > 0 ? ` at ${issue.path.map(String).join('.')}` : '';
  throw violation(printable(`${what} does not fit its schema${place} (${issue?.code ?? 'invalid'})`));
}

/**
 * Random expressions against random values: globs must agree with a plain translation, regular expressions with the engine
 * that compiled them, and neither may take long. The suite plays a sample, `scripts/fuzz matching` a hundred thousand cases.
 */
import fc from 'fast-check';
import { RE2JS } from 're2js';
import { SallyportError } from '../../shared/errors.ts';
import { compileExpression, type Expression } from '../../shared/matching/expression.ts';
import { Subject } from '../../shared/matching/subject.ts';

const units = (alphabet: string, size: { readonly minLength?: number; readonly maxLength: number }) =>
  fc.string({ unit: fc.constantFrom(...alphabet), ...size });

const globs = units('*?aAbZ.-/![]| é{+', { minLength: 1, maxLength: 9 });
const values = units('aAbBzZ.-/!| éÉ\n[]{+', { maxLength: 9 });

const regexPiece = fc.constantFrom(
  ...['a', 'b', 'A', '.', '\\.', '[ab]', '[^a]', '[A-C]', '\\d', '\\w', '\\W', '\\s', '\\pL', 'é', '-', '/', '0'],
  ...['^', '$', '\\b', '\\B', '\\A', '\\z', '(?:a|b)', '(ab|a)', '(?:)', '|', '(?i:a)', '(?m:^)', '(?m:$)', '(?s:.)', '(?:a*b)*'],
);
const regexes = fc
  .array(fc.tuple(regexPiece, fc.constantFrom('', '', '', '*', '+', '?', '{2}', '{0,3}', '*?')), { minLength: 1, maxLength: 6 })
  .map((pieces) =>
    pieces.map(([piece, repeat]) => (/^([\^$|]|\\[bBAz]|\(\?m:.\))$/.test(piece) ? piece : piece + repeat)).join(''),
  );
const regexValues = units('aAbBCc.09-/ éÉ\n_', { maxLength: 10 });

/** Expressions and values that made other engines run for seconds or for ever. */
export const killers: readonly string[] = [
  ...['*_*_*_*.csv', '*-*-*-*-*.txt', '*a*a*a*a*a*a*a*a*a*b', '+(ab|abab)', `${'*a'.repeat(255)}b`, `*${'a'.repeat(500)}b*`],
  ...[`*${'?'.repeat(510)}b`, '*?'.repeat(250), Array(128).fill('*a').join('|'), '*[!a]*[a-y]*[!b]*z', `${'[!b]*'.repeat(100)}z`],
  ...['m/(a+)+$/', 'm/(a|aa)+$/', 'm/(a|a?)+b$/', 'm/(.*)(.*)(.*)(.*)(.*)x$/', 'm/(x+x+)+y/', 'm/^(([a-z])+.)+[A-Z]([a-z])+$/'],
  ...['m/(.*a){20}/', 'm/(^|.)a.{55}b$/', 'm/(a|b)*a(a|b){30}$/', 'm/(a?){60}$b/', 'm/(\\w?\\b){40}\\z/', 'm/((.?){8}){7}Z/'],
  ...[
    'm/^(a|b|ab)*c$/i',
    'm/([a-zA-Z0-9])(([\\-.]|[_]+)?([a-zA-Z0-9]+))*(@){1}$/',
    'm/(\\d+[a-z]*)+!/i',
    'm/(?:a|\\pL|b+)+\\d$/',
  ],
  ...[
    'e/^(.?a)+$/',
    'e/(\\s*\\w+)*\\z#/',
    'm/^([01]?\\d\\d?|2[0-4]\\d)(\\.([01]?\\d\\d?|2[0-4]\\d)){3}#$/',
    'm/<([a-z]+)[^>]*>.*#/i',
  ],
  ...['t/*{year.decimal}*a*a*a*b/', 'p/**/a*a*a*a*a*b/', 'p/**/*/**/*/**/x/', 'g/! *a*a*a*a*b | *_*_*_*c/'],
];
const killerPieces = ['a', 'ab', '_', '-', '0', 'aA1_', 'a/', '. ', 'é', '\u4e00', 'a\n', '!'];
export const longValues: readonly string[] = killerPieces.map((piece) => piece.repeat(4096).slice(0, 4096));

/** The grammar of globs as a translation to a backtracking engine; undefined for what is no glob. */
export function translated(glob: string): ((value: string) => boolean) | undefined {
  const negated = glob.startsWith('!');
  const pieces = negated ? glob.slice(1) : glob;
  const alternatives: string[][] = [[]];
  for (let at = 0; at < pieces.length; at += 1) {
    const character = pieces[at] ?? '';
    if (character === '|') alternatives.push([]);
    else if (character !== '[') alternatives.at(-1)?.push(character);
    else {
      const found = /^\[(?:(!)|(?!!))([\s\S][^\]]*)\]/.exec(pieces.slice(at));
      const members = found && membersOf(found[2] ?? '');
      if (!found || !members) return undefined;
      alternatives.at(-1)?.push(`[${found[1] === undefined ? '' : '^'}${members}]`);
      at += found[0].length - 1;
    }
  }
  const sources = alternatives.map((all) => {
    const first = all.findIndex((piece) => piece !== ' ');
    const last = all.findLastIndex((piece) => piece !== ' ');
    return first < 0
      ? undefined
      : all
          .slice(first, last + 1)
          .map(pieceSource)
          .join('');
  });
  if (sources.includes(undefined)) return undefined;
  const regex = new RegExp(`^(?:${sources.join('|')})$`, 'isu');
  return (value) => regex.test(value) !== negated;
}

const pieceSource = (piece: string): string => {
  if (piece.length > 1) return piece;
  if (piece === '*') return '.*';
  return piece === '?' ? '.' : piece.replace(/[.^$+(){}[\]\\|/]/g, '\\$&');
};

function membersOf(text: string): string | undefined {
  const escaped = (character: string): string => character.replace(/[\\\]^[-]/g, '\\$&');
  let members = '';
  for (let at = 0; at < text.length; at += 1) {
    const low = text[at] ?? '';
    if (text[at + 1] !== '-' || at + 2 >= text.length) {
      members += escaped(low);
      continue;
    }
    const high = text[at + 2] ?? '';
    if (low > high) return undefined;
    members += `${escaped(low)}-${escaped(high)}`;
    at += 2;
  }
  return members;
}

function compiled(text: string): Expression | undefined {
  try {
    return compileExpression(text);
  } catch (error) {
    if (error instanceof SallyportError && error.code === 'config-invalid') return undefined;
    throw error;
  }
}

const shown = (...parts: readonly unknown[]): string => parts.map((part) => JSON.stringify(part)).join(' ');

/** @returns how many cases there were a verdict on, and what disagreed. */
export function compareGlobs(seed: number, count: number): { readonly compared: number; readonly faults: readonly string[] } {
  const faults: string[] = [];
  let compared = 0;
  for (const [glob, value] of fc.sample(fc.tuple(globs, values), { seed, numRuns: count })) {
    const expected = translated(glob);
    const expression = compiled(`g/${glob}/`);
    if ((expected === undefined) !== (expression === undefined)) faults.push(`valid or not: ${shown(glob)}`);
    if (!expected || !expression) continue;
    compared += 1;
    if (expression.test(new Subject(value), 0) !== expected(value)) faults.push(shown(glob, value, expected(value)));
  }
  return { compared, faults };
}

/** The same for regular expressions. */
export function compareRegexes(seed: number, count: number): { readonly compared: number; readonly faults: readonly string[] } {
  const faults: string[] = [];
  let compared = 0;
  for (const [text, value, flag] of fc.sample(fc.tuple(regexes, regexValues, fc.constantFrom('', 'i')), {
    seed,
    numRuns: count,
  })) {
    const expression = compiled(`m/${text}/${flag}`);
    if (!expression) continue;
    compared += 1;
    const expected = RE2JS.compile(text, flag === 'i' ? RE2JS.CASE_INSENSITIVE : 0).test(value);
    if (expression.test(new Subject(value), 0) !== expected) faults.push(shown(text, flag, value, expected));
  }
  return { compared, faults };
}

/** Milliseconds of the slowest pair of an expression and a value of 4096 characters: for each the best of a few attempts. */
export function slowestPair(
  expressions: readonly string[],
  attempts: number,
): { readonly milliseconds: number; readonly pair: string } {
  let slowest = { milliseconds: 0, pair: '' };
  for (const text of expressions) {
    const expression = compileExpression(text);
    for (const value of longValues) {
      let best = Number.POSITIVE_INFINITY;
      for (let attempt = 0; attempt < attempts; attempt += 1) {
        const begin = performance.now();
        expression.test(new Subject(value), 0);
        best = Math.min(best, performance.now() - begin);
      }
      if (best > slowest.milliseconds) slowest = { milliseconds: best, pair: shown(text, value.slice(0, 8)) };
    }
  }
  return slowest;
}

/** Long random expressions of those kinds that compile. */
export function randomExpressions(seed: number, count: number): readonly string[] {
  const long = fc.oneof(
    units('**??ab_-[!]|', { minLength: 100, maxLength: 500 }).map((text) => `g/${text}/`),
    fc.array(regexes, { minLength: 3, maxLength: 12 }).map((all) => `m/${all.join('')}/i`),
  );
  return fc.sample(long, { seed, numRuns: count }).filter((text) => compiled(text) !== undefined);
}

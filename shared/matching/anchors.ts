/**
 * How the values that an expression takes must begin and end, as far as its text shows it plainly. For the index of rules:
 * what is told must be certain, and what is not told costs only time.
 */
import { foldedPoint } from './case-table.ts';
import { splitExpression } from './expression.ts';

/** Folded as values are (subject.ts); empty: nothing is known of that end. */
export interface Anchors {
  readonly begin: string;
  readonly end: string;
  /** Nothing but `begin` is taken. */
  readonly isWhole: boolean;
}

/** The text as it is compared when case does not count. */
export const foldedText = (text: string): string =>
  Array.from(text, (character) => String.fromCodePoint(foldedPoint(character.codePointAt(0) ?? 0))).join('');

/**
 * @param text An expression that compiles.
 * @returns for each alternative what is known: a value that fits has the begin and the end of one of them.
 */
export function anchorsOf(text: string): readonly Anchors[] {
  const { letter, body } = splitExpression(text.normalize('NFC'));
  switch (letter) {
    case undefined:
    case 'g':
      return ofGlob(body);
    case 't':
      // A placeholder is any text here; one that stands in a set would not be.
      return body.includes('[') ? unknown : ofGlob(body.replace(/\{[^{}]*\}/g, '*'));
    case 'm':
      return [ofRegex(body)];
    case 'e':
    case 'p':
      return unknown;
  }
}

const unknown: readonly Anchors[] = [{ begin: '', end: '', isWhole: false }];

function ofGlob(body: string): readonly Anchors[] {
  if (body.startsWith('!')) return unknown;
  // A set may hold a separator of alternatives.
  const plain = body.replace(/\[!?.[^\]]*\]/gsu, '?');
  return plain.split('|').map((written) => {
    const alternative = written.trim();
    const begin = /^[^*?]*/.exec(alternative)?.[0] ?? '';
    const end = /[^*?]*$/.exec(alternative)?.[0] ?? '';
    return { begin: foldedText(begin), end: foldedText(end), isWhole: begin === alternative };
  });
}

/** Of a regular expression only ASCII counts: other characters have more cases than two. */
const isPlain = (character: string): boolean => /^[\w /,;:!"%&'=<>~#@-]$/.test(character);

/** `^begin…end$`, where no alternative is at the top. */
function ofRegex(body: string): Anchors {
  const nothing = { begin: '', end: '', isWhole: false };
  let begin: string | undefined = body.startsWith('^') ? '' : undefined;
  let run = '';
  let known = '';
  const stop = (): void => {
    if (begin === '' && known === '') known = run;
    begin = undefined;
    run = '';
  };
  let depth = 0;
  for (let at = body.startsWith('^') ? 1 : 0; at < body.length; at += 1) {
    const character = body[at] ?? '';
    if (character === '\\') {
      at += 1;
      const escaped = body[at] ?? '';
      // Letters and digits behind a backslash mean something; some take more characters with them.
      if (/[QEpPxC0-7]/.test(escaped)) return nothing;
      if (/[A-Za-z89]/.test(escaped) || depth > 0) stop();
      else run += escaped;
    } else if (character === '[') {
      const close = endOfSet(body, at);
      if (close === undefined) return nothing;
      at = close;
      stop();
    } else if (character === '(') {
      if (body[at + 1] === '?') return nothing;
      depth += 1;
      stop();
    } else if (character === ')') {
      depth -= 1;
      stop();
    } else if (character === '|') {
      if (depth === 0) return nothing;
      stop();
    } else if ('*?{+'.includes(character)) {
      const repeat = character === '{' ? /^\{\d+(,\d*)?\}/.exec(body.slice(at))?.[0] : character;
      if (repeat === undefined) return nothing;
      run = run.slice(0, -1);
      stop();
      at += repeat.length - 1;
    } else if (character === '$' && at === body.length - 1 && depth === 0) {
      const end = foldedText(run);
      stop();
      return { begin: foldedText(known), end, isWhole: false };
    } else if (isPlain(character) && depth === 0) run += character;
    else stop();
  }
  stop();
  return { begin: foldedText(known), end: '', isWhole: false };
}

/** The index of the bracket that closes a set; undefined where that is not plain. */
function endOfSet(body: string, open: number): number | undefined {
  const first = open + (body[open + 1] === '^' ? 2 : 1);
  for (let at = first; at < body.length; at += 1) {
    if (body[at] === '\\') at += 1;
    else if (body[at] === '[') return undefined;
    else if (body[at] === ']' && at > first) return at;
  }
  return undefined;
}

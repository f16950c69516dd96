/**
 * Globs with the meaning of paths, `p/…/`, for trusted configuration: `*` and `?` stay within one component, a component
 * `**` is any number of components, `{a,b}` is one or the other (`micromatch` writes these out). They mean what micromatch
 * means with `dot` and without `extglob` (and `[!a]` is everything but an a, as in the other globs), but its regular expressions can be made to run for minutes by a value: these are
 * run by `regex.ts`.
 */
import micromatch from 'micromatch';
import { expressionFault } from './fault.ts';
import { compileRegex, type Regex } from './regex.ts';

/** Most globs that the braces of one may stand for. */
const maxWrittenOut = 16;
const maxBraces = 4;

/** @throws SallyportError `config-invalid` with the column (from 1) and what to write instead. */
export function compilePathGlob(text: string): Regex {
  // What stands in brackets is literal.
  const fault = /[!()|+@\\]/.exec(text.replace(/\[[^\]]+\]/g, (set) => ' '.repeat(set.length)));
  if (fault) {
    throw expressionFault(
      fault.index + 1,
      `${fault[0]} has no meaning in p/…/; write [${fault[0]}] for a literal one, or use g/…/`,
    );
  }
  if (text === '') throw expressionFault(1, 'the glob is empty; write `**` for anything');
  const braces = text.split('{').length - 1;
  if (braces > maxBraces || /\.\./.test(text)) throw expressionFault(1, `at most ${maxBraces} braces, without ranges`);
  const all = braces === 0 ? [text] : micromatch.braces(text, { expand: true });
  if (all.length > maxWrittenOut) throw expressionFault(1, `the braces stand for ${all.length} globs, at most ${maxWrittenOut}`);
  return compileRegex(`^(?s:${all.map(pathExpression).join('|')})$`, { ignoreCase: false });
}

/** One glob without braces in RE2 syntax. */
function pathExpression(glob: string): string {
  const components = glob.split('/');
  const expression = components
    .map((component, index) => {
      const last = index === components.length - 1;
      if (component === '**') return last ? '.*' : '(?:[^/]+/)*';
      return `${componentExpression(component)}${last ? '' : '/'}`;
    })
    .join('');
  // `a/**` is also `a` itself, but micromatch does not take `a*/**` for `a`.
  const before = components.at(-2) ?? '*';
  return components.at(-1) === '**' && !/(^|[^*])\*$/.test(before) ? expression.replace(/\/\.\*$/, '(?:/.*)?') : expression;
}

function componentExpression(component: string): string {
  const only = component === '*';
  return component.replace(/\[(!|\^)?([^\]]+)\]|\*+|\?|[.^$+(){}[\]\\|]/g, (piece, not: string | undefined, members: string) => {
    if (members !== undefined) return `[${not === undefined ? '' : '^/'}${members.replace(/[\\[\]^]/g, '\\$&')}]`;
    if (piece.startsWith('*')) return only ? '[^/]+' : '[^/]*';
    return piece === '?' ? '[^/]' : `\\${piece}`;
  });
}

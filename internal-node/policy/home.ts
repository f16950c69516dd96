/**
 * Where what a partner sends lands inside: the folder below a destination, when the rule names no path of its own, and the
 * name of the file in it. Partners see none of it.
 *
 * `${USER}` in a home is the name of the partner; a home without it gets the name at its end, so that two partners of a group
 * do not meet by mistake. Whoever wants them to meet begins the home with `${SHARED}`.
 */
import { SallyportError } from '../../shared/errors.ts';
import { deliveryComponents } from '../../shared/paths/delivery-name.ts';

const placeholder = (name: string): string => `\${${name}}`;
const user = placeholder('USER');
const shared = placeholder('SHARED');

/** A home that gets no name at its end. */
export const exactHome = (path: string): string => `${shared}/${path}`;

/** @throws SallyportError `config-invalid`, `bad-name` */
export function checkHome(text: string): void {
  const rest = text.startsWith(shared) ? text.slice(shared.length) : text;
  if (rest.replaceAll(user, '').includes('${')) {
    throw new SallyportError('config-invalid', `only ${user} and, at its beginning, ${shared} stand for something`);
  }
  if (text.includes('\\') || text.startsWith('/')) {
    throw new SallyportError('config-invalid', 'a home is below the folder of a destination: team/box, without a leading slash');
  }
  homeOf('u'.repeat(63), text);
}

/** The folders of one partner, harmless on every disk. @throws SallyportError `config-invalid`, `bad-name` */
export function homeOf(name: string, text: string = user): readonly string[] {
  const isShared = text === shared || text.startsWith(`${shared}/`);
  const rest = isShared ? text.slice(shared.length + 1) : text;
  const named = isShared || rest.includes(user) ? rest : `${rest.replace(/\/$/, '')}/${user}`;
  const path = named.replaceAll(user, () => name).replace(/\/$/, '');
  if (path === '') return [];
  const parts = path.split('/');
  if (parts.some((part) => part === '' || part === '.' || part === '..')) {
    throw new SallyportError('config-invalid', 'the home holds an empty folder, "." or ".."');
  }
  return deliveryComponents(path);
}

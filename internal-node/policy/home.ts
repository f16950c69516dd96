/**
 * Where what a partner sends lands inside: the folder below a destination, when the rule names no path of its own, and the
 * name of the file in it. Partners see none of it.
 *
 * `${USER}` in a home is the name of the partner; a home without it gets the name at its end, so that two partners of a group
 * do not meet by mistake. Whoever wants them to meet begins the home with `${SHARED}`.
 */
import { SallyportError } from '../../shared/errors.ts';
import { deliveryComponents } from '../../shared/paths/delivery-name.ts';
import type { InsideDecision } from '../../shared/policy.ts';

export interface PlaceInside {
  /** Folders below a destination; a partner without settings has his name. */
  readonly home: readonly string[];
  readonly amendName: 'no' | 'id-prefix';
}

/* biome-ignore-start lint/suspicious/noTemplateCurlyInString: written so in the configuration */
const user = '${USER}';
const shared = '${SHARED}';
/* biome-ignore-end lint/suspicious/noTemplateCurlyInString: written so in the configuration */

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

/**
 * The decision with the path below the destination that the account gives it; what a rule's `as` says stays.
 * @param facts `below` the Inbox, as the partner named it; the `item`, whose id is the prefix.
 */
export function placed(
  decision: InsideDecision,
  { home, amendName }: PlaceInside,
  facts: { readonly partner: string; readonly below: string; readonly item: string },
): InsideDecision {
  const isUsual = amendName === 'no' && home.length === 1 && home[0] === facts.partner;
  if (decision.route.action !== 'deliver' || (amendName === 'no' && (isUsual || decision.as !== undefined))) return decision;
  try {
    const parts = decision.as?.split('/') ?? [...home, ...deliveryComponents(facts.below)];
    const name = amendName === 'no' ? parts.at(-1) : `${facts.item}-${parts.at(-1)}`;
    return { ...decision, as: deliveryComponents([...parts.slice(0, -1), name].join('/')).join('/') };
  } catch (error) {
    if (!(error instanceof SallyportError)) throw error;
    // Too long or too deep: it waits for staff, as with a path that a rule makes.
    return { ...decision, route: { action: 'hold' } };
  }
}

/** Messages that a strict reader refuses and a careless one reads in two ways. */
import type { DoubleItem } from './sealed-item.ts';

/** A presented item whose partner is named twice. */
export function oddDescription({ description }: DoubleItem, number: number, id: number): string {
  const text = JSON.stringify({ k: 'req', id, m: 'item.ready', p: description, n: number });
  return text.replace('"partner":', '"partner":"somebody-else","partner":');
}

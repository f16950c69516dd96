/** How staff name files: `acme/Inbox/2026/a.csv`. */
import { SallyportError } from '../../shared/errors.ts';
import { partnerName } from '../../shared/policy.ts';

export type Box = 'Inbox' | 'Outbox';

export interface PartnerPath {
  readonly partner: string;
  readonly box?: Box | undefined;
  /** Below the box; empty for the box itself. A slash at the end is kept: it says "a folder". */
  readonly below: string;
}

const boxes: readonly Box[] = ['Inbox', 'Outbox'];

/** @throws SallyportError `usage`. */
export function parsePartnerPath(text: string): PartnerPath {
  const [partner = '', boxText, ...rest] = text.replace(/^\/+/, '').split('/');
  if (!partnerName.safeParse(partner).success) {
    throw new SallyportError('usage', `"${text}" does not begin with the name of a partner, like acme/Inbox/file.csv`);
  }
  if (boxText === undefined || boxText === '') return { partner, below: '' };
  const box = boxes.find((name) => name.toLowerCase() === boxText.toLowerCase());
  if (!box) throw new SallyportError('usage', `"${boxText}" is no folder of ${partner}; there are Inbox and Outbox`);
  return { partner, box, below: rest.join('/').replace(/\/+/g, '/') };
}

/** Three transfers that ended well, each traced through both nodes: what an auditor picks at random, picked beforehand. */
import type { AdminClient } from '../../../shared/admin/client.ts';
import { type EventName, eventCatalogue } from '../../../shared/events/catalogue.ts';
import type { TracedTransfer } from './document.ts';

/** The parts of what the admin socket answers that are used here. */
interface Listed {
  readonly item: string;
  readonly partner: string;
  readonly path: string;
  readonly size: number;
  readonly box: 'Inbox' | 'Outbox';
  readonly state: string;
}
interface Traced {
  readonly atMs: number;
  readonly node: string;
  readonly id: string;
  readonly name: EventName;
  readonly item?: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

const wanted = 3;
const ended: ReadonlySet<string> = new Set(['delivered', 'pulled', 'downloaded', 'removed']);
const mostSteps = 60;

/** Of both directions where there are any. @throws SallyportError when the node cannot be asked. */
export async function sampleTransfers(node: AdminClient): Promise<TracedTransfer[]> {
  const { items } = await node.get<{ items: readonly Listed[] }>(['v1', 'items'], { limit: '500' });
  const good = items.filter(({ state }) => ended.has(state));
  const inward = good.filter(({ box }) => box === 'Inbox');
  const outward = good.filter(({ box }) => box === 'Outbox');
  const [first, ...more] = inward;
  const chosen = [...(first ? [first] : []), ...outward.slice(0, 1), ...more, ...outward.slice(1)].slice(0, wanted);
  return Promise.all(chosen.map((item) => traced(item, node)));
}

async function traced({ item, partner, path, size, state }: Listed, node: AdminClient): Promise<TracedTransfer> {
  const { events } = await node.get<{ events: readonly Traced[] }>(['v1', 'trace'], { ref: item });
  const sha256 = events.map(({ fields }) => fields.sha256).find((value) => typeof value === 'string' && value !== '');
  return {
    ...{ item, partner, path, size, sha256: typeof sha256 === 'string' ? sha256 : '' },
    end: state,
    steps: events.slice(0, mostSteps).map(({ atMs, node: at, id, name }) => ({
      at: new Date(atMs).toISOString().replace('T', ' ').slice(0, 23),
      node: at,
      event: id,
      says: eventCatalogue[name].meaning,
    })),
  };
}

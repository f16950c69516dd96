/** Finds items for staff: lists of what partners sent and were offered, and what an id, its beginning or a path names. */
import type { Records } from '../shared/durable/database.ts';
import { SallyportError } from '../shared/errors.ts';
import { isId } from '../shared/ids.ts';
import type { ListArgs, ListedItem, Listing } from './admin/api.ts';
import type { AuditOperations } from './audit/audit-operations.ts';
import type { LedgerOperations } from './inbound/ledger-operations.ts';
import type { ItemRef, StaffDesk, StaffRow } from './inbound/staff-desk.ts';
import type { OutgoingItem } from './outbound/outgoing-item.ts';
import type { Sender } from './outbound/sender.ts';

export interface ItemSearchDeps {
  readonly staff: Pick<StaffDesk, 'list'>;
  readonly sender: Pick<Sender, 'list'>;
  readonly ledger: Records<LedgerOperations>;
  readonly audit: Records<AuditOperations>;
}

const partnerPath = /^\/?([^/]+)(\/(Inbox|Outbox)\/.+)$/;

export class ItemSearch {
  readonly #deps: ItemSearchDeps;

  constructor(deps: ItemSearchDeps) {
    this.#deps = deps;
  }

  /** The newest first. */
  async list({ partner, box, folder, onlyNew, limit }: ListArgs): Promise<Listing> {
    const inbox = box === 'Outbox' ? [] : await this.#inbox({ partner, folder, onlyNew, limit });
    const outbox = box === 'Inbox' ? [] : await this.#outbox({ partner, folder, onlyNew, limit });
    const items = [...inbox, ...outbox].sort((a, b) => b.atMs - a.atMs);
    return { items: items.slice(0, limit), more: items.length > limit };
  }

  /**
   * What `sallyport pull` and its like name: PARTNER/Inbox/PATH, an id, or the beginning of one.
   * @throws SallyportError `usage` or `no-such-file`, with what to write instead.
   */
  async itemRef(ref: string): Promise<ItemRef> {
    const named = partnerPath.exec(ref);
    if (named?.[3] === 'Outbox') throw new SallyportError('usage', 'only what partners sent can be pulled: PARTNER/Inbox/PATH');
    if (named) return { partner: named[1] ?? '', path: named[2] ?? '' };
    const id = isId(ref) ? ref : await this.#resolve(ref);
    return { item: id };
  }

  /** The item or trace that a reference names. */
  async traceId(ref: string): Promise<string> {
    const named = partnerPath.exec(ref);
    if (!named) return isId(ref) ? ref : await this.#resolve(ref);
    const [, partner = '', path = '', box] = named;
    const item = box === 'Inbox' ? await this.#sent(partner, path) : await this.#offered(partner, path);
    if (item !== undefined) return item;
    throw new SallyportError('no-such-file', `nothing is known of ${ref}; \`sallyport ls ${partner}\` shows what is`);
  }

  async #inbox({ partner, folder, onlyNew, limit }: Omit<ListArgs, 'box'>): Promise<ListedItem[]> {
    const { rows } = await this.#deps.staff.list({
      partner,
      folder: folder ? `/Inbox/${folder}` : undefined,
      onlyWaiting: onlyNew,
      limit: limit + 1,
    });
    return rows.map((row) => ({
      item: row.item,
      trace: row.trace,
      partner: row.partner,
      box: 'Inbox',
      path: row.path,
      size: row.size,
      atMs: row.arrivedAtMs,
      state: stateOf(row),
      ...(row.duplicateOf === null ? {} : { duplicateOf: row.duplicateOf }),
    }));
  }

  async #outbox({ partner, folder, onlyNew, limit }: Omit<ListArgs, 'box'>): Promise<ListedItem[]> {
    const items = await this.#deps.sender.list({ partner, onlyWaiting: onlyNew, before: undefined, limit: limit + 1 });
    const below = folder ? `/Outbox/${folder}/` : '/Outbox/';
    return items
      .filter((item) => item.path.startsWith(below))
      .map((item) => ({
        item: item.id,
        trace: item.trace,
        partner: item.partner,
        box: 'Outbox',
        path: item.path,
        size: item.size,
        atMs: item.storedAtMs ?? item.createdAtMs,
        state: offeredState(item),
      }));
  }

  async #sent(partner: string, path: string): Promise<string | undefined> {
    return (await this.#deps.ledger.call('ledger.named', { partner, path }))?.item.id;
  }

  async #offered(partner: string, path: string): Promise<string | undefined> {
    const offered = await this.#deps.sender.list({ partner, onlyWaiting: false, before: undefined, limit: 1000 });
    const found = offered.find((item) => item.path === path);
    // What another partner sent lies in this Outbox under the name the DMZ gave it; the download or release names it.
    return found?.id ?? (await this.#deps.audit.call('audit.seenAs', { partner, path }));
  }

  async #resolve(prefix: string): Promise<string> {
    if (!/^[a-z2-7]{4,26}$/.test(prefix)) {
      throw new SallyportError(
        'usage',
        `"${prefix}" is no item, trace or path: give at least four characters of an id, or PARTNER/Inbox/NAME`,
      );
    }
    const [first, second] = await this.#deps.audit.call('audit.resolve', { prefix });
    if (first === undefined) throw new SallyportError('no-such-file', `no item or trace begins with ${prefix}`);
    if (second !== undefined) throw new SallyportError('usage', `several items or traces begin with ${prefix}: give more of it`);
    return first;
  }
}

const waitingStates: Readonly<Record<string, string>> = { hold: 'held', unrouted: 'unrouted', deliver: 'ready' };

/** In the words of the catalogue. */
function stateOf(row: StaffRow): string {
  if (row.state === 'registered') return row.reason === null ? (waitingStates[row.action] ?? 'ready') : 'held';
  if (row.state === 'pulling' || row.state === 'staged') return 'leased';
  return row.state === 'moved' ? 'offered' : row.state;
}

function offeredState({ state, fetchedAtMs }: OutgoingItem): string {
  if (fetchedAtMs !== null) return 'downloaded';
  return state === 'stored' ? 'offered' : state;
}

/** Making and withdrawing invitations, with what the audit trail has to know of it. */
import type { Clock } from '../shared/clock.ts';
import type { EventSink } from '../shared/durable/database.ts';
import { SallyportError } from '../shared/errors.ts';
import { event } from '../shared/events/event.ts';
import { printable } from '../shared/log.ts';
import type { OwnIdentity } from '../shared/pki/node-identity.ts';
import type { DmzInvitation, DmzInvitations } from './admin/api.ts';
import type { Invitations } from './tunnel/invitations.ts';

export interface InvitationDeskDeps {
  readonly invitations: Invitations;
  readonly identity: Pick<OwnIdentity, 'keys'>;
  readonly events: EventSink;
  readonly clock: Clock;
}

export class InvitationDesk {
  readonly #deps: InvitationDeskDeps;
  readonly #typed: string | undefined;

  /** @param options.typed The internal node that the configuration names, if it does. */
  constructor(deps: InvitationDeskDeps, options: { readonly typed: string | undefined }) {
    this.#deps = deps;
    this.#typed = options.typed;
  }

  open(): DmzInvitations {
    return { invitations: this.#deps.invitations.open() };
  }

  async make(ttlMs: number, label: string): Promise<DmzInvitation> {
    const { invitations, identity, events, clock } = this.#deps;
    if (this.#typed !== undefined) {
      throw new SallyportError('already-exists', `the configuration admits ${this.#typed} and nobody else`, {
        next: 'to invite another internal node, take `internal` out of dmz.yaml and restart this node',
      });
    }
    const made = await invitations.make(identity.keys.fingerprint, { ttlMs, label: printable(label, 64) });
    const { id: invitation, expiresAtMs } = made;
    await events.emit([event('enrolment.invited', clock.nowMs(), {}, { invitation, label: made.label, expiresAtMs })]);
    return made;
  }

  async withdraw(id: string): Promise<boolean> {
    const { invitations, events, clock } = this.#deps;
    const withdrawn = await invitations.withdraw(id);
    if (withdrawn) await events.emit([event('enrolment.withdrawn', clock.nowMs(), {}, { invitation: id })]);
    return withdrawn;
  }
}

/** What the admin socket of the DMZ node answers, put together from its parts. */

import { ownConfinement } from '../shared/confinement/own-confinement.ts';
import type { CertificateDesk } from '../shared/pki/certificate-desk.ts';
import type { OwnIdentity } from '../shared/pki/node-identity.ts';
import type { LastRefusal } from '../shared/tunnel/refusals.ts';
import type { DmzAdminApi, DmzInvitation, DmzInvitations, DmzNodeStatus } from './admin/api.ts';
import type { Cache } from './cache/cache.ts';
import type { HandOver } from './cache/hand-over.ts';
import type { DmzConfig } from './config.ts';
import { whyConnects } from './confinement.ts';
import type { Doors } from './doors.ts';
import type { InvitationDesk } from './invitation-desk.ts';
import type { Throttle } from './partner/throttle.ts';
import type { PolicyHolder } from './policy-holder.ts';
import type { LinkFacts } from './tunnel/peer.ts';
import type { Peers } from './tunnel/peers.ts';

export interface NodeStatusDeps {
  readonly config: DmzConfig;
  readonly identity: Pick<OwnIdentity, 'keys'>;
  readonly certificates: CertificateDesk;
  readonly invitations: InvitationDesk;
  readonly peers: Peers;
  readonly policy: PolicyHolder;
  readonly doors: Doors;
  readonly handOver: HandOver;
  readonly cache: Cache;
  readonly throttle: Pick<Throttle, 'banned'>;
  readonly lastRefusal: () => LastRefusal | undefined;
}

const countMs = 5000;

export class NodeStatus implements DmzAdminApi {
  readonly #deps: NodeStatusDeps;
  #last: { readonly peer: string; readonly atMs: number } | undefined;

  constructor(deps: NodeStatusDeps) {
    this.#deps = deps;
  }

  linkChanged(facts: Pick<LinkFacts, 'peer'>, atMs: number): void {
    this.#last = { peer: facts.peer, atMs };
  }

  /** A refusal from before the last link says nothing of why there is none now. */
  #refusedSince(atMs: number): string | null {
    const refusal = this.#deps.lastRefusal();
    return refusal && refusal.atMs >= atMs ? refusal.detail : null;
  }

  refreshCertificates(): Promise<void> {
    return this.#deps.doors.refresh();
  }

  get certificates(): CertificateDesk {
    return this.#deps.certificates;
  }

  invitations(): DmzInvitations {
    return this.#deps.invitations.open();
  }

  invite(ttlMs: number, label: string): Promise<DmzInvitation> {
    return this.#deps.invitations.make(ttlMs, label);
  }

  withdraw(id: string): Promise<boolean> {
    return this.#deps.invitations.withdraw(id);
  }

  async status(): Promise<DmzNodeStatus> {
    const { config, identity, peers, policy, doors, handOver, cache, throttle } = this.#deps;
    const counters = await handOver.requests['status.get']({}, AbortSignal.timeout(countMs));
    const live = peers.current();
    return {
      ...counters,
      node: config.name,
      pid: process.pid,
      configuration: config.digests,
      fingerprint: identity.keys.fingerprint,
      suspect: cache.core.health.suspect,
      tunnel: {
        up: live !== undefined,
        peer: live?.facts.peer ?? this.#last?.peer ?? null,
        sinceMs: this.#last?.atMs ?? null,
        group: live?.facts.group ?? null,
        classicalAdmitted: config.tunnel.classicalKeyExchange,
        lastFailure: live ? null : this.#refusedSince(this.#last?.atMs ?? 0),
      },
      policyExpiresAtMs: policy.current()?.expiresAtMs ?? null,
      listeners: doors.list(),
      gateBytes: await cache.core.space.gateBytes(),
      bannedSources: throttle.banned,
      confinement: { ...(await ownConfinement()), whyConnects: whyConnects(config) },
      certificates: this.#deps.certificates.summary(),
    };
  }
}

/** What the admin socket of the DMZ node offers; the composition root implements it. */

import type { FileDigest } from '../../shared/config/load.ts';
import type { OwnConfinement } from '../../shared/confinement/own-confinement.ts';
import type { CertificateDesk, CertificateSummary } from '../../shared/pki/certificate-desk.ts';
import type { DmzStatus } from '../../shared/tunnel/messages.ts';

export interface DmzNodeStatus extends DmzStatus {
  readonly node: string;
  readonly pid: number;
  /** The configuration it works by. */
  readonly configuration: readonly FileDigest[];
  readonly fingerprint: string;
  /** Whether the admin commands may rely on the other numbers; why not, when not. */
  readonly suspect: string | null;
  readonly tunnel: {
    readonly up: boolean;
    /** Name of the internal node, once one has connected. */
    readonly peer: string | null;
    /** When it last came up or was lost; null when none ever connected. */
    readonly sinceMs: number | null;
    /** TLS key exchange of the link. */
    readonly group: string | null;
    /** The configuration admits a key exchange that is not post-quantum. */
    readonly classicalAdmitted: boolean;
    /** Why the newest connection was refused, while there is no link. */
    readonly lastFailure: string | null;
  };
  readonly policyExpiresAtMs: number | null;
  /** What is open to partners: `sftp 0.0.0.0:2222`. Empty until there is a policy. */
  readonly listeners: readonly string[];
  /** Bytes that must stay free for uploads to be accepted. */
  readonly gateBytes: number;
  readonly bannedSources: number;
  /** What the kernel denies this node; `whyConnects` when the configuration keeps it from denying to connect. */
  readonly confinement: OwnConfinement & { readonly whyConnects: string | null };
  readonly certificates: CertificateSummary;
}

export interface DmzInvitation {
  readonly id: string;
  readonly label: string;
  readonly expiresAtMs: number;
  /** Shown once, kept nowhere. */
  readonly token: string;
}

export interface DmzInvitations {
  readonly invitations: readonly Omit<DmzInvitation, 'token'>[];
}

export interface DmzAdminApi {
  status(): Promise<DmzNodeStatus>;
  /** Takes over renewed certificates now. Never rejects: the last good ones stay in use. */
  refreshCertificates(): Promise<void>;
  readonly certificates: Pick<CertificateDesk, 'list' | 'rotate' | 'revoke'>;
  invitations(): DmzInvitations;
  /** @throws SallyportError `limit-reached`; `already-exists` when the configuration names the internal node. */
  invite(ttlMs: number, label: string): Promise<DmzInvitation>;
  /** @returns whether there was such an open invitation. */
  withdraw(id: string): Promise<boolean>;
}

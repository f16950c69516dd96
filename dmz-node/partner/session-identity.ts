/** What a partner session is known by while it lives. Made at login, handed to the view. */
import type { Grant } from '../../shared/policy.ts';
import type { PartnerView, Visitor } from '../partner-view.ts';

export interface SessionIdentity extends Visitor {
  readonly partner: string;
  readonly grant: Grant;
  /** What the inside gave for this session; needed to ask for keys. In memory only, never logged. */
  readonly token: string;
  /** SHA-256 of the token in hex: stored with each upload as proof that a live session sent it. */
  readonly sessionProof: string;
}

/** A view that can be closed for good, and counts what passed through it. */
export interface EndableView extends PartnerView {
  /** Uploads that are open are kept as partials. Idempotent. */
  end(reason: string): Promise<void>;
  readonly receivedBytes: number;
  readonly sentBytes: number;
}

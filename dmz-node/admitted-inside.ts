/** Under which keys an internal node may connect, without asking the running node: what is recorded, else what the configuration says. */
import { join } from 'node:path';
import { readPeerRecord } from '../shared/pki/peer-record.ts';
import { type DmzConfig, stateFiles } from './config.ts';

export interface AdmittedInside {
  /** One, or two while it exchanges them; none before an invitation was taken. */
  readonly fingerprints: readonly string[];
  /** PEM of their authorities, once it has connected. */
  readonly authorities: readonly string[];
}

/** @throws SallyportError `key-file`. */
export function admittedInside({ internal, state }: Pick<DmzConfig, 'internal' | 'state'>): AdmittedInside {
  const typed = internal?.fingerprint;
  const record = readPeerRecord(join(state, stateFiles.internalNode));
  if (!record || record.anchor !== (typed ?? null)) return { fingerprints: typed === undefined ? [] : [typed], authorities: [] };
  const { identities } = record;
  return {
    fingerprints: identities.map(({ fingerprint }) => fingerprint),
    authorities: identities.map(({ authority }) => authority),
  };
}

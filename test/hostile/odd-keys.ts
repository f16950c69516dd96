/** Node keys that are wrong in one chosen way, for the trust tests. */
import { createPrivateKey, createPublicKey } from 'node:crypto';
import {
  type Authority,
  clientUsageOid,
  issueAuthority,
  issueLeaf,
  newTunnelKey,
  nodeUri,
  serverUsageOid,
  spkiOf,
  type Validity,
  validFor,
} from '../../shared/pki/certificates.ts';
import { fingerprintOf, type NodeRole } from '../../shared/pki/fingerprint.ts';
import type { NodeKeys } from '../../shared/pki/node-keys.ts';

export const dayMs = 86_400_000;

export interface Oddity {
  readonly usages?: readonly string[];
  readonly validity?: Validity;
  readonly uri?: string;
  /** Signs the leaf, and comes with it; a fresh one when missing. */
  readonly authority?: Authority;
  /** Comes with the leaf instead of the one that signed it. */
  readonly presentedCa?: string;
  /** Key of the leaf; a fresh one when missing. */
  readonly keyPem?: string;
}

export function newAuthority(validity: Validity = validFor(Date.now(), 10)): Authority {
  const key = newTunnelKey();
  return { key, certificatePem: issueAuthority({ name: 'odd CA', key, validity }) };
}

export function oddKeys(role: NodeRole, oddity: Oddity = {}): NodeKeys {
  const authority = oddity.authority ?? newAuthority();
  const key = oddity.keyPem === undefined ? newTunnelKey() : createPrivateKey(oddity.keyPem);
  const name = 'odd';
  const certificate = issueLeaf(
    {
      name,
      uri: oddity.uri ?? nodeUri(role, name),
      publicKey: createPublicKey(key),
      usages: oddity.usages ?? [role === 'dmz' ? serverUsageOid : clientUsageOid],
      validity: oddity.validity ?? validFor(Date.now(), 10),
    },
    authority,
  );
  return {
    role,
    name,
    fingerprint: fingerprintOf(role, spkiOf(key)),
    tunnelKeyPem: key.export({ type: 'pkcs8', format: 'pem' }).toString(),
    tunnelCertificatePem: certificate,
    caCertificatePem: oddity.presentedCa ?? authority.certificatePem,
  };
}

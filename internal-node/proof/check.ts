/** One whole check: gathers the facts, makes the claims, in groups for people and reports. */
import { type Claim, type Fact, factOf } from '../../shared/proof/claim.ts';
import type { ClaimGroup } from '../../shared/proof/claims-text.ts';
import type { AgeIdentity } from '../../shared/seal/age-key.ts';
import { openHeader } from '../../shared/seal/header.ts';
import { KeyRing } from '../../shared/seal/key-ring.ts';
import type { InternalSettings } from '../config.ts';
import { broughtClaims, type SealingKey } from './claims-brought.ts';
import { insideClaims } from './claims-inside.ts';
import { type BroughtFiles, type CheckedNow, gatherInsideFacts, type InsideFacts } from './facts.ts';

export interface CheckDeps {
  /** The key that opens what the DMZ stores. @throws SallyportError `key-file`. */
  readonly sealingKey: (keysFolder: string) => Promise<AgeIdentity>;
}

export interface Check {
  readonly facts: InsideFacts;
  readonly groups: readonly ClaimGroup[];
}

export const claimsOf = ({ groups }: Pick<Check, 'groups'>): Claim[] => groups.flatMap(({ claims }) => claims);

export async function check(config: InternalSettings, brought: BroughtFiles, deps: CheckDeps, now: CheckedNow): Promise<Check> {
  const facts = await gatherInsideFacts(config, brought, now);
  const key = await factOf(async () => sealingKeyOf(await deps.sealingKey(config.keys)));
  return { facts, groups: groupsOf(facts, key) };
}

export function groupsOf(facts: InsideFacts, key: Fact<SealingKey>): ClaimGroup[] {
  const { statement, config } = facts;
  const told = 'value' in statement ? statement.value.document : undefined;
  return [
    { title: `Internal node ${config.name} on ${facts.host}`, claims: insideClaims(facts) },
    { title: 'What was brought from the DMZ host', claims: broughtClaims(facts, key) },
    ...(told
      ? [
          {
            title: `DMZ node ${told.node} on ${told.host}, by its own statement of ${new Date(told.atMs).toISOString()}`,
            claims: told.claims,
          },
        ]
      : []),
  ];
}

export function sealingKeyOf({ identity, recipient }: AgeIdentity): SealingKey {
  const ring = new KeyRing();
  return {
    recipient,
    opens: (header) => {
      try {
        openHeader(Buffer.from(header, 'base64'), identity, ring).fill(0);
        return true;
      } catch {
        return false;
      }
    },
  };
}

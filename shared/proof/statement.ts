/**
 * What the DMZ node says of itself, to be taken inside: its claims, the headers of what it stores, its keys and certificates.
 * And what was tried from its host. Both are signed documents; the schemas bound what the inside reads.
 */
import { z } from 'zod';
import { formatAddress } from '../config/units.ts';
import { dmzNetworkSchema } from '../firewall/dmz-network.ts';
import { type ClaimKind, claimKinds } from './claim.ts';

const text = z.string().max(4096);
const instant = z.int().min(0).max(8.64e15);

export const claimSchema = z.strictObject({
  id: z.string().max(64),
  kind: z.enum(Object.keys(claimKinds) as [ClaimKind, ...ClaimKind[]]),
  statement: text,
  command: text,
  holds: z.enum(['yes', 'no', 'unknown']),
  evidence: z.array(text).max(64),
  offending: z.array(text).max(64),
});

export const inventorySchema = z.strictObject({
  node: z.string().max(64),
  file: text,
  kind: z.enum(['certificate', 'private key', 'age identity', 'other']),
  algorithm: z.string().max(64),
  use: z.string().max(200),
  fingerprint: z.string().max(128),
  notBeforeMs: z.number().optional(),
  notAfterMs: z.number().optional(),
  mode: z.int().min(0).max(0o7777),
});

/** Headers of so many stored files go with a statement; the newest. */
export const mostHeaders = 1000;

export const statementSchema = z.strictObject({
  schema: z.literal('sallyport-dmz-statement-1'),
  node: z.string().max(64),
  version: z.string().max(64),
  host: z.string().max(255),
  atMs: instant,
  configuration: z.array(z.strictObject({ file: text, sha256: z.string().length(64) })).max(16),
  /** What partners and the inside reach, as configured. */
  network: dmzNetworkSchema,
  /** age recipients of the policy it works by. */
  recipients: z.array(z.string().max(128)).max(4),
  policyNumber: z.int().min(0),
  auditHead: z.string().max(64),
  /** Of stored files: which file, and its age header. */
  headers: z.array(z.strictObject({ file: text, header: z.string().max(24_000) })).max(mostHeaders),
  objects: z.int().min(0),
  inventory: z.array(inventorySchema).max(200),
  claims: z.array(claimSchema).max(100),
});
export type Statement = z.infer<typeof statementSchema>;

/** One connection that was tried. `open`: somebody answered; `refused`: the host did, with a reset; `silent`: nobody did; `untried`: it did not come to that. */
export const attemptSchema = z.strictObject({
  target: z.string().max(300),
  port: z.int().min(1).max(65_535),
  outcome: z.enum(['open', 'refused', 'silent', 'unreachable', 'untried']),
  ms: z.int().min(0),
});
export type Attempt = z.infer<typeof attemptSchema>;
export const attemptText = ({ target, port, outcome }: Attempt): string => `${formatAddress({ host: target, port })} ${outcome}`;
/** Packets got there, whether or not somebody listens. */
export const gotThere = ({ outcome }: Attempt): boolean => outcome === 'open' || outcome === 'refused';
/** Why an attempt does not show that a way is closed; undefined when it does. */
export function notClosed(attempt: Attempt): string | undefined {
  if (gotThere(attempt)) return `${attemptText(attempt)}: packets get there`;
  return attempt.outcome === 'untried' ? `${attemptText(attempt)}: it could not be tried from here` : undefined;
}

export const probeSchema = z.strictObject({
  schema: z.literal('sallyport-dmz-probe-1'),
  node: z.string().max(64),
  host: z.string().max(255),
  /** Addresses of the host's own network devices: where it was tried from. */
  from: z.array(z.string().max(64)).max(256),
  atMs: instant,
  tookMs: z.int().min(0),
  timeoutMs: z.int().min(1),
  inside: z.array(attemptSchema).max(20_000),
  internet: z.array(attemptSchema).max(200),
});
export type Probe = z.infer<typeof probeSchema>;

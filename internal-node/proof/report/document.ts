/** The report as data: what `report.json` holds, and what the readable forms are made of. */
import { z } from 'zod';
import { claimSchema, inventorySchema } from '../../../shared/proof/statement.ts';

const text = z.string().max(8192);
const digest = z.strictObject({ node: z.string().max(64), file: text, sha256: z.string().length(64) });

export const flowSchema = z.strictObject({
  from: text,
  to: text,
  protocol: z.string().max(16),
  ports: z.string().max(64),
  verdict: z.enum(['accept', 'drop']),
  purpose: text,
  source: text,
  owner: text,
  reviewed: text,
  exception: text,
});
export type ReportedFlow = z.infer<typeof flowSchema>;

const stepSchema = z.strictObject({ at: text, node: z.string().max(64), event: z.string().max(16), says: text });
export const transferSchema = z.strictObject({
  item: z.string().max(64),
  partner: z.string().max(64),
  path: text,
  size: z.number(),
  sha256: z.string().max(64),
  end: text,
  steps: z.array(stepSchema).max(100),
});
export type TracedTransfer = z.infer<typeof transferSchema>;

export const doorSchema = z.strictObject({ name: z.string().max(64), address: text, ports: z.string().max(64) });

export const reportSchema = z.strictObject({
  schema: z.literal('sallyport-report-1'),
  madeAt: z.iso.datetime(),
  version: z.string().max(64),
  inside: z.strictObject({ node: z.string().max(64), host: text, fingerprint: z.string().max(64) }),
  dmz: z
    .strictObject({ node: z.string().max(64), host: text, fingerprint: z.string().max(64), doors: z.array(doorSchema).max(16) })
    .nullable(),
  tunnel: z.strictObject({ address: text, keyExchange: text }),
  configuration: z.array(digest).max(1100),
  policyNumber: z.int().min(0),
  auditHeads: z.strictObject({ inside: z.string().max(64), dmz: z.string().max(64) }),
  groups: z.array(z.strictObject({ title: text, claims: z.array(claimSchema).max(200) })).max(8),
  flows: z.array(flowSchema).max(1000),
  inventory: z.array(inventorySchema).max(500),
  transfers: z.array(transferSchema).max(3),
  requirements: z
    .array(
      z.strictObject({
        source: z.string().max(64),
        item: z.string().max(32),
        asks: text,
        claims: z.array(z.string().max(64)).max(64),
        section: z.string().max(64).optional(),
        holds: z.enum(['yes', 'no', 'unknown']),
        failing: z.array(z.string().max(64)).max(64),
      }),
    )
    .max(200),
  notCovered: z.array(text).max(50),
});
export type Report = z.infer<typeof reportSchema>;

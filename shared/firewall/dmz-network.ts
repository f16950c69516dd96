/**
 * What the DMZ node tells of its own listeners, for the firewall in front of it and for the proof. A claim of the DMZ: the inside
 * checks the form, makes rules *towards the DMZ node* of it and never any towards the inside.
 */
import { z } from 'zod';
import { network } from '../config/fields.ts';

const port = z.int().min(0).max(65_535);

/** `dmz.yaml:12`, without a folder. */
const source = z
  .string()
  .max(96)
  .regex(/^[A-Za-z0-9._ -]+(:\d{1,7}| \(default\))$/, 'a file name and a line');

export const listenerUses = ['sftp', 'ftps', 'ftps-implicit', 'ftps-data', 'tunnel'] as const;

const listener = z
  .strictObject({
    use: z.enum(listenerUses),
    /** `0.0.0.0` and `::` are all addresses of the host. */
    host: z
      .string()
      .max(64)
      .regex(/^[0-9a-fA-F:.]+$/, 'an IP address'),
    first: port,
    last: port,
    /** Load balancers that all connections come from; empty: none. */
    balancers: z.array(network()).max(100),
    source,
  })
  .refine(({ first, last }) => first <= last, 'the last port is below the first');

export const dmzNetworkSchema = z.strictObject({
  node: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/),
  listeners: z.array(listener).max(16),
  /** FTPS in active mode: the DMZ node connects to partners, from this port (0: any). Null: it opens no connection at all. */
  active: z.strictObject({ sourcePort: port, source }).nullable(),
  /** FTP without TLS is admitted, and why; null: it is not. */
  plainFtp: z.strictObject({ reason: z.string().max(200), source }).nullable(),
});
export type DmzNetwork = z.infer<typeof dmzNetworkSchema>;
export type DmzListener = DmzNetwork['listeners'][number];

/** Field types that both nodes' configuration files use. */
import { BlockList, isIP } from 'node:net';
import { basename } from 'node:path';
import { z } from 'zod';
import { socketNameBytes } from '../admin/socket-path.ts';
import { SallyportError } from '../errors.ts';
import { type NodeRole, parseFingerprint } from '../pki/fingerprint.ts';
import { parseSize, UnitError } from './units.ts';

export const nodeName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, 'letters, digits, dot, underscore and hyphen, at most 63')
  .describe('Name of this node, shown to the other node and in every log line.');

/** A path of this host; a relative one is taken from the folder of the configuration file. */
export const path = () =>
  z
    .string()
    .min(1)
    .max(4096)
    .refine((text) => !text.includes('\0'), 'a path has no NUL');

/** The SPKI fingerprint of the node of one role, in its canonical form. */
export const fingerprint = (role: NodeRole) =>
  z.string().transform((text, context) => {
    try {
      return checkedFingerprint(text, role);
    } catch (error) {
      if (!(error instanceof SallyportError)) throw error;
      context.addIssue({ code: 'custom', message: error.message });
      return z.NEVER;
    }
  });

/** @throws SallyportError `usage` naming what is wrong: a typing error, or the fingerprint of the wrong node. */
export function checkedFingerprint(text: string, role: NodeRole): string {
  const parsed = parseFingerprint(text);
  if (parsed.role === role) return parsed.canonical;
  const [wanted, given] = role === 'dmz' ? ['SPD-', 'SPI-'] : ['SPI-', 'SPD-'];
  const whose = role === 'dmz' ? 'the DMZ node' : 'the internal node';
  throw new SallyportError(
    'usage',
    `this is a fingerprint of the other role (${given}…); the one of ${whose} begins with ${wanted}`,
  );
}

/** An IP address or a network like `198.51.100.0/24`. */
export const network = () => z.string().refine(isNetwork, 'expected an IP address or a network like 198.51.100.0/24');

function isNetwork(text: string): boolean {
  const [host = '', bits, ...rest] = text.split('/');
  const family = isIP(host);
  if (family === 0 || rest.length > 0) return false;
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128));
}

/** Networks as a list to ask `check(address, family)` of. */
export function blockList(networks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const text of networks) {
    const [host = '', bits] = text.split('/');
    const family = isIP(host) === 6 ? 'ipv6' : 'ipv4';
    if (bits === undefined) list.addAddress(host, family);
    else list.addSubnet(host, Number(bits), family);
  }
  return list;
}

/** Free space that must remain: a part of the file system, or an amount. */
export type FreeSpace = { readonly percent: number } | { readonly bytes: number };

export const freeSpace = () =>
  z.string().transform((text, context): FreeSpace => {
    const percent = /^(\d{1,2}(?:\.\d{1,3})?)%$/.exec(text.trim());
    if (percent) return { percent: Number(percent[1]) };
    try {
      return { bytes: parseSize(text) };
    } catch (error) {
      if (!(error instanceof UnitError)) throw error;
      context.addIssue({ code: 'custom', message: `expected a part like 5% or a size like 2GiB` });
      return z.NEVER;
    }
  });

export const whole = (min: number, max: number) => z.int().min(min).max(max);

export const logSettings = z
  .strictObject({
    level: z
      .enum(['trace', 'debug', 'info', 'warn', 'error', 'silent'])
      .default('info')
      .describe('Least level of the log lines.'),
  })
  .prefault({})
  .describe('The operational log: JSON lines on standard output.');

export const threads = z
  .union([z.literal('auto'), whole(1, 64)])
  .default('auto')
  .describe('Worker threads that seal and open contents; auto: one less than the processors, at most 4.');

export const version = z.literal(1).describe('Format of this file.');

/** Its folder may lie as deep as it likes, see `SocketPath`. */
export function checkSocketPath(socket: string, wrong: (message: string) => void): void {
  const length = Buffer.byteLength(basename(socket));
  if (length > socketNameBytes) wrong(`the name of the socket has ${length} bytes, the most is ${socketNameBytes}`);
}

/** What the kernel denies the DMZ node: it answers, it never begins. */
import type { Confinement } from '../shared/confinement/filter.ts';
import type { DmzConfig } from './config.ts';

/** Active FTP makes this node connect to partners: then the kernel cannot deny it to connect. */
export function dmzConfinement({ ftps }: Pick<DmzConfig, 'ftps'>): Confinement {
  const connects = ftps?.active !== undefined;
  return { denied: connects ? [] : ['connect'], sockets: 'tcp', noFastOpen: !connects, programs: 'once' };
}

/** Why this node may connect although nothing in it has to, or null. */
export const whyConnects = ({ ftps }: Pick<DmzConfig, 'ftps'>): string | null =>
  ftps?.active === undefined ? null : 'ftps.active admits PORT and EPRT, with which this node connects to partners';

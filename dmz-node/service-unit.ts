/** The systemd unit of the DMZ node, from its configuration: which ports it may bind, where it may write. */
import { dirname } from 'node:path';
import { type Setting, unitFile } from '../shared/service-units/unit.ts';
import type { DmzConfig } from './config.ts';
import { dmzConfinement } from './confinement.ts';

export interface UnitOptions {
  readonly user: string;
  readonly command: readonly string[];
}

/** Beyond the drain, for what is left to flush. */
const graceMs = 30_000;

export function dmzUnit(config: DmzConfig, { user, command }: UnitOptions): string {
  const { denied } = dmzConfinement(config);
  return unitFile({
    description: `Sallyport DMZ node ${config.name}`,
    unit: [
      ['Wants', 'network-online.target'],
      ['After', 'network-online.target'],
    ],
    user,
    command,
    stopWithinMs: config.limits.drainTimeout + graceMs,
    // That of the keys: certificates are renewed.
    writable: [config.state, config.keys, dirname(config.admin.socket)],
    settings: [
      ['RestrictAddressFamilies', 'AF_INET AF_INET6 AF_UNIX'],
      ...(denied.length > 0 ? ([['SystemCallFilter', `~${denied.join(' ')}`]] as const) : []),
      ['SocketBindDeny', 'any'],
      ...portsOf(config).map((port): Setting => ['SocketBindAllow', port]),
    ],
  });
}

/** In the words of systemd.resource-control(5). Port 0 stands for a free one, which can be any. */
function portsOf({ tunnel, sftp, ftps }: DmzConfig): string[] {
  const single = [tunnel.listen, sftp.listen, ...(ftps ? [ftps.listen] : []), ...(ftps?.implicit ? [ftps.implicit] : [])];
  const ports = single.map(({ port }) => (port === 0 ? 'tcp' : `tcp:${port}`));
  const passive = ftps && `tcp:${ftps.passive.ports.first}-${ftps.passive.ports.last}`;
  return [...new Set([...ports, ...(passive === undefined ? [] : [passive])])];
}

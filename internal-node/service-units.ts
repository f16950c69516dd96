/** The systemd units of the internal node, from its configuration: the agent, which never listens, and the staff door. */
import { isIP } from 'node:net';
import { dirname, join } from 'node:path';
import { type Setting, unitFile } from '../shared/service-units/unit.ts';
import type { InternalConfig } from './config.ts';
import { sourcesOf } from './config-authentication.ts';
import { agentConfinement } from './confinement.ts';

export interface UnitOptions {
  readonly user: string;
  readonly command: readonly string[];
}

/** Beyond the drain, for what is left to flush. */
const graceMs = 30_000;
const nothingBound: Setting = ['SocketBindDeny', 'any'];

export function agentUnit(config: InternalConfig, { user, command }: UnitOptions): string {
  const { destinations, outgoing, state, file } = config;
  return unitFile({
    description: `Sallyport internal node ${config.name}, agent`,
    unit: [
      ['Wants', 'network-online.target sallyport-door.service'],
      // Stopped in reverse: staff can ask as long as there is somebody to answer.
      ['After', 'network-online.target sallyport-door.service'],
    ],
    user,
    command,
    stopWithinMs: config.drainTimeout + graceMs,
    // The folder of the configuration: `sallyport apply` puts files in place there. That of the keys: certificates are renewed.
    writable: [
      state,
      config.keys,
      dirname(file),
      ...destinations.map(({ folder }) => folder),
      ...(outgoing ? [outgoing.folder] : []),
    ],
    settings: [
      ['RestrictAddressFamilies', 'AF_INET AF_INET6 AF_UNIX'],
      [
        'SystemCallFilter',
        `~${agentConfinement(config)
          .denied.filter((call) => call !== 'bind')
          .join(' ')}`,
      ],
      nothingBound,
      ...reachable(config),
    ],
  });
}

/** Only where all that the agent dials are addresses: names are for the firewall. */
function reachable({ dmz, authentication }: InternalConfig): Setting[] {
  if (Object.keys(sourcesOf(authentication)).length > 0 || isIP(dmz.address.host) === 0) return [];
  return [
    ['IPAddressDeny', 'any'],
    ['IPAddressAllow', `localhost ${dmz.address.host}`],
  ];
}

export function doorUnit(config: InternalConfig, { user, command }: UnitOptions): string {
  const hidden = ['keys', 'records.db', 'spool', 'by-hand', 'audit'].map((name) => join(config.state, name));
  return unitFile({
    description: `Sallyport internal node ${config.name}, staff door`,
    user,
    command,
    stopWithinMs: graceMs,
    writable: [dirname(config.admin.socket)],
    settings: [
      ['RestrictAddressFamilies', 'AF_UNIX'],
      ['PrivateNetwork', 'yes'],
      ['IPAddressDeny', 'any'],
      nothingBound,
      // What the agent has and the door has no business with. The minus sign: it may not be there yet.
      ...new Set([config.keys, ...hidden].map((path) => `-${path}`)).values().map((path): Setting => ['InaccessiblePaths', path]),
    ],
  });
}

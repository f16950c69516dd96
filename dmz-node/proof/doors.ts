/** Where a DMZ node listens by its configuration, each with the line that says so. */
import type { Address } from '../../shared/config/units.ts';
import type { DmzFacts } from './facts.ts';

export interface Door {
  readonly name: string;
  readonly host: string;
  readonly first: number;
  readonly last: number;
  /** `dmz.yaml:12` */
  readonly source: string;
}

type Declared = Pick<DmzFacts, 'config' | 'place'>;

const door = (name: string, { host, port }: Address, source: string): Door => ({ name, host, first: port, last: port, source });

/** All listeners that are always open, the tunnel first. */
export function doorsOf({ config, place }: Declared): Door[] {
  const { tunnel, sftp, ftps } = config;
  return [
    door('tunnel', tunnel.listen, place(['tunnel', 'listen'])),
    door('sftp', sftp.listen, place(['sftp', 'listen'])),
    ...(ftps ? [door('ftps', ftps.listen, place(['ftps', 'listen']))] : []),
    ...(ftps?.implicit ? [door('ftps-implicit', ftps.implicit, place(['ftps', 'implicit']))] : []),
  ];
}

/** Ports that listen only while a transfer waits for its data connection. */
export function passiveDoor({ config, place }: Declared): Door | undefined {
  const { ftps } = config;
  if (!ftps) return undefined;
  return { name: 'ftps-data', host: ftps.listen.host, ...ftps.passive.ports, source: place(['ftps', 'passive', 'ports']) };
}

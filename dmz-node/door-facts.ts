/** What a partner needs to know to find the doors and to recognise them, for the sheet that staff gives him. Nothing of it is secret. */
import type { DoorFacts } from '../shared/tunnel/messages.ts';
import type { DmzConfig } from './config.ts';
import { loadCertificate } from './ftps/tls/certificate.ts';
import { type HostKey, hostKeyLine } from './sftp/host-key.ts';

export interface DoorFactsDeps {
  /** Of the doors that are open, by their name. */
  readonly ports: () => Readonly<Record<string, number>>;
  readonly hostKeys: readonly HostKey[];
  readonly ftps: DmzConfig['ftps'];
}

/** Doors that are closed now are left out. @throws SallyportError `key-file` when a certificate cannot be read any more. */
export async function doorFacts({ ports, hostKeys, ftps }: DoorFactsDeps): Promise<DoorFacts> {
  const { sftp, ftps: explicit, 'ftps-implicit': implicit } = ports();
  const keys = hostKeys.map((key) => ({ line: hostKeyLine(key), fingerprint: key.fingerprint }));
  const [first] = ftps?.certificates ?? [];
  return {
    ...(sftp === undefined ? {} : { sftp: { port: sftp, keys } }),
    ...(explicit === undefined || !first || !ftps
      ? {}
      : {
          ftps: {
            explicit,
            ...(implicit === undefined ? {} : { implicit }),
            passive: { first: ftps.passive.ports.first, last: ftps.passive.ports.last },
            certificate: (await loadCertificate(first)).fingerprint,
          },
        }),
  };
}

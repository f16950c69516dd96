/** What the host must provide before the DMZ node can work: keys that fit, folders that are private. */
import { checkNotWritableByOthers, privateFolder } from '../shared/config/write-file.ts';
import { loadNodeKeys, type NodeKeys } from '../shared/pki/node-keys.ts';
import type { DmzConfig } from './config.ts';
import { loadAuthorities, loadCertificate } from './ftps/tls/certificate.ts';
import { type HostKey, loadHostKey } from './sftp/host-key.ts';

export interface OwnKeys {
  readonly node: NodeKeys;
  readonly hostKeys: readonly HostKey[];
  /** PEM; undefined when the FTPS door asks for no client certificates. */
  readonly ftpsClientAuthorities: string | undefined;
}

/** The same for start-up and `config check`. @throws SallyportError `key-file` naming the file, its mode and what to do. */
export async function openOwnFiles(config: DmzConfig): Promise<OwnKeys> {
  await checkNotWritableByOthers(config.file);
  await privateFolder(config.state);
  const node = await loadNodeKeys(config.keys, 'dmz');
  const hostKeys: HostKey[] = [];
  for (const file of config.sftp.hostKeys) hostKeys.push(await loadHostKey(file));
  for (const files of config.ftps?.certificates ?? []) await loadCertificate(files);
  const authorities = config.ftps?.clientCertificates?.authorities;
  const ftpsClientAuthorities = authorities === undefined ? undefined : await loadAuthorities(authorities);
  return { node, hostKeys, ftpsClientAuthorities };
}

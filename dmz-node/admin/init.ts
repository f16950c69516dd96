/** Makes a new DMZ node: keys first, the configuration file last. A complete node is never overwritten. */
import { lstat, mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { checkedFingerprint } from '../../shared/config/fields.ts';
import { type Address, formatAddress } from '../../shared/config/units.ts';
import { checkNotWritableByOthers, privateFolder, writeNewFile } from '../../shared/config/write-file.ts';
import { SallyportError } from '../../shared/errors.ts';
import { loadNodeKeys, makeNodeKeys } from '../../shared/pki/node-keys.ts';
import { ftpsCertificateNames, hostKeyFiles } from '../config.ts';

export const mainFileName = 'dmz.yaml';

export interface InitArgs {
  readonly dir: string;
  readonly name: string;
  /** SPI-… as typed; undefined: it comes with an invitation. */
  readonly internal: string | undefined;
  readonly tunnel: Address;
  readonly sftp: Address;
  readonly ftps: Address;
  readonly ftpsImplicit: Address;
  /** Names and addresses under which partners reach the FTPS door; for the certificate that is made. */
  readonly ftpsNames: readonly string[];
  /** A certificate that is there already; undefined: one is made. */
  readonly ftpsCertificate: { readonly certificate: string; readonly key: string } | undefined;
}

export interface InitDeps {
  /** Makes an SSH host key, or takes the one that is there. @returns its public half as an OpenSSH line without comment. */
  readonly makeHostKey: (file: string, type: keyof typeof hostKeyFiles) => Promise<string>;
  /** Makes a self-signed certificate for FTPS, or takes the one that is there. @returns its SHA-256 fingerprint. */
  readonly makeCertificate: (
    files: { readonly certificate: string; readonly key: string },
    names: readonly string[],
  ) => Promise<string>;
}

export interface Initialised {
  readonly config: string;
  readonly fingerprint: string;
  /** `ssh-ed25519 AAAA…`, for known_hosts; one of each type, Ed25519 first. */
  readonly hostKeys: readonly string[];
  readonly ftps: { readonly certificate: string; readonly fingerprint: string };
  readonly keysReused: boolean;
}

const exists = (path: string): Promise<boolean> =>
  lstat(path).then(
    () => true,
    () => false,
  );

/** @throws SallyportError `already-exists`, `usage` for a mistyped fingerprint, `key-file` when others can change the folder. */
export async function initDmz(args: InitArgs, deps: InitDeps): Promise<Initialised> {
  const dir = resolve(args.dir);
  const config = join(dir, mainFileName);
  const internal = args.internal === undefined ? undefined : checkedFingerprint(args.internal, 'internal');
  if (await exists(config)) {
    throw new SallyportError('already-exists', `${config} exists already; nothing was changed`, {
      next: `sallyport-dmz fingerprint --config ${config} shows the fingerprint of that node`,
    });
  }
  await mkdir(dir, { recursive: true, mode: 0o700 });
  await checkNotWritableByOthers(dir);
  const state = join(dir, 'state');
  const keysFolder = join(state, 'keys');
  await privateFolder(state);
  await privateFolder(keysFolder);
  const keysReused = await exists(join(keysFolder, 'ca.crt'));
  const keys = keysReused
    ? await loadNodeKeys(keysFolder, 'dmz')
    : await makeNodeKeys(keysFolder, { role: 'dmz', name: args.name });
  const types = Object.keys(hostKeyFiles) as (keyof typeof hostKeyFiles)[];
  const hostKeys = await Promise.all(types.map((type) => deps.makeHostKey(join(keysFolder, hostKeyFiles[type]), type)));
  const own = {
    certificate: join(keysFolder, ftpsCertificateNames.certificate),
    key: join(keysFolder, ftpsCertificateNames.key),
  };
  const given = args.ftpsCertificate && {
    certificate: resolve(args.ftpsCertificate.certificate),
    key: resolve(args.ftpsCertificate.key),
  };
  const fingerprint = await deps.makeCertificate(given ?? own, args.ftpsNames);
  // Last: where this file stands, the node is whole.
  await writeNewFile(config, mainFile({ ...args, internal, ftpsCertificate: given }));
  const ftps = { certificate: (given ?? own).certificate, fingerprint };
  return { config, fingerprint: keys.fingerprint, hostKeys, ftps, keysReused };
}

const mainFile = ({
  name,
  internal,
  tunnel,
  sftp,
  ftps,
  ftpsImplicit,
  ftpsCertificate,
}: InitArgs): string => `# Sallyport, DMZ node. Check it with: sallyport-dmz config check
# Partners, rules and rights are not here: they come from the internal node.
version: 1
name: ${JSON.stringify(name)}
# Sealed caches, records and keys; mode 0700.
state: state

${
  internal === undefined
    ? '# Which internal node may connect is settled with an invitation: sallyport-dmz invite'
    : `# The only internal node that may connect.\ninternal:\n  fingerprint: ${internal}`
}

tunnel:
  listen: "${formatAddress(tunnel)}"
  # Networks from which the tunnel is accepted; empty: from anywhere.
  allowFrom: []

sftp:
  listen: "${formatAddress(sftp)}"

# FTPS; leave the section out for none. The firewall must also let partners reach the ports for data connections.
ftps:
  listen: "${formatAddress(ftps)}"
  implicit: "${formatAddress(ftpsImplicit)}"
  passive:
    ports: 50000-50999
${ftpsCertificate ? `  certificates:\n    - certificate: ${JSON.stringify(ftpsCertificate.certificate)}\n      key: ${JSON.stringify(ftpsCertificate.key)}\n` : ''}
space:
  # Uploads are refused when less of the file system is free: a part like 5% or a size like 2GiB.
  minimumFree: 5%
`;

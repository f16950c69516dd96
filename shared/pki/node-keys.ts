/**
 * A node's own keys: its authority, its tunnel key and, on the internal node, the key that signs policy. They are made on
 * the host that uses them and never leave it; the other node learns the fingerprint from a person.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, systemClock } from '../clock.ts';
import { SallyportError } from '../errors.ts';
import {
  authorityDays,
  clientUsageOid,
  issueAuthority,
  issueLeaf,
  leafDays,
  newPolicyKey,
  newTunnelKey,
  nodeUri,
  policyUsageOid,
  serverUsageOid,
  spkiOf,
  validFor,
} from './certificates.ts';
import { fingerprintOf, type NodeRole } from './fingerprint.ts';
import { checkKeyFolder, ensureKeyFolder, readKeyFile, writeNewKeyFile } from './key-files.ts';
import { readKeyFolders } from './key-folders.ts';

export interface NodeKeys {
  readonly role: NodeRole;
  readonly name: string;
  /** What a person types on the other node. */
  readonly fingerprint: string;
  readonly tunnelKeyPem: string;
  readonly tunnelCertificatePem: string;
  readonly caCertificatePem: string;
  readonly policyKeyPem?: string;
  readonly policyCertificatePem?: string;
}

const nodeName = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
/** The files of one set of keys. */
export const keySetFiles = ['ca.key', 'ca.crt', 'tunnel.key', 'tunnel.crt', 'policy.key', 'policy.crt'] as const;

/**
 * Makes all keys of a new node. The authority's file comes last: a set without it was cut short and can be told apart.
 * @throws SallyportError `key-file` when one of the files exists, `usage` for an unfit name.
 */
export async function makeNodeKeys(
  folder: string,
  args: { readonly role: NodeRole; readonly name: string; readonly clock?: Clock },
): Promise<NodeKeys> {
  const { role, name } = args;
  if (!nodeName.test(name))
    throw new SallyportError('usage', 'a node name is letters, digits, dot, underscore and hyphen, at most 63');
  await ensureKeyFolder(folder);
  for (const file of keySetFiles) {
    const there = await lstat(join(folder, file)).catch(() => undefined);
    if (there) throw new SallyportError('key-file', `${join(folder, file)} is there already and is not overwritten`, { file });
  }
  const nowMs = (args.clock ?? systemClock).nowMs();
  const caKey = newTunnelKey();
  const ca = issueAuthority({ name: `Sallyport ${role} ${name} CA`, key: caKey, validity: validFor(nowMs, authorityDays) });
  const authority = { certificatePem: ca, key: caKey };
  const leaf = (publicKey: typeof caKey, usage: string, days: number) =>
    issueLeaf({ name, uri: nodeUri(role, name), publicKey, usages: [usage], validity: validFor(nowMs, days) }, authority);
  const pem = (key: typeof caKey) => key.export({ type: 'pkcs8', format: 'pem' }).toString();

  if (role === 'internal') {
    const policyKey = newPolicyKey();
    await writeNewKeyFile(join(folder, 'policy.key'), pem(policyKey));
    await writeNewKeyFile(join(folder, 'policy.crt'), leaf(policyKey, policyUsageOid, leafDays));
  }
  const tunnelKey = newTunnelKey();
  await writeNewKeyFile(join(folder, 'tunnel.key'), pem(tunnelKey));
  await writeNewKeyFile(join(folder, 'tunnel.crt'), leaf(tunnelKey, tunnelUsage(role), leafDays));
  await writeNewKeyFile(join(folder, 'ca.key'), pem(caKey));
  await writeNewKeyFile(join(folder, 'ca.crt'), ca);
  return loadKeySet(folder, role);
}

/** The keys that are in use. @throws SallyportError `key-file`. */
export async function loadNodeKeys(keysFolder: string, role: NodeRole): Promise<NodeKeys> {
  const { current } = await readKeyFolders(keysFolder);
  return loadKeySet(join(keysFolder, current), role);
}

/** One set of keys. @throws SallyportError `key-file`: a file is missing, open to others, of another owner, or does not fit the rest. */
export async function loadKeySet(folder: string, role: NodeRole): Promise<NodeKeys> {
  const owner = await checkKeyFolder(folder);
  const secret = (file: string) => readKeyFile(folder, file, owner, true);
  const open = (file: string) => readKeyFile(folder, file, owner, false);
  // Not used here, but a wide mode on the authority's key is as bad as on any other.
  await secret('ca.key');
  const keys = {
    tunnelKeyPem: await secret('tunnel.key'),
    tunnelCertificatePem: await open('tunnel.crt'),
    caCertificatePem: await open('ca.crt'),
  };
  const leaf = pairOf(folder, 'tunnel', keys.tunnelKeyPem, keys.tunnelCertificatePem, keys.caCertificatePem);
  const found = /^URI:sallyport:\/\/(dmz|internal)\/(\S+)$/.exec(leaf.subjectAltName ?? '');
  if (found?.[1] !== role)
    throw new SallyportError(
      'key-file',
      `the keys in ${folder} are not those of ${role === 'dmz' ? 'a DMZ' : 'an internal'} node`,
      { folder },
    );
  const common = { role, name: found[2] ?? '', fingerprint: fingerprintOf(role, spkiOf(leaf.publicKey)), ...keys };
  if (role === 'dmz') return common;
  const policyKeyPem = await secret('policy.key');
  const policyCertificatePem = await open('policy.crt');
  pairOf(folder, 'policy', policyKeyPem, policyCertificatePem, keys.caCertificatePem);
  return { ...common, policyKeyPem, policyCertificatePem };
}

export const tunnelUsage = (role: NodeRole): string => (role === 'dmz' ? serverUsageOid : clientUsageOid);

/** The certificate of a key, once key, certificate and authority are seen to belong together. */
function pairOf(folder: string, name: string, keyPem: string, certificatePem: string, caPem: string): X509Certificate {
  try {
    const certificate = new X509Certificate(certificatePem);
    const ca = new X509Certificate(caPem);
    if (!certificate.checkPrivateKey(createPrivateKey(keyPem))) throw new Error(`${name}.key is not the key of ${name}.crt`);
    if (!certificate.verify(ca.publicKey)) throw new Error(`${name}.crt was not issued by ca.crt`);
    return certificate;
  } catch (cause) {
    const detail = `the ${name} key in ${folder} cannot be used: ${cause instanceof Error ? cause.message : String(cause)}`;
    throw new SallyportError('key-file', detail, { folder }, { cause });
  }
}

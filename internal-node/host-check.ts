/** What the host must provide before the internal node can work: keys that fit, folders that are there and private. */
import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { checkNotWritableByOthers, checkPrivateFile, privateFolder } from '../shared/config/write-file.ts';
import { SallyportError } from '../shared/errors.ts';
import { loadNodeKeys } from '../shared/pki/node-keys.ts';
import { loadIssuers } from './auth/certificates/issuer-files.ts';
import type { InternalConfig } from './config.ts';
import { loadSealingIdentity } from './keys/sealing-identity.ts';

/**
 * What start-up insists on. @throws SallyportError `key-file` naming the file or folder, its mode and what to do.
 */
export async function checkOwnFiles(config: InternalConfig): Promise<void> {
  const [main, ...parts] = config.files;
  if (main !== undefined) await checkNotWritableByOthers(main);
  // They hold hashes of passwords.
  for (const file of parts) await checkPrivateFile(file);
  await privateFolder(config.state);
}

/** What `config check` looks at: also keys, and folders that at run time may come and go. @throws SallyportError. */
export async function checkHost(config: InternalConfig): Promise<void> {
  await checkOwnFiles(config);
  await loadNodeKeys(config.keys, 'internal');
  await loadSealingIdentity(config.keys);
  await loadIssuers(config.authentication.clientCertificates ?? {});
  for (const { name, folder } of config.destinations) await usableFolder(folder, `destinations.${name}.folder`);
  for (const { name, command } of config.programs) await usableProgram(command[0] ?? '', `destinations.${name}.program`);
  if (config.outgoing) await usableFolder(config.outgoing.folder, 'outgoing.folder');
}

async function usableFolder(folder: string, key: string): Promise<void> {
  try {
    if (!(await stat(folder)).isDirectory()) throw new Error('it is not a folder');
    await access(folder, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const why = code === 'ENOENT' ? 'there is no such folder' : code === 'EACCES' ? 'this user may not write to it' : message;
    throw new SallyportError('config-invalid', `${key}: ${folder}: ${why}`, {}, { cause });
  }
}

async function usableProgram(program: string, key: string): Promise<void> {
  try {
    if (!(await stat(program)).isFile()) throw new Error('it is not a file');
    await access(program, constants.X_OK);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const why = code === 'ENOENT' ? 'there is no such program' : code === 'EACCES' ? 'this user may not run it' : message;
    throw new SallyportError('config-invalid', `${key}: ${program}: ${why}`, {}, { cause });
  }
}

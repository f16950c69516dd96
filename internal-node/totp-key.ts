/** The key under which second factors lie in the records: 32 bytes in hexadecimal, beside the other keys of the node. */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { SallyportError } from '../shared/errors.ts';
import { checkKeyFolder, readKeyFile, writeNewKeyFile } from '../shared/pki/key-files.ts';

const fileName = 'totp.key';

/** @param make Whether a new one is made when there is none. @throws SallyportError `key-file`. */
export async function loadTotpKey(folder: string, make: boolean): Promise<Buffer> {
  const file = join(folder, fileName);
  if (make && !existsSync(file)) await writeNewKeyFile(file, `${randomBytes(32).toString('hex')}\n`);
  const text = (await readKeyFile(folder, fileName, await checkKeyFolder(folder), true)).trim();
  if (!/^[0-9a-f]{64}$/.test(text)) throw new SallyportError('key-file', `${file} must hold 64 hexadecimal digits`);
  return Buffer.from(text, 'hex');
}

/**
 * The key that opens every upload: one age identity, which exists on the internal node only. It is kept as a standard age
 * identity file, so that `age -d -i sealing.key` opens any stored object without this program.
 */
import { join } from 'node:path';
import type { Clock } from '../../shared/clock.ts';
import { SallyportError } from '../../shared/errors.ts';
import { checkKeyFolder, ensureKeyFolder, readKeyFile, writeNewKeyFile } from '../../shared/pki/key-files.ts';
import { type AgeIdentity, generateIdentity, recipientOf } from '../../shared/seal/age-key.ts';

const fileName = 'sealing.key';

/** Makes the key of a new node. @throws SallyportError `key-file` when there is one: it is never overwritten. */
export async function makeSealingIdentity(folder: string, clock: Pick<Clock, 'nowMs'>): Promise<AgeIdentity> {
  await ensureKeyFolder(folder);
  const made = generateIdentity();
  const created = new Date(clock.nowMs()).toISOString();
  await writeNewKeyFile(join(folder, fileName), `# created: ${created}\n# public key: ${made.recipient}\n${made.identity}\n`);
  return made;
}

/** @throws SallyportError `key-file`: missing, open to others, of another owner, or not exactly one identity. */
export async function loadSealingIdentity(folder: string): Promise<AgeIdentity> {
  const text = await readKeyFile(folder, fileName, await checkKeyFolder(folder), true);
  const lines = text.split('\n').map((line) => line.trim());
  const [identity, ...more] = lines.filter((line) => line !== '' && !line.startsWith('#'));
  if (identity === undefined || more.length > 0) {
    throw new SallyportError('key-file', `${join(folder, fileName)} must hold exactly one age identity`);
  }
  return { identity, recipient: recipientOf(identity) };
}

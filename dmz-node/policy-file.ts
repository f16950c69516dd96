/** The policy that the DMZ node keeps over restarts: one file, replaced as a whole. Nothing here is believed unverified. */
import { constants } from 'node:fs';
import { open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { SallyportError } from '../shared/errors.ts';

const keptSchema = z.strictObject({
  bundle: z.string(),
  signature: z.string(),
  certificate: z.string(),
  /** When it was taken: the certificate must have been valid then. */
  acceptedAtMs: z.int().min(0),
});
export type KeptPolicy = z.infer<typeof keptSchema>;

const fileName = 'policy.json';

/** @returns undefined when there is none yet. @throws SallyportError `policy-refused` when the file is damaged. */
export async function readKeptPolicy(folder: string): Promise<KeptPolicy | undefined> {
  let text: string;
  try {
    text = await readFile(join(folder, fileName), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    return keptSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new SallyportError('policy-refused', `${fileName} in the state folder is damaged`, {}, { cause });
  }
}

/** Resolves when the file and its name are on disk. */
export async function keepPolicy(folder: string, policy: KeptPolicy): Promise<void> {
  const draft = join(folder, `${fileName}.new`);
  await using file = await open(draft, constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW, 0o600);
  await file.writeFile(JSON.stringify(policy));
  await file.sync();
  await rename(draft, join(folder, fileName));
  await using parent = await open(folder, constants.O_RDONLY | constants.O_DIRECTORY);
  await parent.sync();
}

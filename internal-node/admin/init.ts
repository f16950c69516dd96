/**
 * Makes a new internal node: keys first, the main file last. A run that was cut short can be repeated; a complete node is
 * never overwritten.
 */
import { lstat, mkdir } from 'node:fs/promises';
import { isAbsolute, join, relative, resolve } from 'node:path';
import { checkNotWritableByOthers, privateFolder, writeNewFile } from '../../shared/config/write-file.ts';
import { SallyportError } from '../../shared/errors.ts';
import { loadNodeKeys, makeNodeKeys, type NodeKeys } from '../../shared/pki/node-keys.ts';
import { mainFile, partnersFile, rulesFile } from './init-files.ts';

export const mainFileName = 'sallyport.yaml';

export interface InitArgs {
  readonly dir: string;
  readonly name: string;
  /** Default: `delivered` and `outgoing` in the folder. */
  readonly delivered?: string | undefined;
  readonly outgoing?: string | undefined;
}

export interface InitDeps {
  /** Makes the sealing identity in the keys folder, or does nothing when it is there. */
  readonly makeSealingIdentity: (keysFolder: string) => Promise<void>;
}

export interface Initialised {
  readonly config: string;
  readonly fingerprint: string;
  readonly keysReused: boolean;
}

const exists = (path: string): Promise<boolean> =>
  lstat(path).then(
    () => true,
    () => false,
  );

/** @throws SallyportError `already-exists` when there is a node, `key-file` when others can change the folder. */
export async function initInternal(args: InitArgs, deps: InitDeps): Promise<Initialised> {
  const dir = resolve(args.dir);
  const config = join(dir, mainFileName);
  if (await exists(config)) {
    throw new SallyportError('already-exists', `${config} exists already; nothing was changed`, {
      next: `sallyport fingerprint --config ${config} shows the fingerprint of that node`,
    });
  }
  await mkdir(dir, { recursive: true, mode: 0o700 });
  await checkNotWritableByOthers(dir);
  const state = join(dir, 'state');
  const keysFolder = join(state, 'keys');
  await privateFolder(state);
  await privateFolder(keysFolder);
  // Of the staff door, which can write nowhere else when its unit is in force.
  await privateFolder(join(state, 'admin'));
  const keysReused = await exists(join(keysFolder, 'ca.crt'));
  const keys: NodeKeys = keysReused
    ? await loadNodeKeys(keysFolder, 'internal')
    : await makeNodeKeys(keysFolder, { role: 'internal', name: args.name });
  await deps.makeSealingIdentity(keysFolder);

  const place = async (given: string | undefined, fallback: string): Promise<string> => {
    const folder = given === undefined ? join(dir, fallback) : resolve(given);
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const below = relative(dir, folder);
    return below.startsWith('..') || isAbsolute(below) ? folder : below;
  };
  const delivered = await place(args.delivered, 'delivered');
  const outgoing = await place(args.outgoing, 'outgoing');
  await mkdir(join(dir, 'conf.d'), { recursive: true, mode: 0o700 });
  for (const [name, text] of [['partners.yaml', partnersFile] as const, ['rules.yaml', rulesFile] as const]) {
    const path = join(dir, 'conf.d', name);
    if (!(await exists(path))) await writeNewFile(path, text);
  }
  // Last: where this file stands, the node is whole.
  await writeNewFile(config, mainFile({ name: args.name, delivered, outgoing }));
  return { config, fingerprint: keys.fingerprint, keysReused };
}

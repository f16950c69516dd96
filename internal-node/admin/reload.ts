/** Tells a running node to read its configuration anew, after a verb has changed a file of it. */
import type { Surroundings } from '../../shared/admin/cli.ts';
import { SallyportError } from '../../shared/errors.ts';
import type { MainSettings } from '../config.ts';
import { nodeClient } from '../node-client.ts';
import type { Reloaded } from './api.ts';

/** @returns whether a node runs. @throws SallyportError what the node has against the configuration. */
export async function reload({ admin }: Pick<MainSettings, 'admin'>, context: Pick<Surroundings, 'env'>): Promise<boolean> {
  try {
    await nodeClient(context, admin.socket).post<Reloaded>(['v1', 'reload']);
    return true;
  } catch (error) {
    if (error instanceof SallyportError && error.code === 'not-running') return false;
    throw error;
  }
}

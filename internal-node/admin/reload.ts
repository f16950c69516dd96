/** Tells a running node to read its configuration anew, after a verb has changed a file of it. */
import { AdminClient } from '../../shared/admin/client.ts';
import { SallyportError } from '../../shared/errors.ts';
import type { MainSettings } from '../config.ts';
import type { Reloaded } from './api.ts';

/** @returns whether a node runs. @throws SallyportError what the node has against the configuration. */
export async function reload({ admin }: Pick<MainSettings, 'admin'>): Promise<boolean> {
  try {
    await new AdminClient({ socket: admin.socket }).post<Reloaded>(['v1', 'reload']);
    return true;
  } catch (error) {
    if (error instanceof SallyportError && error.code === 'not-running') return false;
    throw error;
  }
}

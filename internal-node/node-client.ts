/** How verbs reach the running node: over its admin socket, as the member of staff who has logged in, or as the user of this host. */
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Surroundings } from '../shared/admin/cli.ts';
import { AdminClient } from '../shared/admin/client.ts';
import { SallyportError } from '../shared/errors.ts';

/** What `sallyport login` leaves for the verbs after it. */
export interface KeptLogin {
  readonly socket: string;
  readonly token: string;
}

type From = Pick<Surroundings, 'env'> & Partial<Pick<Surroundings, 'signal'>>;

/** In the folder that the system makes for this user and removes when he leaves. @throws SallyportError `usage` without one. */
export function loginFile(env: Surroundings['env']): string {
  const folder = env.XDG_RUNTIME_DIR;
  if (folder === undefined || folder === '') {
    throw new SallyportError('usage', 'there is no place for a login: XDG_RUNTIME_DIR is not set');
  }
  return join(folder, 'sallyport-login.json');
}

export function nodeClient({ env, signal }: From, socket: string): AdminClient {
  const token = tokenFor(env, socket);
  const headers = {
    'x-sallyport-user': (env.SUDO_USER ?? env.USER ?? '').replace(/[^A-Za-z0-9._@-]/g, '?').slice(0, 64),
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
  };
  return new AdminClient({ socket, headers, ...(signal ? { signal } : {}) });
}

function tokenFor(env: Surroundings['env'], socket: string): string | undefined {
  if (!env.XDG_RUNTIME_DIR) return undefined;
  try {
    const file = loginFile(env);
    // Somebody else's token would be somebody else's deeds.
    if ((statSync(file).mode & 0o077) !== 0) return undefined;
    const kept = JSON.parse(readFileSync(file, 'utf8')) as Partial<KeptLogin>;
    return kept.socket === socket ? kept.token : undefined;
  } catch {
    return undefined;
  }
}

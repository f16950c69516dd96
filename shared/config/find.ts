/** Where a command finds its configuration when nobody says: the usual places, for root and for others. */
import { existsSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';

export interface FindArgs {
  /** Value of `--config`: a file, or the folder that holds it. */
  readonly named: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Environment variable that names the file. */
  readonly variable: string;
  /** `sallyport`: name of the folder below /etc and below the user's configuration. */
  readonly folder: string;
  readonly fileName: string;
}

/** Flag, environment, the user's own folder (XDG) when it is there, /etc. The file need not exist. */
export function findConfig({ named, env, variable, folder, fileName }: FindArgs): string {
  const given = named ?? (env[variable] || undefined);
  if (given !== undefined) {
    const isFolder = existsSync(given) && statSync(given).isDirectory();
    return isFolder ? join(given, fileName) : given;
  }
  const home = env.XDG_CONFIG_HOME || (env.HOME ? join(env.HOME, '.config') : undefined);
  const own = home === undefined ? undefined : join(resolve(home), folder, fileName);
  return own !== undefined && existsSync(own) ? own : join('/etc', folder, fileName);
}

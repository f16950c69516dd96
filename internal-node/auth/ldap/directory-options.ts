/** What one directory of the configuration is: its settings with its name. */
import type { DirectorySettings } from '../../config-authentication.ts';

export interface DirectoryOptions extends DirectorySettings {
  readonly name: string;
}

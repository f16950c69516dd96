/**
 * The file of revoked SSH keys, read anew when it has changed. A file that is missing or damaged lets nobody in with a key: it
 * throws, and the login is answered "temporarily unavailable".
 */
import { readFile, stat } from 'node:fs/promises';
import { SallyportError } from '../../shared/errors.ts';
import { KeyRevocationList } from './key-revocation-list.ts';

const maxBytes = 16 * 1024 * 1024;

interface Read {
  readonly file: string;
  readonly version: string;
  readonly list: KeyRevocationList;
}

export class RevokedKeys {
  readonly #file: () => string | undefined;
  #read: Read | undefined;

  /** @param file Absolute path, as the configuration has it now; undefined when there is none. */
  constructor(file: () => string | undefined) {
    this.#file = file;
  }

  /**
   * The list as it is now; undefined when none is configured.
   * @throws SallyportError `config-invalid` when there should be one that cannot be used.
   */
  async current(): Promise<KeyRevocationList | undefined> {
    const file = this.#file();
    if (file === undefined) return undefined;
    try {
      const { ino, size, mtimeMs, ctimeMs } = await stat(file);
      const version = [ino, size, mtimeMs, ctimeMs].join();
      if (this.#read?.file === file && this.#read.version === version) return this.#read.list;
      if (size > maxBytes) throw new SallyportError('config-invalid', `${file} is too large for a list of revoked keys`);
      const list = KeyRevocationList.parse(await readFile(file));
      this.#read = { file, version, list };
      return list;
    } catch (cause) {
      if (cause instanceof SallyportError) throw cause;
      throw new SallyportError('config-invalid', `the list of revoked keys cannot be read: ${file}`, {}, { cause });
    }
  }
}

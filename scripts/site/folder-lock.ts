/** One process at a time in a folder. The lock is one of SQLite: the kernel drops it with the process, however that ends. */
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

export class FolderLock implements Disposable {
  readonly #database: DatabaseSync;

  private constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /** @returns undefined when another process has it. */
  static take(folder: string): FolderLock | undefined {
    const file = join(folder, 'lock');
    closeSync(openSync(file, 'a', 0o600));
    const database = new DatabaseSync(file, { timeout: 0 });
    try {
      database.exec('PRAGMA journal_mode=MEMORY; BEGIN EXCLUSIVE');
      return new FolderLock(database);
    } catch {
      database.close();
      return undefined;
    }
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }
}

/**
 * A folder that is opened and checked once for all who use it at the same time, with flushes that they share. Nothing stays
 * open when nobody uses it.
 */
import type { FileHandle } from 'node:fs/promises';

/** What opening gives: the handle, and whatever was found out with it. */
interface Opened {
  readonly folder: FileHandle;
}

export interface FolderUse extends AsyncDisposable {
  /** Makes the entries durable. Who waits for it at the same time shares one flush that begins after he asked. */
  sync(): Promise<void>;
  /** Whoever comes from now on opens it anew. */
  leaveForGood(): void;
}

/** Uses after which those who come later open and check the folder anew, also when it is never idle. */
const maxUses = 64;

interface Shared<T> {
  readonly opened: Promise<T>;
  users: number;
  usesLeft: number;
  flushing: Promise<void>;
  nextFlush: Promise<void> | undefined;
}

export class SharedFolder<T extends Opened> {
  #shared: Shared<T> | undefined;
  readonly #onIdle: () => void;

  /** @param onIdle Nobody uses it any more, and the next one would open it. */
  constructor(onIdle: () => void = () => {}) {
    this.#onIdle = onIdle;
  }

  /** @param open Called when it is not open. @throws what that throws, for all who waited for it. */
  async enter(open: () => Promise<T>): Promise<T & FolderUse> {
    this.#shared ??= { opened: open(), users: 0, usesLeft: maxUses, flushing: Promise.resolve(), nextFlush: undefined };
    const shared = this.#shared;
    shared.users += 1;
    shared.usesLeft -= 1;
    if (shared.usesLeft === 0) this.#forget(shared);
    try {
      const opened = await shared.opened;
      return {
        ...opened,
        sync: () => flush(shared, opened.folder),
        leaveForGood: () => this.#forget(shared),
        [Symbol.asyncDispose]: () => this.#leave(shared, opened.folder),
      };
    } catch (error) {
      this.#forget(shared);
      throw error;
    }
  }

  async #leave(shared: Shared<T>, folder: FileHandle): Promise<void> {
    shared.users -= 1;
    if (shared.users > 0) return;
    this.#forget(shared);
    await folder.close();
  }

  #forget(shared: Shared<T>): void {
    if (this.#shared !== shared) return;
    this.#shared = undefined;
    this.#onIdle();
  }
}

function flush(shared: Shared<unknown>, folder: FileHandle): Promise<void> {
  shared.nextFlush ??= shared.flushing
    .catch(() => {}) // whoever waited for it heard of it
    .then(() => {
      shared.nextFlush = undefined;
      shared.flushing = folder.sync();
      return shared.flushing;
    });
  return shared.nextFlush;
}

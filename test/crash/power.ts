/**
 * A disk whose power can be cut: an ext4 image on a loop device, bound to some folders of a site. A cut drops everything that
 * was not yet durable, as if the host had lost its power at that instant. Needs root.
 */
import { execFile } from 'node:child_process';
import { chmod, mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { eventually } from '../../scripts/site/walk.ts';

const run = promisify(execFile);
/** Sparse: it takes only what is written. Large enough for the gates of free space. */
const imageBytes = 4 * 1024 ** 3;

export class PowerDisk implements AsyncDisposable {
  #image: string;
  readonly #mount: string;
  readonly #folders: readonly string[];
  /** What is mounted, in the order in which it was. */
  readonly #mounted: string[] = [];

  private constructor(image: string, mount: string, folders: readonly string[]) {
    this.#image = image;
    this.#mount = mount;
    this.#folders = folders;
  }

  /** @param folders Absolute; made when missing, and empty afterwards. */
  static async make(image: string, folders: readonly string[]): Promise<PowerDisk> {
    const disk = new PowerDisk(image, `${image}.mount`, folders);
    await using file = await open(image, 'wx', 0o600);
    await file.truncate(imageBytes);
    await run('mkfs.ext4', ['-q', '-F', '-m', '0', image]);
    await mkdir(disk.#mount, { mode: 0o700 });
    await disk.#attach(['-o', 'loop', image], disk.#mount);
    for (const folder of folders) {
      await mkdir(disk.#place(folder), { mode: 0o700 });
      await mkdir(folder, { recursive: true, mode: 0o700 });
    }
    await disk.#bind();
    return disk;
  }

  /** From now on nothing reaches the disk any more; every access fails. */
  async cut(): Promise<void> {
    await run('xfs_io', ['-x', '-c', 'shutdown', this.#mount]);
  }

  /** After a cut, when nobody uses it any more: what was durable is there again. */
  async restore(): Promise<void> {
    await this.#unmount();
    // Mounted from a copy: a network namespace of another test may still hold the dead one, and the kernel would hand that out.
    const copy = `${this.#image}+`;
    await run('cp', ['--sparse=always', this.#image, copy]);
    await rm(this.#image);
    this.#image = copy;
    await this.#attach(['-o', 'loop', this.#image], this.#mount);
    await this.#bind();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#unmount();
    await rm(this.#mount, { recursive: true });
    await rm(this.#image);
  }

  #place(folder: string): string {
    return join(this.#mount, folder.replaceAll('/', '_'));
  }

  async #bind(): Promise<void> {
    for (const folder of this.#folders) {
      await this.#attach(['--bind', this.#place(folder)], folder);
      await chmod(folder, 0o700);
    }
  }

  async #attach(source: readonly string[], folder: string): Promise<void> {
    await run('mount', [...source, folder]);
    this.#mounted.push(folder);
  }

  async #unmount(): Promise<void> {
    for (let folder = this.#mounted.at(-1); folder !== undefined; folder = this.#mounted.at(-1)) {
      const target = folder;
      // Somebody may just be reading in it, to see what arrives.
      await eventually(`${target} is unmounted`, () => run('umount', [target]));
      this.#mounted.pop();
    }
  }
}

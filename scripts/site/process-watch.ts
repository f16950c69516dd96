/** What a process of this host holds, as the kernel counts it (proc(5)): memory and open descriptors. */
import { readdir, readFile, writeFile } from 'node:fs/promises';

export class ProcessWatch {
  readonly pid: number;

  constructor(pid: number) {
    this.pid = pid;
  }

  /** Resident memory now, MiB. */
  residentMiB(): Promise<number> {
    return this.#field('VmRSS');
  }

  /** The most resident memory since the start or the last `forgetPeak`, MiB. */
  peakMiB(): Promise<number> {
    return this.#field('VmHWM');
  }

  async forgetPeak(): Promise<void> {
    await writeFile(`/proc/${this.pid}/clear_refs`, '5');
  }

  async descriptors(): Promise<number> {
    return (await readdir(`/proc/${this.pid}/fd`)).length;
  }

  async #field(name: string): Promise<number> {
    const match = new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(await readFile(`/proc/${this.pid}/status`, 'utf8'));
    if (!match) throw new Error(`process ${this.pid} has no ${name}`);
    return Math.round(Number(match[1]) / 1024);
  }
}

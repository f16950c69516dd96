/** What the stage does as the partner beside the client under test: single requests, each checked. */
import { op, openFlags, type RawSftp } from '../../fixtures/raw-sftp.ts';

export class RawPartner implements AsyncDisposable {
  readonly sftp: RawSftp;

  constructor(sftp: RawSftp) {
    this.sftp = sftp;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.sftp[Symbol.asyncDispose]();
  }

  makeFolder(path: string): Promise<void> {
    return this.#done(op.mkdir, path, 0);
  }

  removeFolder(path: string): Promise<void> {
    return this.#done(op.rmdir, path);
  }

  remove(path: string): Promise<void> {
    return this.#done(op.remove, path);
  }

  /** @returns undefined when nothing of that name is seen. */
  async sizeOf(path: string): Promise<number | undefined> {
    return (await this.#stat(path))?.size;
  }

  async modifiedAtMs(path: string): Promise<number | undefined> {
    return (await this.#stat(path))?.modifiedAtMs;
  }

  /** The node sends size, permissions and times, in this order (draft-ietf-secsh-filexfer-02 §5). */
  async #stat(path: string): Promise<{ readonly size: number; readonly modifiedAtMs: number } | undefined> {
    const { status, body } = await this.sftp.ask(op.stat, path);
    if (status === 2) return undefined;
    if (status !== undefined) throw new Error(`stat ${path}: status ${status}`);
    const timesAt = body.length - 8;
    return { size: Number(body.readBigUInt64BE(4)), modifiedAtMs: body.readUInt32BE(timesAt + 4) * 1000 };
  }

  /** Names of a folder, partials among them. */
  async list(folder: string): Promise<string[]> {
    const opened = await this.sftp.ask(op.opendir, folder);
    if (opened.status !== undefined) throw new Error(`opendir ${folder}: status ${opened.status}`);
    const handle = opened.body.subarray(4);
    const names: string[] = [];
    for (;;) {
      const { status, body } = await this.sftp.ask(op.readdir, handle);
      if (status !== undefined) break;
      names.push(...namesOf(body));
    }
    await this.#done(op.close, handle);
    return names;
  }

  /** Sends the beginning of a file; all of it has arrived when this resolves. */
  async begin(path: string, bytes: Buffer): Promise<void> {
    const handle = await this.sftp.open(path, openFlags.write | openFlags.create | openFlags.truncate);
    for (let at = 0; at < bytes.length; at += 32_768) {
      await this.#done(op.write, handle, BigInt(at), bytes.subarray(at, at + 32_768));
    }
  }

  async #done(type: number, ...fields: readonly (string | number | bigint | Buffer)[]): Promise<void> {
    const { status, body } = await this.sftp.ask(type, ...fields);
    if (status !== 0) throw new Error(`request ${type} failed with ${status}: ${body.toString('utf8', 8)}`);
  }
}

/** Of an SSH_FXP_NAME: count, then file name, long name and attributes (size, permissions, times) of each. */
function namesOf(body: Buffer): string[] {
  const names: string[] = [];
  let at = 4;
  const text = (): string => {
    const end = at + 4 + body.readUInt32BE(at);
    const read = body.toString('utf8', at + 4, end);
    at = end;
    return read;
  };
  for (let left = body.readUInt32BE(0); left > 0; left -= 1) {
    names.push(text());
    text();
    at += attributesLength(body.readUInt32BE(at));
  }
  return names;
}

/** draft-ietf-secsh-filexfer-02 §5 */
const attributesLength = (flags: number): number =>
  4 + (flags & 1 ? 8 : 0) + (flags & 2 ? 8 : 0) + (flags & 4 ? 4 : 0) + (flags & 8 ? 8 : 0);

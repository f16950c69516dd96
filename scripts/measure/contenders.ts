/** The servers that a bench compares, each with how its client moves one file. */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { curlTransfer, type FtpsPeer } from './ftps.ts';
import type { Peer } from './peers.ts';

export const mebi = 1024 * 1024;

/** Runs `sftp` with a batch; milliseconds from start to exit. Throws when it fails. */
export async function timed(args: readonly string[], batch: readonly string[]): Promise<number> {
  const startedAt = performance.now();
  const child = spawn('sftp', ['-b', '-', ...args], { stdio: ['pipe', 'ignore', 'pipe'] });
  let errors = '';
  child.stderr.on('data', (text: Buffer) => {
    errors += text.toString();
  });
  child.stdin.end(`${batch.join('\n')}\n`);
  const code = await new Promise((resolve) => child.once('close', resolve));
  if (code !== 0) throw new Error(`sftp exited with ${code}: ${errors}`);
  return performance.now() - startedAt;
}

/** Bytes that nothing can make smaller. */
export async function makeFile(path: string, sizeBytes: number): Promise<void> {
  const file = await open(path, 'w');
  for (let left = sizeBytes; left > 0; left -= 4 * mebi) await file.write(randomBytes(Math.min(left, 4 * mebi)));
  await file.close();
}

/** One server under test. */
export interface Contender extends Pick<Peer, 'arguments'> {
  readonly name: string;
  /** One file in a session of its own. @returns milliseconds. */
  transfer(way: 'put' | 'get', local: string, remote: string, options?: readonly string[]): Promise<number>;
  /** Where an upload of this name goes, as the client writes it. */
  upload(name: string): string;
  /** Waits until nothing more is done about an upload, and removes it. */
  settle(name: string): Promise<void>;
  /** Makes a file ready to be fetched. @returns its path for the client. */
  offer(name: string, local: string): Promise<string>;
}

/** With OpenSSH's client. */
export const sftpTransfer =
  (args: Contender['arguments']): Contender['transfer'] =>
  (way, local, remote, options = []) =>
    timed(args(options), [way === 'put' ? `put ${local} ${remote}` : `get ${remote} ${local}`]);

/** A server that only writes, and that OpenSSH's client is used with. */
export function contender(name: string, peer: Peer): Contender {
  const args: Contender['arguments'] = (options) => peer.arguments(options);
  return {
    name,
    arguments: args,
    transfer: sftpTransfer(args),
    upload: (file) => peer.remote(file),
    settle: (file) => rm(peer.local(file), { recursive: true }),
    offer: async (file, local) => {
      await pipeline(createReadStream(local, { highWaterMark: mebi }), (await open(peer.local(file), 'w')).createWriteStream());
      return peer.remote(file);
    },
  };
}

export function ftpsContender(name: string, peer: FtpsPeer): Contender {
  return {
    ...contender(name, { ...peer, arguments: () => [], remote: (file) => file }),
    transfer: (way, local, remote) => curlTransfer(peer, way, local, remote),
  };
}

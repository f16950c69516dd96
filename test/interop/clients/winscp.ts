/**
 * What WinSCP sends, by ssh2's client: WinSCP itself does not run here. As it is set up by default it uploads files above
 * 100 KB as `NAME.filepart`, then removes an old NAME, renames, and sets the time; a resume goes on with the `.filepart`.
 */
import { createReadStream, createWriteStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import type { ConnectConfig, SFTPWrapper } from 'ssh2';
import { connectClient } from '../../fixtures/raw-sftp.ts';
import { type Client, type Door, nothingShown, type Outcome, oneByOne, type Step } from './client.ts';

const wholeUpToBytes = 100 * 1024;

type Put = Extract<Step, { do: 'put' }>;

async function put(sftp: SFTPWrapper, { local, remote, resume }: Put): Promise<void> {
  const { size, mtimeMs } = await stat(local);
  const target = size > wholeUpToBytes ? `${remote}.filepart` : remote;
  const start = resume ? await sizeOf(sftp, target) : undefined;
  const options = start === undefined ? { flags: 'w' as const } : { flags: 'r+' as const, start };
  await pipeline(createReadStream(local, { start: start ?? 0 }), sftp.createWriteStream(target, options));
  if (target !== remote) {
    if ((await sizeOf(sftp, remote)) !== undefined) await promisify(sftp.unlink.bind(sftp))(remote);
    await promisify(sftp.rename.bind(sftp))(target, remote);
  }
  await promisify(sftp.utimes.bind(sftp))(remote, mtimeMs / 1000, mtimeMs / 1000);
}

async function get(sftp: SFTPWrapper, { remote, local, resume }: Extract<Step, { do: 'get' }>): Promise<void> {
  const start = resume ? (await stat(local)).size : 0;
  await pipeline(sftp.createReadStream(remote, { start }), createWriteStream(local, { flags: resume ? 'a' : 'w' }));
}

/** @returns undefined when it is not there. */
async function sizeOf(sftp: SFTPWrapper, path: string): Promise<number | undefined> {
  return new Promise((done) => sftp.lstat(path, (error, facts) => done(error ? undefined : facts.size)));
}

async function one(sftp: SFTPWrapper, step: Step): Promise<Partial<Outcome>> {
  switch (step.do) {
    case 'put':
      await put(sftp, step);
      return {};
    case 'get':
      await get(sftp, step);
      return {};
    case 'rename':
      await promisify(sftp.rename.bind(sftp))(step.from, step.to);
      return {};
    case 'remove':
      await promisify(sftp.unlink.bind(sftp))(step.path);
      return {};
    case 'mkdir':
      await new Promise<void>((done, failed) => sftp.mkdir(step.path, (error) => (error ? failed(error) : done())));
      return {};
    case 'rmdir':
      await promisify(sftp.rmdir.bind(sftp))(step.path);
      return {};
    case 'list':
      return { listings: [(await promisify(sftp.readdir.bind(sftp))(step.path)).map(({ filename }) => filename)] };
    case 'stat': {
      const { size, mtime } = await promisify(sftp.stat.bind(sftp))(step.path);
      return { stats: [{ size, modifiedAtMs: mtime * 1000 }] };
    }
  }
}

async function session(door: Door) {
  const secret: ConnectConfig =
    door.login === 'key'
      ? { privateKey: await readFile(door.keyFile), authHandler: ['publickey'] }
      : { password: door.password, authHandler: ['password'] };
  const known = door.hostKeys.map((line) => line.split(' ')[1]);
  const client = await connectClient(door.port, {
    username: door.user,
    ...secret,
    hostVerifier: (key: Buffer) => known.includes(key.toString('base64')),
  });
  client.on('error', () => undefined);
  client.setNoDelay(true);
  return client;
}

const failed = (error: unknown): Outcome => ({ ok: false, output: String(error), ...nothingShown });

export const winscp: Client = {
  name: 'WinSCP, emulated',
  id: 'winscp',
  protocol: 'sftp',
  packages: [],
  note: 'its requests, sent by ssh2: `.filepart`, remove, rename, time',
  lacks: {
    rekey: 'not emulated',
    rename: 'every upload above 100 KB is one',
    overwrite: 'it removes the older file itself',
    'any-name': 'no such name on Windows',
  },

  async run(door, steps): Promise<Outcome> {
    const client = await session(door).catch(failed);
    if ('ok' in client) return client;
    // Requests under way are never answered then.
    const lost = new Promise<never>((_, reject) => client.once('close', () => reject(new Error('the connection was lost'))));
    lost.catch(() => undefined);
    try {
      const sftp = await promisify(client.sftp.bind(client))();
      const play = (step: Step): Promise<Partial<Outcome>> => Promise.race([one(sftp, step), lost]);
      return await oneByOne(steps, async (step) => ({ ok: true, output: '', ...nothingShown, ...(await play(step)) }));
    } catch (error) {
      return failed(error);
    } finally {
      client.destroy();
    }
  },
};

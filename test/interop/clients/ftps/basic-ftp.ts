/** basic-ftp, the library of most programs for Node. Its data connections resume the TLS session. */
import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client as BasicFtp, enterPassiveModeIPv4, enterPassiveModeIPv6 } from 'basic-ftp';
import type { Client, Door, Step } from '../client.ts';

interface Shown {
  readonly listings: string[][];
  readonly stats: { readonly size: number; readonly modifiedAtMs: number }[];
}

async function one(client: BasicFtp, step: Step, shown: Shown): Promise<void> {
  switch (step.do) {
    case 'put':
      if (!step.resume) await client.uploadFrom(step.local, step.remote);
      else await client.appendFrom(step.local, step.remote, { localStart: await client.size(step.remote) });
      return;
    case 'get':
      await client.downloadTo(step.local, step.remote, step.resume ? (await stat(step.local)).size : 0);
      return;
    case 'rename':
      await client.rename(step.from, step.to);
      return;
    case 'remove':
      await client.remove(step.path);
      return;
    case 'mkdir':
    case 'rmdir':
      await client.send(`${step.do === 'mkdir' ? 'MKD' : 'RMD'} ${step.path}`);
      return;
    case 'list':
      shown.listings.push((await client.list(step.path)).map(({ name }) => name));
      return;
    case 'stat':
      shown.stats.push({
        size: await client.size(step.path),
        modifiedAtMs: (await client.lastMod(step.path)).getTime(),
      });
      return;
  }
}

async function connect({ way, host, port, user, password, caFile }: Door): Promise<BasicFtp> {
  const client = new BasicFtp(60_000);
  client.prepareTransfer = way.passive === 'PASV' ? enterPassiveModeIPv4 : enterPassiveModeIPv6;
  const version = `TLSv${way.tls}` as const;
  const secureOptions = {
    ca: await readFile(caFile),
    minVersion: version,
    maxVersion: version,
    servername: 'localhost',
    // It is told an address; the certificate is for a name.
    checkServerIdentity: () => undefined,
  };
  await client.access({ host, port, user, password, secure: way.implicit ? 'implicit' : true, secureOptions });
  return client;
}

async function session(door: Door, work: (client: BasicFtp, shown: Shown) => Promise<unknown>) {
  const shown: Shown = { listings: [], stats: [] };
  let client: BasicFtp | undefined;
  try {
    client = await connect(door);
    await work(client, shown);
    return { ok: true, output: '', ...shown };
  } catch (error) {
    return { ok: false, output: String(error), ...shown };
  } finally {
    client?.close();
  }
}

async function* slowly(path: string, bytesPerSecond: number): AsyncGenerator<Buffer> {
  for await (const chunk of createReadStream(path)) {
    yield chunk as Buffer;
    await sleep(((chunk as Buffer).length / bytesPerSecond) * 1000);
  }
}

export const basicFtp: Client = {
  name: 'basic-ftp',
  id: 'basic-ftp',
  protocol: 'ftps',
  packages: [],
  modules: ['basic-ftp'],
  lacks: { times: 'it sends no times' },

  run: (door, steps) =>
    session(door, async (client, shown) => {
      for (const step of steps) await one(client, step, shown);
    }),

  mirror: (door, local, remote) => session(door, (client) => client.uploadFromDir(local, remote)),

  giveUp: async (door, { local, remote, bytesPerSecond, begun }) => {
    const client = await connect(door);
    const sent = client.uploadFrom(Readable.from(slowly(local, bytesPerSecond)), remote).catch(() => undefined);
    await begun();
    client.close();
    await sent;
  },
};

/** Opens many SFTP sessions that do nothing, from as many addresses as the limits per source ask for. */
import { readFile } from 'node:fs/promises';
import ssh2 from 'ssh2';
import type { Site, SitePartner } from '../site/site.ts';

const perSource = 90;
const atOnce = 8;

export interface IdleSessions extends AsyncDisposable {
  readonly count: number;
}

export async function openIdleSessions(site: Site, partner: SitePartner, count: number): Promise<IdleSessions> {
  const privateKey = await readFile(partner.keyFile);
  const clients: ssh2.Client[] = [];
  const openOne = async (n: number): Promise<void> => {
    const client = new ssh2.Client();
    clients.push(client);
    await new Promise<void>((resolve, reject) => {
      client.on('error', reject);
      client.once('ready', () => client.sftp((error) => (error ? reject(error) : resolve())));
      client.connect({
        host: site.sftp.host,
        port: site.sftp.port,
        localAddress: `127.0.1.${1 + Math.floor(n / perSource)}`,
        username: partner.name,
        privateKey,
        readyTimeout: 60_000,
      });
    });
  };
  let next = 0;
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      while (next < count) await openOne(next++);
    }),
  );
  return {
    count,
    async [Symbol.asyncDispose]() {
      const ended = clients.map((client) => new Promise<void>((done) => client.once('close', () => done())));
      for (const client of clients) client.end();
      await Promise.all(ended);
    },
  };
}

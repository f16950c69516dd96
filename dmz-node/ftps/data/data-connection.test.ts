import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { CutStream } from '../../../test/fixtures/cut-stream.ts';
import { loadCertificate, makeSelfSigned } from '../tls/certificate.ts';
import { SessionTls } from '../tls/door-tls.ts';
import { secureConnection } from './data-connection.ts';

let folder: string;
let tls: SessionTls;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-data-'));
  const files = { certificate: join(folder, 'certificate.pem'), key: join(folder, 'key.pem') };
  await makeSelfSigned(files, ['127.0.0.1'], Date.now());
  tls = new SessionTls([await loadCertificate(files)], { clientCertificates: 'none', minimum: 'TLSv1.2' });
});
after(() => rm(folder, { recursive: true }));

/** How the server sees the end of `bytes`. @param slowly It stops reading after each piece and goes on a little later. */
async function seen(version: 'TLSv1.2' | 'TLSv1.3', bytes: number, clean: boolean, slowly: boolean) {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = once(server, 'connection');
  const below = new CutStream(connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1' }));
  const client = connectTls({ socket: below, rejectUnauthorized: false, minVersion: version, maxVersion: version });
  client.on('error', () => undefined);
  const connection = await secureConnection((await accepted)[0] as Socket, tls, AbortSignal.timeout(60_000));
  let came = 0;
  connection.socket.on('data', (chunk: Buffer) => {
    came += chunk.length;
    if (!slowly) return;
    connection.socket.pause();
    void turn().then(() => connection.socket.resume());
  });
  client.write(Buffer.alloc(bytes), () => (clean ? client.end() : below.endUntold()));
  await once(connection.socket, 'end');
  const told = connection.endedCleanly();
  connection.destroy();
  below.destroy();
  server.close();
  return { came, told };
}

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  test(`F79: ${version}: whether the sender said the end is seen, however far the reader is behind`, async () => {
    for (const bytes of [1, 20_000, 66_000, 70_000, 80_000, 90_000, 100_000, 120_000, 140_000, 1_000_000]) {
      for (const slowly of [false, true]) {
        for (const clean of [true, false]) {
          assert.deepEqual(
            await seen(version, bytes, clean, slowly),
            { came: bytes, told: clean },
            `${bytes}, ${clean}, ${slowly}`,
          );
        }
      }
    }
  });
}

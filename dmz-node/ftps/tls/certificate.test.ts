import assert from 'node:assert/strict';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { silentLogger } from '../../../shared/log.ts';
import { ManualClock } from '../../../test/fixtures/manual-clock.ts';
import { CertificateStore, loadCertificate, makeSelfSigned } from './certificate.ts';

async function made() {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-certificate-'));
  const files = { certificate: join(folder, 'a.crt'), key: join(folder, 'a.key') };
  await makeSelfSigned(files, ['ftp.example.com', '192.0.2.1'], Date.now());
  return { folder, files, [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
}

test('a self-signed certificate is for the names that were asked for and no others', async () => {
  await using one = await made();
  const certificate = await loadCertificate(one.files);
  assert.deepEqual(
    ['ftp.example.com', '192.0.2.1', 'example.com', '192.0.2.2'].map((name) => certificate.serves(name)),
    [true, true, false, false],
  );
  await assert.rejects(makeSelfSigned(one.files, ['x'], 0), { code: 'key-file' });
});

test('a key of another certificate, and a key that others can read, are refused by name', async () => {
  await using one = await made();
  await using other = await made();
  await assert.rejects(loadCertificate({ certificate: one.files.certificate, key: other.files.key }), /is not the key of/);
  await assert.rejects(loadCertificate({ ...one.files, certificate: one.files.key }), { code: 'key-file' });
  await rm(one.files.key);
  await writeFile(one.files.key, 'x', { mode: 0o644 });
  await assert.rejects(loadCertificate(one.files), /has mode 0644/);
});

test('a renewed certificate is taken over; one that does not fit its key is not', async () => {
  await using one = await made();
  await using next = await made();
  const store = new CertificateStore({ clock: new ManualClock(), log: silentLogger }, [one.files]);
  await store.start();
  const first = store.current()[0]?.fingerprint;
  await rename(next.files.certificate, one.files.certificate);
  await store.refresh();
  assert.equal(store.current()[0]?.fingerprint, first, 'the key is still the old one');
  await rename(next.files.key, one.files.key);
  await store.refresh();
  assert.notEqual(store.current()[0]?.fingerprint, first);
  store.stop();
});

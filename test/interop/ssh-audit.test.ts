/** What an auditor's scanner says of the SFTP door: `ssh-audit` finds nothing to fail or to warn of. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { asHostKey } from '../../dmz-node/sftp/host-key.ts';
import { hostKeyTypes, newHostKey } from '../../dmz-node/sftp/new-host-key.ts';
import { parseSshKey } from '../../dmz-node/sftp/ssh2-seam.ts';
import { MemoryView } from '../fixtures/memory-view.ts';
import { run } from '../fixtures/openssh.ts';
import { openDoor } from '../fixtures/sftp-door.ts';

interface Report {
  readonly banner: { readonly raw: string; readonly software: string; readonly comments: string | null };
  readonly compression: readonly string[];
  readonly kex: readonly { readonly algorithm: string }[];
  readonly key: readonly { readonly algorithm: string; readonly keysize?: number }[];
  readonly enc: readonly string[];
  readonly mac: readonly string[];
}

const texts = await Promise.all(hostKeyTypes.map(newHostKey));
const hostKeys = texts.map((text) => asHostKey(parseSshKey(Buffer.from(text)), 'a new key'));
/** Newer than the scanner of Debian 12, which warns of what it has never heard of. */
const newerThanScanner = ['mlkem768x25519-sha256', 'kex-strict-s-v00@openssh.com'];

async function audit(compatible: boolean): Promise<{ report: Report; findings: readonly string[] }> {
  await using door = await openDoor({ view: new MemoryView(), options: { hostKeys, compatible } });
  const target = ['-p', String(door.port), '127.0.0.1'];
  const json = await run('ssh-audit', ['-j', ...target]);
  const text = await run('ssh-audit', ['-b', '-n', '-l', 'warn', ...target]);
  const found = text.out.split('\n').filter((line) => /\[(fail|warn)\]/.test(line));
  const findings = found.filter(
    (line) => !(/unknown algorithm/.test(line) && newerThanScanner.some((name) => line.includes(name))),
  );
  return { report: JSON.parse(json.out) as Report, findings };
}

test('SF-14: ssh-audit reports no failure and no warning', async () => {
  const { report, findings } = await audit(false);
  assert.deepEqual(findings, []);
  assert.deepEqual(report.banner, { raw: 'SSH-2.0-Sallyport', protocol: [2, 0], software: 'Sallyport', comments: null });
  assert.deepEqual(
    report.kex.map(({ algorithm }) => algorithm),
    [
      'mlkem768x25519-sha256',
      'curve25519-sha256',
      'curve25519-sha256@libssh.org',
      'diffie-hellman-group16-sha512',
      'kex-strict-s-v00@openssh.com',
    ],
  );
  const keys = report.key.map(({ algorithm, keysize }) => `${algorithm} ${keysize ?? ''}`.trim());
  assert.deepEqual(keys, ['ssh-ed25519', 'rsa-sha2-512 3072', 'rsa-sha2-256 3072']);
  assert.deepEqual(report.enc, ['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com', 'aes128-ctr', 'aes256-ctr']);
  assert.deepEqual(report.mac, ['hmac-sha2-256-etm@openssh.com', 'hmac-sha2-512-etm@openssh.com']);
  assert.deepEqual(report.compression, ['none']);
});

test('the scanner would say so: what `algorithms: compatible` adds is warned of', async () => {
  const { report, findings } = await audit(true);
  assert.ok(findings.some((line) => line.includes('ecdh-sha2-nistp256')));
  assert.ok(findings.some((line) => line.includes('ecdsa-sha2-nistp256')));
  assert.ok(findings.some((line) => /hmac-sha2-256 .*encrypt-and-MAC/.test(line)));
  assert.equal(report.kex[0]?.algorithm, 'mlkem768x25519-sha256');
});

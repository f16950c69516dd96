/** FTPS for the bench: curl as the client of every server, and ProFTPD's mod_tls as the server to measure against. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { proftpdBasics, startDaemon, stopDaemon } from './peers.ts';

const run = promisify(execFile);

export interface FtpsServer {
  readonly port: number;
  readonly caFile: string;
  readonly user: string;
  readonly password: string;
}

/** One file with curl: a login, TLS 1.3, explicit. @returns milliseconds from start to exit. Throws when it fails. */
export async function curlTransfer(server: FtpsServer, way: 'put' | 'get', local: string, remote: string): Promise<number> {
  const startedAt = performance.now();
  const args = ['-sS', '--ssl-reqd', '--tlsv1.3', '--cacert', server.caFile, '-K', '-', way === 'put' ? '-T' : '-o', local];
  const child = spawn('curl', [...args, `ftp://127.0.0.1:${server.port}/${remote}`], { stdio: ['pipe', 'ignore', 'pipe'] });
  let errors = '';
  child.stderr.on('data', (text: Buffer) => {
    errors += text.toString();
  });
  child.stdin.end(`user = "${server.user}:${server.password}"\n`);
  const code = await new Promise((resolve) => child.once('close', resolve));
  if (code !== 0) throw new Error(`curl exited with ${code}: ${errors}`);
  return performance.now() - startedAt;
}

export interface FtpsPeer extends FtpsServer, AsyncDisposable {
  /** Where a file of this name lies. */
  local(name: string): string;
}

/** ProFTPD with mod_tls (Debian package `proftpd-mod-crypto`), TLS 1.3 alone, for control and data. */
export async function startProftpdTls(folder: string, port: number): Promise<FtpsPeer> {
  await mkdir(join(folder, 'files'), { recursive: true, mode: 0o700 });
  const [key, certificate] = [join(folder, 'key.pem'), join(folder, 'certificate.pem')];
  const request = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  const subject = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1'];
  await run('openssl', [...request, ...subject, '-keyout', key, '-out', certificate]);
  const password = 'measured';
  const hash = (await run('openssl', ['passwd', '-5', password])).stdout.trim();
  const ids = [process.getuid?.() ?? 0, process.getgid?.() ?? 0] as const;
  const users = `bench:${hash}:${ids.join(':')}::${join(folder, 'files')}:/bin/sh\n`;
  await writeFile(join(folder, 'passwd'), users, { mode: 0o600 });
  await writeFile(join(folder, 'group'), await readFile('/etc/group', 'utf8'), { mode: 0o600 });
  await writeFile(
    join(folder, 'config'),
    [
      ...(await proftpdBasics(folder, port)),
      ...['LoadModule mod_tls.c', 'TLSEngine on', 'TLSRequired on', 'TLSProtocol TLSv1.3', 'TLSLog none'],
      ...[`TLSECCertificateFile ${certificate}`, `TLSECCertificateKeyFile ${key}`, ''],
    ].join('\n'),
  );
  const daemon: ChildProcess = await startDaemon(port, 'proftpd', ['-n', '-c', join(folder, 'config')]);
  return {
    ...{ port, caFile: certificate, user: 'bench', password },
    local: (name) => join(folder, 'files', name),
    [Symbol.asyncDispose]: () => stopDaemon(daemon),
  };
}

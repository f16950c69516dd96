/**
 * The way to a directory server: a socket that is connected and, unless the configuration admits plain text, secured and
 * checked before the first byte that matters is written. StartTLS (RFC 4511 §4.14) is asked for here, on a connection on which
 * nothing else was said; a server that declines, or says more than yes, is left.
 *
 * `ldapts` gets the finished socket: its own StartTLS forgets to notice when the connection ends.
 */
import { createHash, type X509Certificate } from 'node:crypto';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls, getCACertificates, type TLSSocket } from 'node:tls';
import type { Clock } from '../../../shared/clock.ts';
import { DirectoryFault } from './directory-fault.ts';

export interface ServerAddress {
  readonly host: string;
  readonly port: number;
  readonly security: 'tls' | 'start-tls' | 'plain';
}

export interface TlsTrust {
  /** PEM; default: the authorities of this host. */
  readonly authorities?: string;
  /** Instead of the host. */
  readonly serverName?: string;
  /** SHA-256 of SPKI, hex. With any, nothing else counts. */
  readonly keyPins: readonly string[];
}

export function addressOf(url: string, startTls: boolean): ServerAddress {
  const { protocol, hostname, port } = new URL(url);
  const secure = protocol === 'ldaps:';
  return {
    host: hostname.replace(/^\[(.*)\]$/, '$1'),
    port: port === '' ? (secure ? 636 : 389) : Number(port),
    security: secure ? 'tls' : startTls ? 'start-tls' : 'plain',
  };
}

/** ExtendedRequest 1 with the name of StartTLS, in BER. */
const startTlsRequest = Buffer.concat([
  Buffer.from([0x30, 0x1d, 0x02, 0x01, 0x01, 0x77, 0x18, 0x80, 0x16]),
  Buffer.from('1.3.6.1.4.1.1466.20037'),
]);

/**
 * @param limitMs For all of it.
 * @throws DirectoryFault `failed`; then nothing is left open. Rejects with the reason of `signal`.
 */
export async function openSocket(
  address: ServerAddress,
  trust: TlsTrust,
  { clock, limitMs }: { readonly clock: Pick<Clock, 'after'>; readonly limitMs: number },
  signal: AbortSignal,
): Promise<Socket> {
  signal.throwIfAborted();
  const tcp = connectTcp({ host: address.host, port: address.port, noDelay: true });
  const cut = (why: unknown): void => void tcp.destroy(why instanceof Error ? why : new Error(String(why)));
  tcp.on('error', () => undefined); // told by `until`; later by whoever holds the socket
  const cancel = clock.after(limitMs, () => cut(new Error('no answer in time')));
  const onAbort = (): void => cut(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    await until(tcp, 'connect');
    if (address.security === 'plain') return tcp;
    if (address.security === 'start-tls') await askForTls(tcp);
    return await secured(tcp, address, trust);
  } catch (error) {
    tcp.destroy();
    signal.throwIfAborted();
    if (error instanceof DirectoryFault) throw error;
    throw new DirectoryFault('failed', `${address.host}:${address.port}: ${explained(error)}`);
  } finally {
    cancel();
    signal.removeEventListener('abort', onAbort);
  }
}

async function secured(tcp: Socket, { host }: ServerAddress, trust: TlsTrust): Promise<TLSSocket> {
  const name = trust.serverName ?? host;
  const pinned = trust.keyPins.length > 0;
  const socket = connectTls({
    socket: tcp,
    host: name,
    ...(isIP(name) ? {} : { servername: name }),
    ca: trust.authorities ?? getCACertificates('system'),
    minVersion: 'TLSv1.2',
    // With pins the key alone is looked at, below, before anything is sent.
    rejectUnauthorized: !pinned,
  });
  socket.on('error', () => undefined);
  await until(socket, 'secureConnect');
  if (pinned) {
    const presented = keyDigest(socket.getPeerX509Certificate());
    if (!trust.keyPins.includes(presented)) {
      socket.destroy();
      throw new DirectoryFault('failed', `the key of the server, ${presented}, is none of keyPins`);
    }
  }
  return socket;
}

const keyDigest = (certificate: X509Certificate | undefined): string =>
  createHash('sha256')
    .update(certificate?.publicKey.export({ type: 'spki', format: 'der' }) ?? '')
    .digest('hex');

/** Nothing may follow the answer: it would be taken for something that came through TLS. */
async function askForTls(tcp: Socket): Promise<void> {
  tcp.write(startTlsRequest);
  let received = Buffer.alloc(0);
  for (;;) {
    await until(tcp, 'readable');
    received = Buffer.concat([received, (tcp.read() as Buffer | null) ?? Buffer.alloc(0)]);
    const answer = startTlsAnswer(received);
    if (answer === 'more') continue;
    if (answer !== 0) throw new DirectoryFault('failed', `the server does not begin TLS (${answer}); nothing was sent in clear`);
    return;
  }
}

/** @returns the result code of the one answer, or `more` when it is not whole yet, or `broken`. */
export function startTlsAnswer(bytes: Buffer): number | 'more' | 'broken' {
  const whole = element(bytes, 0);
  if (whole === 'more') return bytes.length > 4096 ? 'broken' : 'more';
  if (whole === 'broken' || whole.tag !== 0x30 || whole.end !== bytes.length) return 'broken';
  const id = element(bytes, whole.start);
  if (typeof id === 'string' || id.tag !== 0x02 || bytes.readUIntBE(id.start, id.end - id.start) !== 1) return 'broken';
  const response = element(bytes, id.end);
  if (typeof response === 'string' || response.tag !== 0x78) return 'broken';
  const code = element(bytes, response.start);
  return typeof code === 'string' || code.tag !== 0x0a || code.end !== code.start + 1
    ? 'broken'
    : (bytes[code.start] ?? 'broken');
}

/** One BER element with a definite length of at most four bytes. */
function element(
  bytes: Buffer,
  at: number,
): { readonly tag: number; readonly start: number; readonly end: number } | 'more' | 'broken' {
  if (bytes.length < at + 2) return 'more';
  const tag = bytes[at] ?? 0;
  const first = bytes[at + 1] ?? 0;
  const count = first & 0x7f;
  if (first >= 0x80 && (count === 0 || count > 4)) return 'broken';
  const start = at + 2 + (first >= 0x80 ? count : 0);
  if (bytes.length < start) return 'more';
  const length = first >= 0x80 ? bytes.readUIntBE(at + 2, count) : first;
  return bytes.length < start + length ? 'more' : { tag, start, end: start + length };
}

function until(socket: Socket, event: 'connect' | 'secureConnect' | 'readable'): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = (error?: unknown): void => {
      socket.off(event, ready);
      socket.off('error', failed);
      socket.off('close', closed);
      if (error === undefined) resolve();
      else reject(error);
    };
    const ready = (): void => done();
    const failed = (error: unknown): void => done(error);
    const closed = (): void => done(socket.errored ?? new Error('the server closed the connection'));
    socket.once(event, ready);
    socket.once('error', failed);
    socket.once('close', closed);
  });
}

function explained(error: unknown): string {
  const { code, message = String(error) } = error as NodeJS.ErrnoException;
  const words: Readonly<Record<string, string>> = {
    ECONNREFUSED: 'nothing listens there',
    EHOSTUNREACH: 'the host cannot be reached',
    ENETUNREACH: 'the network cannot be reached',
    ENOTFOUND: 'the name is not known',
    EAI_AGAIN: 'the name could not be looked up',
  };
  const plain = words[code ?? ''];
  return plain ?? (code === undefined || message.includes(code) ? message : `${message} (${code})`);
}

/**
 * One TLS connection to the DMZ node, checked before a single byte of ours is sent on it. The address comes from this node's
 * own configuration and from nowhere else.
 */
import type { X509Certificate } from 'node:crypto';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { systemClock } from '../../shared/clock.ts';
import { type ErrorFields, SallyportError } from '../../shared/errors.ts';
import type { NodeKeys } from '../../shared/pki/node-keys.ts';
import type { PeerVerdict, PresentedPeer } from '../../shared/pki/peer-check.ts';
import { presentedBy } from '../../shared/pki/peer-trust.ts';
import { clientTlsOptions, connectionFault, groupOf, isHybrid } from '../../shared/tls.ts';
import { paths } from '../../shared/tunnel/paths.ts';
import { howToMend, type RefusalCheck, refusalHeader } from '../../shared/tunnel/refusals.ts';

/** Who the other end is. */
export interface Judge {
  judge(presented: PresentedPeer): PeerVerdict;
}

export interface TlsDialOptions {
  readonly host: string;
  readonly port: number;
  readonly keys: NodeKeys;
  readonly classicalKeyExchange: boolean;
}

export interface DialedSocket {
  readonly socket: TLSSocket;
  readonly leaf: X509Certificate | undefined;
  readonly peer: string;
  readonly fingerprint: string;
  readonly group: string;
}

const tcpMs = 4000;
const tlsMs = 10_000;

/** A refusal as an error: the field `check` names it, `by` says which side refused. */
export function refusal(check: RefusalCheck, by: 'inside' | 'dmz', detail: string, fields: ErrorFields = {}): SallyportError {
  return new SallyportError('peer-refused', `${detail}; ${howToMend(check, by)}`, { check, by, ...fields });
}

/** @throws SallyportError `peer-refused` with the field `check`; `tunnel-down` when there is no connection. */
export async function dialTls(trust: Judge, options: TlsDialOptions, signal: AbortSignal): Promise<DialedSocket> {
  signal.throwIfAborted();
  const tcp = connectTcp({ host: options.host, port: options.port, noDelay: true });
  await connected(tcp, 'connect', tcpMs, options, signal);
  const socket = connectTls({ ...clientTlsOptions(options), socket: tcp });
  await connected(socket, 'secureConnect', tlsMs, options, signal);
  // A stray error must never be an uncaught one, whoever holds the socket later.
  socket.on('error', () => socket.destroy());
  return checked(socket, trust, options);
}

function checked(socket: TLSSocket, trust: Judge, options: TlsDialOptions): DialedSocket {
  const fault = connectionFault(socket);
  if (fault !== undefined) {
    socket.destroy();
    throw refusal(socket.alpnProtocol ? 'tls' : 'alpn', 'inside', fault);
  }
  const group = groupOf(socket);
  if (!options.classicalKeyExchange && !isHybrid(group)) {
    tellRefusal(socket, 'key-exchange');
    throw refusal('key-exchange', 'inside', `the key exchange would be ${group}`);
  }
  const presented = presentedBy(socket);
  const verdict = judged(socket, trust, presented);
  if (!verdict.ok) {
    tellRefusal(socket, verdict.check);
    throw refusal(
      verdict.check,
      'inside',
      `the DMZ node at ${options.host}:${options.port} was refused (${verdict.check}): ${verdict.detail}`,
    );
  }
  return { socket, leaf: presented.leaf, peer: verdict.name, fingerprint: verdict.fingerprint, group };
}

function judged(socket: TLSSocket, trust: Judge, presented: PresentedPeer): PeerVerdict {
  try {
    return trust.judge(presented);
  } catch (cause) {
    socket.destroy();
    throw new SallyportError(
      'key-file',
      `the authority of the DMZ node could not be recorded: ${(cause as Error).message}`,
      {},
      { cause },
    );
  }
}

/** Both logs shall name the check. Nothing else of ours is sent to a peer that was refused. */
function tellRefusal(socket: TLSSocket, check: RefusalCheck): void {
  socket.end(`GET ${paths.refused} HTTP/1.1\r\nHost: sallyport\r\n${refusalHeader}: ${check}\r\nConnection: close\r\n\r\n`);
  socket.resume();
  systemClock.after(2000, () => socket.destroy());
}

function connected(
  socket: Socket,
  ready: 'connect' | 'secureConnect',
  limitMs: number,
  options: TlsDialOptions,
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = (error?: unknown) => {
      cancel();
      signal.removeEventListener('abort', onAbort);
      socket.off('error', done);
      socket.off('close', onClose);
      if (error === undefined) return resolve();
      socket.on('error', () => undefined);
      socket.destroy();
      return reject(signal.aborted ? signal.reason : explain(error, options));
    };
    const onAbort = () => done(signal.reason);
    const onClose = () => done(new Error('the other end closed the connection'));
    const cancel = systemClock.after(limitMs, () => done(Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' })));
    signal.addEventListener('abort', onAbort, { once: true });
    socket.once('error', done);
    socket.once('close', onClose);
    socket.once(ready, () => done());
  });
}

/** What a failed connection means to an operator. */
export function explain(error: unknown, address: { readonly host: string; readonly port: number }): SallyportError {
  if (error instanceof SallyportError) return error;
  const { code = '', message = String(error) } = error as NodeJS.ErrnoException;
  const at = `${address.host}:${address.port}`;
  if (code.includes('HANDSHAKE_FAILURE') || code.includes('KEY_SHARE')) {
    return refusal('key-exchange', 'dmz', `the DMZ node at ${at} and this node share no key exchange`);
  }
  if (code.includes('NO_APPLICATION_PROTOCOL')) return refusal('alpn', 'dmz', `${at} does not speak the tunnel protocol`);
  if (code.startsWith('ERR_SSL') || code === 'EPROTO') return refusal('tls', 'inside', `no TLS 1.3 with ${at} (${code})`);
  const words: Readonly<Record<string, string>> = {
    ECONNREFUSED: 'nothing listens there: is the DMZ node running, are address and port right?',
    ETIMEDOUT: 'no answer: is the way there open (routing, firewall)?',
    EHOSTUNREACH: 'the host cannot be reached',
    ENETUNREACH: 'the network cannot be reached',
    ENOTFOUND: 'the name is not known',
    EAI_AGAIN: 'the name could not be looked up',
    ECONNRESET: 'the other end cut the connection: this address may not be on its list of allowed sources',
  };
  return new SallyportError(
    'tunnel-down',
    `no connection to the DMZ node at ${at}: ${words[code] ?? message}`,
    { reason: code },
    { cause: error },
  );
}

/**
 * Messages of a login (RFC 4252, RFC 4256) that the package `ssh2` reads wrongly, read here instead. Part of `ssh2-seam.ts`, which
 * imports it for its effect: the package has one table of readers for all connections.
 */
import { createRequire } from 'node:module';
import { sshString } from './ssh-strings.ts';

interface RequestProtocol {
  readonly _kex: { readonly sessionID: Buffer } | undefined;
  readonly _authsQueue: string[];
  readonly _handlers: Record<string, unknown>;
}

const messageHandlers = createRequire(import.meta.url)('ssh2/lib/protocol/handlers.js') as ((
  protocol: RequestProtocol,
  payload: Buffer,
) => unknown)[];

const infoResponse = 61;
const maxInfoResponses = 4;
const readInfoResponse = messageHandlers[infoResponse];
if (readInfoResponse) {
  // The package makes an array as long as the packet claims before it looks at the packet.
  messageHandlers[infoResponse] = (protocol, payload) => {
    if (payload.length < 5 || payload.readUInt32BE(1) > maxInfoResponses) throw new Error('too many answers');
    return readInfoResponse(protocol, payload);
  };
}

const authRequest = 50;
const readAuthRequest = messageHandlers[authRequest];
if (readAuthRequest) {
  // The package takes signatures apart, each kind of key that it knows in its own way, and cannot take those of FIDO devices and of
  // certificates. Nothing is verified on this side: the inside gets what the client sent.
  messageHandlers[authRequest] = (protocol, payload) => {
    const request = readKeyRequest(payload);
    if (!request) return readAuthRequest(protocol, payload);
    const { user, service, signedBytes, ...key } = request;
    const identifier = protocol._kex?.sessionID;
    if (!identifier) throw new Error('a login before the end of the handshake');
    const signed = { blob: Buffer.concat([sshString(identifier), payload.subarray(0, signedBytes)]) };
    protocol._authsQueue.push('publickey');
    type Take = (protocol: RequestProtocol, user: string, service: string, method: string, data: object) => void;
    const take = protocol._handlers.USERAUTH_REQUEST as Take | undefined;
    return take?.(protocol, user, service, 'publickey', key.signature ? { ...key, ...signed } : key);
  };
}

interface KeyRequest {
  readonly user: string;
  readonly service: string;
  readonly keyAlgo: string;
  readonly key: Buffer;
  readonly signature?: Buffer;
  /** All of the request before the signature. */
  readonly signedBytes: number;
}

/** RFC 4252 §7. @returns undefined for another method. @throws Error for what is none of its two forms. */
function readKeyRequest(payload: Buffer): KeyRequest | undefined {
  let at = 1;
  const string = (): Buffer => {
    const end = at + 4 <= payload.length ? at + 4 + payload.readUInt32BE(at) : Number.POSITIVE_INFINITY;
    if (end > payload.length) throw new Error('a login that ends too early');
    const part = payload.subarray(at + 4, end);
    at = end;
    return part;
  };
  const [user, service, method] = [string(), string(), string()];
  if (method.toString('latin1') !== 'publickey') return undefined;
  const isSigned = payload[at] !== 0;
  at += 1;
  const [algorithm, key] = [string(), string()];
  const signedBytes = at;
  // The memory of a packet is used again for the next.
  const signature = isSigned ? { signature: Buffer.from(string()) } : {};
  if (at !== payload.length) throw new Error('a login with bytes behind its end');
  const [keyAlgo, copied] = [algorithm.toString('latin1'), Buffer.from(key)];
  return { user: user.toString(), service: service.toString('latin1'), keyAlgo, key: copied, ...signature, signedBytes };
}

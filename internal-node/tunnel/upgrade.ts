/** From a checked TLS connection to a WebSocket of the tunnel. Redirects are not followed; a refusal keeps its check's name. */
import type { TLSSocket } from 'node:tls';
import { WebSocket } from 'ws';
import { SallyportError } from '../../shared/errors.ts';
import { clientSocketOptions, MessageSocket, type SocketLimits } from '../../shared/tunnel/message-socket.ts';
import { isRefusalCheck, refusalHeader } from '../../shared/tunnel/refusals.ts';
import { refusal } from './tls-dial.ts';

const upgradeMs = 10_000;

/**
 * @param path One of the fixed paths.
 * @throws SallyportError `peer-refused` with the check that the DMZ named, `tunnel-down`.
 */
export function upgrade(
  socket: TLSSocket,
  path: string,
  headers: Record<string, string>,
  limits: SocketLimits,
  signal: AbortSignal,
): Promise<MessageSocket> {
  return new Promise((resolve, reject) => {
    // The name in the URL goes nowhere: the connection exists already.
    const ws = new WebSocket(`ws://sallyport${path}`, {
      ...clientSocketOptions(limits),
      headers,
      handshakeTimeout: upgradeMs,
      maxRedirects: 0,
      createConnection: () => socket,
    });
    let message: MessageSocket | undefined;
    const fail = (error: unknown) => {
      signal.removeEventListener('abort', onAbort);
      socket.destroy();
      reject(error);
    };
    const onAbort = () => fail(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    ws.once('unexpected-response', (_request, response) => {
      const check = String(response.headers[refusalHeader] ?? '');
      if (isRefusalCheck(check)) fail(refusal(check, 'dmz', `the DMZ node refused this node (${check})`));
      else fail(new SallyportError('tunnel-down', `the DMZ node answered ${response.statusCode ?? 0} instead of a tunnel`));
    });
    ws.on('error', (error) => {
      if (!message)
        fail(new SallyportError('tunnel-down', `the tunnel could not be opened: ${error.message}`, {}, { cause: error }));
    });
    // Made at once: a message may be in the same packet as the answer to the upgrade.
    ws.once('upgrade', () => {
      signal.removeEventListener('abort', onAbort);
      message = new MessageSocket(ws, socket);
    });
    ws.once('open', () =>
      message ? resolve(message) : fail(new SallyportError('tunnel-down', 'the tunnel could not be opened')),
    );
  });
}

/** Waits for the end of a TLS handshake of the server's side. */
import type { TLSSocket } from 'node:tls';

/**
 * Resolves when the connection is secure.
 * @param signal Ends the waiting; the socket is destroyed then.
 * @throws Error in OpenSSL's words, for our log only. The socket is destroyed.
 */
export function handshake(socket: TLSSocket, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (error?: Error): void => {
      signal.removeEventListener('abort', onAbort);
      if (error) {
        socket.destroy();
        reject(error);
      } else {
        resolve();
      }
    };
    const onAbort = (): void => settle(new Error('the TLS handshake took too long or was given up'));
    // Stays for good: a failure after the handshake must not become an uncaught exception.
    socket.on('error', settle);
    socket.on('_tlsError', settle);
    socket.once('close', () => settle(new Error('the peer left during the TLS handshake')));
    // Our last message of it goes out after this turn: whoever is refused now shall see a connection that ends, not a failed handshake.
    socket.once('secure', () => setImmediate(settle));
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
  });
}

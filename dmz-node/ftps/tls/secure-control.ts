/** TLS on a control connection, explicit or implicit. */
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '../../../shared/clock.ts';
import type { DoorTls, SessionTls } from './door-tls.ts';
import { handshake } from './handshake.ts';

export interface SecuredControl {
  /** For the data connections of this control connection. */
  readonly tls: SessionTls;
  readonly socket: TLSSocket;
}

/**
 * @param limitMs For the whole handshake.
 * @throws Error when TLS cannot be agreed on or the client's certificate is refused; in words for our log only.
 */
export async function secureControl(
  socket: Socket,
  { tls: door, clock }: { readonly tls: DoorTls; readonly clock: Clock },
  limitMs: number,
  signal: AbortSignal,
): Promise<SecuredControl> {
  const limit = new AbortController();
  const cancel = clock.after(limitMs, () => limit.abort());
  try {
    const tls = door.forControl();
    const secured = tls.secure(socket);
    await handshake(secured, AbortSignal.any([limit.signal, signal]));
    const refusal = tls.clientRefusal(secured);
    if (refusal !== undefined) throw new Error(refusal);
    return { tls, socket: secured };
  } finally {
    cancel();
  }
}

/** What is read stays to be read. @returns false when the peer left without a word. */
export function spoke(socket: Socket): Promise<boolean> {
  return new Promise((resolve) => {
    socket.once('data', (chunk: Buffer) => {
      socket.pause();
      socket.unshift(chunk);
      resolve(true);
    });
    socket.once('close', () => resolve(false));
    socket.once('end', () => resolve(false));
    socket.resume();
  });
}

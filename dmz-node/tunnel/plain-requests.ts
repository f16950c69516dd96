/**
 * What is asked of the tunnel's port without becoming a tunnel: somebody shows an invitation, the inside says that it refused this
 * node, or somebody is lost.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { TLSSocket } from 'node:tls';
import { paths } from '../../shared/tunnel/paths.ts';
import { howToMend, isRefusalCheck, type RefusalCheck, type Refusals, refusalHeader } from '../../shared/tunnel/refusals.ts';
import type { EnrolmentDoor } from './enrolment.ts';

type Refuse = (check: RefusalCheck, detail: string) => void;

export interface PlainRequestDeps {
  /** Checks the peer of a connection, or refuses it. */
  readonly identify: (socket: TLSSocket, refuse: Refuse) => object | undefined;
  readonly report: (check: RefusalCheck, socket: TLSSocket, detail: string) => void;
  readonly refusals: Pick<Refusals, 'report'>;
  /** Undefined: invitations are not taken. */
  readonly enrolment: EnrolmentDoor | undefined;
  readonly nodeName: () => string;
}

export class PlainRequests {
  readonly #deps: PlainRequestDeps;

  constructor(deps: PlainRequestDeps) {
    this.#deps = deps;
  }

  answer(request: IncomingMessage, response: ServerResponse): void {
    const { identify, report, refusals, enrolment } = this.#deps;
    const socket = request.socket as TLSSocket;
    if (enrolment && request.method === 'POST' && request.url === paths.enrol) {
      void this.#enrol(enrolment, { request, response, socket }).catch(() => socket.destroy());
      return;
    }
    request.resume();
    const refuse = (check: RefusalCheck, status: number) => {
      response.writeHead(status, { [refusalHeader]: check, connection: 'close' });
      response.end();
    };
    const identity = identify(socket, (check, detail) => {
      report(check, socket, detail);
      refuse(check, 403);
    });
    if (!identity) return;
    const check = String(request.headers[refusalHeader] ?? '');
    if (request.url === paths.refused && isRefusalCheck(check)) {
      refusals.report(check, `the internal node refused this node; ${howToMend(check, 'inside')}`);
    }
    refuse('request', 404);
  }

  async #enrol(
    door: EnrolmentDoor,
    { request, response, socket }: { request: IncomingMessage; response: ServerResponse; socket: TLSSocket },
  ): Promise<void> {
    const admitted = await door.admit(request, socket);
    // The same whatever was wrong: whoever guesses learns nothing.
    response.writeHead(admitted ? 200 : 403, { connection: 'close', ...(admitted ? {} : { [refusalHeader]: 'invitation' }) });
    response.end(admitted ? JSON.stringify({ node: this.#deps.nodeName() }) : undefined);
  }
}

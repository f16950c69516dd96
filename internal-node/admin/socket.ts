/** The admin socket of the internal node as a service. */
import { AdminServer } from '../../shared/admin/server.ts';
import type { Clock } from '../../shared/clock.ts';
import type { Logger } from '../../shared/log.ts';
import type { Service } from '../../shared/service.ts';
import type { InternalAdminApi } from './api.ts';
import { PullTickets } from './pull-tickets.ts';
import { internalRoutes } from './routes.ts';

interface SocketDeps {
  readonly api: InternalAdminApi;
  readonly log: Logger;
  readonly clock: Clock;
}

export function adminSocket({ api, log, clock }: SocketDeps, options: { readonly socket: string }): Service {
  const tickets = new PullTickets({ clock });
  const server = new AdminServer({ routes: internalRoutes(api, tickets), log }, options);
  return {
    name: server.name,
    start: () => server.start(),
    stop: async (signal) => {
      await server.stop(signal);
      await tickets.releaseAll();
    },
  };
}

/** What staff may ask of the agent, answered over the connections that it keeps at the staff door. */
import { AdminAnswers } from '../../shared/admin/answers.ts';
import type { Clock } from '../../shared/clock.ts';
import type { Logger } from '../../shared/log.ts';
import type { Service } from '../../shared/service.ts';
import type { InternalAdminApi } from './api.ts';
import { DoorLine } from './door-line.ts';
import { PullTickets } from './pull-tickets.ts';
import { internalRoutes } from './routes.ts';
import { guarded, staffRoutes } from './staff-guard.ts';

interface LineDeps {
  readonly api: InternalAdminApi;
  readonly log: Logger;
  readonly clock: Clock;
}

/** @param options.socket Where the staff door waits for the agent. */
export function adminLine({ api, log, clock }: LineDeps, options: { readonly socket: string }): Service {
  const tickets = new PullTickets({ clock });
  const routes = guarded([...internalRoutes(api, tickets), ...staffRoutes(api.staff)], api.staff);
  const answers = new AdminAnswers({ routes, log });
  const onDoor = (there: boolean): void => {
    api.staffDoor(there).catch((error: unknown) => log.error({ err: error }, 'the staff door was not recorded'));
  };
  const line = new DoorLine({ answers, log, clock, onDoor }, options);
  return {
    name: line.name,
    start: () => line.start(),
    stop: async () => {
      await line.stop();
      await tickets.releaseAll();
    },
  };
}

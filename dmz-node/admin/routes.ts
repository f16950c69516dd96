/** The admin socket of the DMZ node: it tells, it changes nothing. */
import type { AdminRoute } from '../../shared/admin/routes.ts';
import type { DmzAdminApi } from './api.ts';

export const dmzRoutes = (api: DmzAdminApi): readonly AdminRoute[] => [
  { kind: 'json', method: 'GET', path: '/v1/status', answer: () => api.status() },
];

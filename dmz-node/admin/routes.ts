/** The admin socket of the DMZ node: it tells, and changes only who may be at the other end of the tunnel. */
import { z } from 'zod';
import { certificateRoutes } from '../../shared/admin/certificate-routes.ts';
import type { AdminRoute } from '../../shared/admin/routes.ts';
import type { DmzAdminApi } from './api.ts';

const inviteBody = z.strictObject({ ttlMs: z.int().min(1000).max(604_800_000), label: z.string().max(64) });
const withdrawBody = z.strictObject({ id: z.string().max(64) });

export const dmzRoutes = (api: DmzAdminApi): readonly AdminRoute[] => [
  { kind: 'json', method: 'GET', path: '/v1/status', answer: () => api.status() },
  { kind: 'json', method: 'GET', path: '/v1/invitations', answer: async () => api.invitations() },
  {
    kind: 'json',
    method: 'POST',
    path: '/v1/invitations',
    body: inviteBody,
    answer: (_request, body) => {
      const { ttlMs, label } = body as z.infer<typeof inviteBody>;
      return api.invite(ttlMs, label);
    },
  },
  {
    kind: 'json',
    method: 'POST',
    path: '/v1/invitations/withdraw',
    body: withdrawBody,
    answer: async (_request, body) => ({ withdrawn: await api.withdraw((body as z.infer<typeof withdrawBody>).id) }),
  },
  ...certificateRoutes(api.certificates),
];

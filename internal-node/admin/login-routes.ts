/** The part of the admin socket that is about who may come in: trying logins, second factors, users of directories, bans. */
import { z } from 'zod';
import type { AdminRequest, AdminRoute } from '../../shared/admin/routes.ts';
import { SallyportError } from '../../shared/errors.ts';
import { partnerName } from '../../shared/policy.ts';
import type { InternalAdminApi } from './api.ts';

const tryLogin = z.strictObject({
  user: z.string().min(1).max(128),
  password: z.string().max(1024),
  code: z.string().max(16).optional(),
  protocol: z.enum(['sftp', 'ftps']),
  peer: z.string().max(64),
});
const invite = z.strictObject({
  validMs: z
    .int()
    .min(60_000)
    .max(90 * 86_400_000)
    .optional(),
});
const confirmTotp = z.strictObject({ code: z.string().max(32) });
const liftBan = z.strictObject({ source: z.string().regex(/^[0-9a-fA-F:.]{2,45}(\/64)?$/) });

type LoginApi = Pick<
  InternalAdminApi,
  | 'tryLogin'
  | 'forgetPartner'
  | 'beginTotp'
  | 'confirmTotp'
  | 'removeTotp'
  | 'invite'
  | 'withdrawInvitation'
  | 'doors'
  | 'bans'
  | 'liftBan'
>;

export const loginRoutes = (api: LoginApi): readonly AdminRoute[] => [
  {
    kind: 'json',
    method: 'POST',
    path: '/v1/login',
    body: tryLogin,
    answer: ({ signal }, body) => api.tryLogin(tryLogin.parse(body), signal),
  },
  {
    kind: 'json',
    method: 'POST',
    path: '/v1/partners/:partner/forget',
    answer: async (request) => {
      await api.forgetPartner(partnerOf(request));
      return {};
    },
  },
  {
    kind: 'json',
    method: 'POST',
    path: '/v1/partners/:partner/totp',
    answer: async (request) => ({ uri: await api.beginTotp(partnerOf(request)) }),
  },
  {
    kind: 'json',
    method: 'POST',
    path: '/v1/partners/:partner/totp/confirm',
    body: confirmTotp,
    answer: async (request, body) => ({
      recoveryCodes: await api.confirmTotp(partnerOf(request), confirmTotp.parse(body).code),
    }),
  },
  {
    kind: 'json',
    method: 'POST',
    path: '/v1/partners/:partner/totp/remove',
    answer: async (request) => {
      await api.removeTotp(partnerOf(request));
      return {};
    },
  },
  {
    kind: 'json',
    method: 'POST',
    path: '/v1/partners/:partner/invitation',
    body: invite,
    answer: (request, body) => api.invite(partnerOf(request), invite.parse(body).validMs),
  },
  {
    kind: 'json',
    method: 'POST',
    path: '/v1/partners/:partner/invitation/withdraw',
    answer: async (request) => {
      await api.withdrawInvitation(partnerOf(request));
      return {};
    },
  },
  { kind: 'json', method: 'GET', path: '/v1/doors', answer: async () => ({ doors: await api.doors() }) },
  { kind: 'json', method: 'GET', path: '/v1/bans', answer: () => api.bans() },
  {
    kind: 'json',
    method: 'POST',
    path: '/v1/bans/lift',
    body: liftBan,
    answer: async (_request, body) => ({ lifted: await api.liftBan(liftBan.parse(body).source) }),
  },
];

function partnerOf({ params }: AdminRequest): string {
  const name = params.partner ?? '';
  if (!partnerName.safeParse(name).success) throw new SallyportError('usage', 'that is no name of a partner');
  return name;
}

/** The admin socket of the internal node, as a table over `InternalAdminApi`. */
import { z } from 'zod';
import { certificateRoutes } from '../../shared/admin/certificate-routes.ts';
import type { AdminRequest, AdminRoute } from '../../shared/admin/routes.ts';
import { SallyportError } from '../../shared/errors.ts';
import { partnerName } from '../../shared/policy.ts';
import type { InternalAdminApi, ListArgs } from './api.ts';
import { loginRoutes } from './login-routes.ts';
import type { PullTickets } from './pull-tickets.ts';

export const pullHeaders = {
  ticket: 'x-sallyport-ticket',
  item: 'x-sallyport-item',
  path: 'x-sallyport-path',
  name: 'x-sallyport-name',
  size: 'x-sallyport-size',
  sha256: 'x-sallyport-sha256',
} as const;

const mostListed = 10_000;

const applyBody = z.strictObject({
  /** Absolute. */
  folder: z.string().min(1).max(4096).startsWith('/'),
  confirmMs: z
    .int()
    .min(1000)
    .max(7 * 86_400_000)
    .nullable(),
});

const proofBody = z.strictObject({
  claims: z.int().min(0).max(1000),
  failing: z.array(z.string().regex(/^[a-z.-]{1,64}$/)).max(100),
  offending: z.string().max(1000),
});

export const internalRoutes = (api: InternalAdminApi, tickets: PullTickets): readonly AdminRoute[] => [
  { kind: 'json', method: 'GET', path: '/v1/status', answer: () => api.status() },
  { kind: 'json', method: 'GET', path: '/v1/items', answer: async ({ query }) => api.list(listArgs(query)) },
  { kind: 'json', method: 'GET', path: '/v1/trace', answer: async (request) => api.trace(needed(request, 'ref')) },
  { kind: 'json', method: 'GET', path: '/v1/network', answer: () => api.network() },
  { kind: 'json', method: 'GET', path: '/v1/partners', answer: () => api.partners() },
  {
    kind: 'json',
    method: 'GET',
    path: '/v1/history',
    answer: async (request) => api.history(wholeNumber(request, 'since'), wholeNumber(request, 'after')),
  },
  {
    kind: 'json',
    method: 'POST',
    path: '/v1/apply',
    body: applyBody,
    answer: (_request, body) => {
      const { folder, confirmMs } = applyBody.parse(body);
      return api.apply(folder, confirmMs);
    },
  },
  { kind: 'json', method: 'POST', path: '/v1/apply/confirm', answer: async () => ({ confirmed: await api.confirmConfig() }) },
  { kind: 'json', method: 'POST', path: '/v1/apply/roll-back', answer: async () => ({ rolledBack: await api.rollBackConfig() }) },
  ...loginRoutes(api),
  { kind: 'json', method: 'GET', path: '/v1/destinations', answer: () => api.destinations() },
  {
    kind: 'json',
    method: 'POST',
    path: '/v1/destinations/:name/resume',
    answer: ({ params }) => api.resumeDestination(params.name ?? ''),
  },
  { kind: 'json', method: 'POST', path: '/v1/items/:ref/retry', answer: ({ params }) => api.retry(params.ref ?? '') },
  {
    kind: 'json',
    method: 'POST',
    path: '/v1/proof',
    body: proofBody,
    answer: async (_request, body) => {
      await api.recordProof(proofBody.parse(body));
      return {};
    },
  },
  { kind: 'json', method: 'POST', path: '/v1/reload', answer: () => api.reload() },
  ...certificateRoutes(api.certificates),
  { kind: 'json', method: 'GET', path: '/v1/exposed', answer: (request) => api.exposed(wholeNumber(request, 'since')) },
  {
    kind: 'download',
    method: 'GET',
    path: '/v1/content',
    answer: async (request) => {
      tickets.assertRoom();
      const item = await api.openItem(needed(request, 'ref'), request.signal);
      const { ticket, content } = tickets.issue(item);
      return {
        headers: {
          [pullHeaders.ticket]: ticket,
          [pullHeaders.item]: item.item,
          // Header values are ASCII; partners' names are not.
          [pullHeaders.path]: encodeURIComponent(item.path),
          [pullHeaders.name]: encodeURIComponent(item.name),
          [pullHeaders.size]: String(item.size),
          [pullHeaders.sha256]: item.sha256,
        },
        content,
      };
    },
  },
  { kind: 'json', method: 'POST', path: '/v1/pulls/:ticket/commit', answer: ({ params }) => tickets.commit(params.ticket ?? '') },
  {
    kind: 'upload',
    method: 'PUT',
    path: '/v1/outbox',
    answer: async (request, content) =>
      api.push(checkedPartner(needed(request, 'partner')), needed(request, 'path'), content, request.signal),
  },
];

function needed({ query }: AdminRequest, name: string): string {
  const value = query.get(name);
  if (value === null || value === '' || value.length > 2048) throw new SallyportError('usage', `${name} is missing or too long`);
  return value;
}

function wholeNumber(request: AdminRequest, name: string): number {
  const value = Number(needed(request, name));
  if (!Number.isSafeInteger(value) || value < 0) throw new SallyportError('usage', `${name} is a whole number`);
  return value;
}

function checkedPartner(name: string): string {
  if (!partnerName.safeParse(name).success) throw new SallyportError('usage', 'that is no name of a partner');
  return name;
}

function listArgs(query: URLSearchParams): ListArgs {
  const box = query.get('box');
  if (box !== null && box !== 'Inbox' && box !== 'Outbox') throw new SallyportError('usage', 'box is Inbox or Outbox');
  const partner = query.get('partner');
  const folder = query.get('folder');
  const limit = Number(query.get('limit') ?? 1000);
  if (!Number.isInteger(limit) || limit < 1 || limit > mostListed)
    throw new SallyportError('usage', `limit is 1 to ${mostListed}`);
  return {
    ...(partner === null ? {} : { partner: checkedPartner(partner) }),
    ...(box === null ? {} : { box }),
    ...(folder === null || folder === '' ? {} : { folder: folder.slice(0, 1024) }),
    onlyNew: query.get('new') === 'true',
    limit,
  };
}

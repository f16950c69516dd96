/**
 * Who may ask what on the admin socket, and that it is told who did. A request with a token is of a member of staff in a role; one
 * without is of whoever could reach the socket, which is for the user of the node alone, unless `authentication.staff.required`.
 */
import type { IncomingMessage } from 'node:http';
import { z } from 'zod';
import type { AdminRequest, AdminRoute } from '../../shared/admin/routes.ts';
import { SallyportError } from '../../shared/errors.ts';
import { printable } from '../../shared/log.ts';
import { Secret } from '../../shared/secret.ts';
import { type StaffRole, staffRoles } from '../config-staff.ts';
import type { StaffDesk } from './api.ts';

/** About the login itself: nobody could log in otherwise. */
const open = /^\/v1\/staff\//;
/** Daily work. Every other change is for administrators: who may come in, keys, and what is in force. */
const forOperators = /^\/v1\/(items|pulls|outbox|destinations|bans|login|proof)(\/|$)/;

/** The same routes, each asked only by whom it is for. */
export const guarded = (routes: readonly AdminRoute[], staff: StaffDesk): readonly AdminRoute[] =>
  routes.map((route) => guardedRoute(route, (request) => admitted(route, request, staff)));

function guardedRoute(route: AdminRoute, admit: (request: AdminRequest) => Promise<void>): AdminRoute {
  switch (route.kind) {
    case 'json':
      return {
        ...route,
        answer: (request: AdminRequest, body: unknown) => admit(request).then(() => route.answer(request, body)),
      };
    case 'upload':
      return {
        ...route,
        answer: (request: AdminRequest, content: IncomingMessage) => admit(request).then(() => route.answer(request, content)),
      };
    case 'download':
      return { ...route, answer: (request: AdminRequest) => admit(request).then(() => route.answer(request)) };
  }
}

/** Reading is for all; contents of files and changes are not. */
export function roleFor({ method, path, kind }: Pick<AdminRoute, 'method' | 'path' | 'kind'>): StaffRole {
  if (method === 'GET') return kind === 'json' ? 'auditor' : 'operator';
  return forOperators.test(path) ? 'operator' : 'administrator';
}

async function admitted(route: AdminRoute, request: AdminRequest, staff: StaffDesk): Promise<void> {
  if (open.test(route.path)) return;
  const token = tokenOf(request);
  const member = token === undefined ? undefined : staff.byToken(token);
  if (token !== undefined && !member) {
    throw new SallyportError('login-rejected', 'this login is over', { next: 'sallyport login' });
  }
  if (!member && staff.required) throw new SallyportError('login-rejected', 'staff must log in', { next: 'sallyport login' });
  const needed = roleFor(route);
  if (member && staffRoles.indexOf(member.role) < staffRoles.indexOf(needed)) {
    throw new SallyportError('permission-denied', `this is for the role ${needed}; ${member.name} is ${member.role}`);
  }
  if (needed === 'auditor') return;
  const asked = `${route.method} ${route.path}`;
  const named = Object.entries(request.params);
  const did = named.reduce((text, [name, value]) => text.replace(`:${name}`, () => printable(value, 64)), asked);
  await staff.acted(member?.name ?? hostUser(request), member?.role ?? 'user of the node', did);
}

const loginBody = z.strictObject({ user: z.string().min(1).max(128), password: z.string().min(1).max(1024) });

const tokenOf = ({ headers }: AdminRequest): string | undefined =>
  /^Bearer ([A-Za-z0-9_-]{20,100})$/.exec(headers.authorization ?? '')?.[1];

/** Whoever asks without a login, as his command told it: whoever can use the socket can say what he likes. */
const hostUser = ({ headers }: AdminRequest): string =>
  `host user ${printable(String(headers['x-sallyport-user'] ?? 'unknown'), 64)}`;

/** Logging in, out, and who one is. */
export const staffRoutes = (staff: StaffDesk): readonly AdminRoute[] => [
  {
    kind: 'json',
    method: 'POST',
    path: '/v1/staff/login',
    body: loginBody,
    answer: ({ signal }, body) => {
      const { user, password } = loginBody.parse(body);
      return staff.logIn(user, new Secret(password), signal);
    },
  },
  {
    kind: 'json',
    method: 'POST',
    path: '/v1/staff/logout',
    answer: async (request) => {
      const token = tokenOf(request);
      if (token !== undefined) staff.logOut(token);
      return {};
    },
  },
  {
    kind: 'json',
    method: 'GET',
    path: '/v1/staff/me',
    answer: async (request) => {
      const member = staff.byToken(tokenOf(request) ?? '');
      return member ? { name: member.name, role: member.role } : { name: hostUser(request), role: 'user of the node' };
    },
  },
];

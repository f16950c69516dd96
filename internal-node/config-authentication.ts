/**
 * `authentication:` of the configuration: budgets, the login chain of each service, and directories. What a directory is
 * asked and how its answers are read is `auth/ldap/`; here is only what may be written, and that it fits together.
 */
import { resolve } from 'node:path';
import { z } from 'zod';
import { path, whole } from '../shared/config/fields.ts';
import type { Loaded } from '../shared/config/load.ts';
import { type ConfigProblem, pathText } from '../shared/config/problems.ts';
import { didYouMean } from '../shared/config/suggest.ts';
import { duration } from '../shared/config/units.ts';
import { asSallyportError } from '../shared/errors.ts';
import { compileExpression, splitExpression } from '../shared/matching/expression.ts';
import { clientCertificatesSchema, resolvedCertificates } from './config-certificates.ts';
import { passwordsSchema, resolvedPasswords } from './config-passwords.ts';
import { resolvedSsh, sshSchema } from './config-ssh.ts';
import { staffSchema } from './config-staff.ts';
import { groupName } from './policy/partners.ts';

/** The partners of the configuration, as a method of the chain. */
export const ownMethod = 'own';

const methodName = z.string().regex(/^[a-z][a-z0-9-]{0,31}$/, 'lower-case letters, digits and hyphen, at most 32');
const methods = z.array(methodName).min(1).max(16);
const attribute = z.string().regex(/^[A-Za-z][A-Za-z0-9;-]{0,63}$/, 'the name of an attribute');
const dn = z
  .string()
  .min(3)
  .max(1024)
  .regex(/^\s*[A-Za-z0-9.-]+\s*=/, 'a distinguished name like ou=partners,dc=example,dc=com');

export interface GroupRule {
  readonly attribute: string;
  /** A matching expression; without a letter before it, and as g/…/, case does not count. */
  readonly matches: string;
  readonly groups: readonly string[];
}

const groupRule = z.strictObject({
  attribute,
  matches: z.string().min(1).max(520),
  groups: z.array(groupName).min(1).max(16),
});

/**
 * `attribute, expression, primary, further…`: what lies between the attribute and the groups is the expression, commas and all.
 * A line of groups alone (only as the first) is for whoever no line fits.
 */
const groupLine = z
  .string()
  .max(1024)
  .transform((text, context): GroupRule | { readonly fallback: readonly string[] } => {
    const parts = text.split(',').map((part) => part.trim());
    const isGroup = (part: string): boolean => groupName.safeParse(part).success;
    const groups: string[] = [];
    while (parts.length > 0 && isGroup(parts.at(-1) ?? '') && (parts.length > 2 || parts.every(isGroup))) {
      groups.unshift(parts.pop() ?? '');
    }
    if (parts.length === 0 && groups.length > 0) return { fallback: groups };
    const [name = '', ...expression] = parts;
    const parsed = groupRule.safeParse({ attribute: name, matches: expression.join(', '), groups });
    if (parsed.success) return parsed.data;
    context.addIssue({ code: 'custom', message: 'expected `attribute, expression, group` or, as the first line, groups alone' });
    return z.NEVER;
  });

const groupMapping = z
  .array(z.union([groupRule, groupLine]))
  .max(200)
  .superRefine((lines, context) => {
    for (const [index, line] of lines.entries()) {
      if ('fallback' in line) {
        if (index > 0) context.addIssue({ code: 'custom', path: [index], message: 'groups alone stand in the first line only' });
        continue;
      }
      try {
        splitExpression(line.matches);
        compileExpression(line.matches);
      } catch (error) {
        context.addIssue({ code: 'custom', path: [index], message: asSallyportError(error).message });
      }
    }
  });

const home = z
  .strictObject({
    attribute: attribute.describe('Must have exactly one value.'),
    template: z
      .string()
      .max(256)
      .regex(/^[^\\/{}][^\\{}]*\{[^{}]+\}[^\\{}]*$|^\{[^{}]+\}[^\\{}]*$/, 'a path with {ATTRIBUTE}, without a leading slash')
      .optional()
      .describe('`teams/{department}`; hyphens of the attribute are underscores in it.'),
  })
  .superRefine(({ attribute: name, template = '' }, context) => {
    const wanted = `{${name.replaceAll('-', '_')}}`;
    if (template === '' || (template.includes(wanted) && !template.split('/').some((part) => ['', '.', '..'].includes(part))))
      return;
    context.addIssue({ code: 'custom', path: ['template'], message: `must hold ${wanted}, and no empty folder, "." or ".."` });
  });

const server = z.string().regex(/^ldaps?:\/\/(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?$/, {
  message: 'expected ldaps://HOST or ldap://HOST, with :PORT if it is not 636 or 389',
});

const directory = z
  .strictObject({
    servers: z.array(server).min(1).max(8).describe('Tried in this order. ldap:// needs startTls, or a reason why not.'),
    startTls: z.boolean().default(false).describe('Begin TLS on ldap:// before anything else is said; never goes on without.'),
    plain: z
      .strictObject({ reason: z.string().min(10).max(200) })
      .optional()
      .describe('Admit ldap:// without TLS: passwords cross the network in clear. Why is shown in the log.'),
    authorities: path().optional().describe('PEM file of the authorities of the servers; default: those of this host.'),
    serverName: z
      .string()
      .min(1)
      .max(253)
      .optional()
      .describe('Name that certificates must bear instead of the host in the URL.'),
    keyPins: z
      .array(z.string().regex(/^[0-9a-f]{64}$/, 'SHA-256 of the public key (SPKI, DER), 64 hex digits'))
      .max(16)
      .default([])
      .describe('Only these keys are believed; authorities, name and dates then do not count.'),
    bind: z
      .enum(['parent', 'relative', 'absolute', 'direct'])
      .default('parent')
      .describe(
        'How a user name becomes a bind: usernameAttribute=NAME below a base; the first part of a DN, completed with a base; a whole DN below a base; the name as it is (DOMAIN\\user, user@domain), the entry then being searched.',
      ),
    bases: z.array(dn).min(1).max(32).describe('Where users are, tried in this order; nobody outside of them is ever asked for.'),
    usernameAttribute: attribute.default('cn').describe('Of parent: names the entry. Of direct: what is searched.'),
    usernameSuffix: z
      .string()
      .max(253)
      .regex(/^[^\s@]*@[^\s@]+$/, 'begins with, or holds, an @')
      .optional()
      .describe('Added to the name for direct, like @ad.example.com.'),
    searchFilter: z
      .string()
      .max(2048)
      .regex(/^\(.*\)$/s, 'a filter in parentheses, like (memberOf=cn=partners,dc=example,dc=com)')
      .optional()
      .describe('An entry that does not satisfy it is refused.'),
    service: z
      .strictObject({
        name: z.string().min(1).max(1024).describe('DN, or name as Active Directory takes it.'),
        passwordFile: path().describe('File with the password on its first line, mode 0600.'),
      })
      .optional()
      .describe('An account that finds and reads entries, so that users need not be able to read them.'),
    partnerAttribute: attribute
      .optional()
      .describe(
        'What partners are called; default: usernameAttribute, or else the first part of the DN. What is no name becomes dots.',
      ),
    emailAttribute: attribute.optional().describe('Holds the e-mail address of the user, which staff is shown; none is needed.'),
    home: home
      .optional()
      .describe('Where deliveries of rules without `as` go, below a destination; without it as the groups say.'),
    groupMapping: groupMapping
      .default([])
      .describe('Which values of which attribute make which groups; the first that fits decides.'),
    baseGroups: z.array(groupName).max(16).default([]).describe('Groups of whoever no line of groupMapping fits.'),
    nestedGroups: z.boolean().default(false).describe('Also count groups that the groups in memberOf are members of.'),
    totp: z
      .strictObject({ attribute: attribute.describe('Holds an otpauth:// URI; users without one are refused.') })
      .optional()
      .describe('Ask everybody of this directory for a one-time code, which is appended to the password.'),
    unknownUser: z
      .enum(['reject', 'next'])
      .default('reject')
      .describe('Whether the next method is asked about a user that a service account did not find.'),
    connectTimeout: duration({ min: '100ms', max: '10s' }).prefault('3s').describe('For reaching a server, TLS included.'),
    answerTimeout: duration({ min: '100ms', max: '10s' }).prefault('5s').describe('For one answer of a server.'),
    totalTimeout: duration({ min: '1s', max: '12s' }).prefault('10s').describe('For one login, all servers and bases.'),
    concurrent: whole(1, 64).default(16).describe('Logins that are under way in this directory at once.'),
    bindsPerMinute: whole(1, 100_000)
      .default(300)
      .describe('Passwords of all users together that this directory is asked about.'),
    failuresPerUser: whole(1, 1000)
      .default(4)
      .describe(
        'Wrong passwords of one user within failureWindow; keep it below the number at which the directory locks accounts.',
      ),
    failureWindow: duration({ min: '1m', max: '1d' }).prefault('15m'),
    stopped: z.boolean().default(false).describe('Takes it out of use: the chain passes it over.'),
  })
  .superRefine((given, context) => {
    const fail = (key: string, message: string) => context.addIssue({ code: 'custom', path: [key], message });
    const clear = given.servers.some((url) => url.startsWith('ldap:'));
    if (clear && !given.startTls && !given.plain) fail('servers', 'ldap:// needs startTls: true, or plain with a reason');
    if (given.startTls && given.plain) fail('plain', 'startTls and plain cannot be together');
    if (given.startTls && given.servers.some((url) => url.startsWith('ldaps:'))) fail('startTls', 'ldaps:// has TLS already');
    if (given.usernameSuffix !== undefined && given.bind !== 'direct') fail('usernameSuffix', 'only bind: direct has a suffix');
    if (given.unknownUser === 'next' && !given.service)
      fail('unknownUser', 'only a service account can prove that there is no such user');
  });

const denied = ['root', 'administrator'] as const;

const httpService = z
  .strictObject({
    urls: z
      .array(z.url({ protocol: /^https?$/ }).max(1024))
      .min(1)
      .max(8)
      .describe('Asked in this order. http:// needs a reason.'),
    plain: z
      .strictObject({ reason: z.string().min(10).max(200) })
      .optional()
      .describe('Admit http://: passwords cross the network in clear.'),
    authorities: path().optional().describe('PEM file of the authorities of the service; default: those of this program.'),
    clientCertificate: z
      .strictObject({ certificate: path(), key: path() })
      .optional()
      .describe('PEM files that this node shows to the service (mutual TLS).'),
    basic: z
      .strictObject({ name: z.string().min(1).max(256), passwordFile: path() })
      .optional()
      .describe('Basic authentication; the password is on the first line of the file, mode 0600.'),
    baseGroups: z.array(groupName).max(16).default([]).describe('Groups of whoever the service names no group for.'),
    timeout: duration({ min: '100ms', max: '12s' }).prefault('5s').describe('For one answer.'),
    suspendFor: duration({ min: '1s', max: '1d' })
      .prefault('5m')
      .describe('How long an address that did not answer is left alone.'),
    concurrent: whole(1, 64).default(16).describe('Logins that are under way in it at once.'),
    requestsPerMinute: whole(1, 100_000).default(300).describe('Passwords of all users together that it is asked about.'),
    failuresPerUser: whole(1, 1000).default(4).describe('Wrong passwords of one user within failureWindow.'),
    failureWindow: duration({ min: '1m', max: '1d' }).prefault('15m'),
    stopped: z.boolean().default(false).describe('Takes it out of use: the chain passes it over.'),
  })
  .superRefine(({ urls, plain }, context) => {
    if (plain || urls.every((url) => url.startsWith('https:'))) return;
    context.addIssue({ code: 'custom', path: ['urls'], message: 'http:// needs plain with a reason' });
  });

export const authenticationSchema = z
  .strictObject({
    failuresPerAccount: whole(1, 100_000)
      .default(10)
      .describe('Password failures of one account per minute before it has to wait.'),
    passwordChecksPerMinute: whole(1, 1_000_000)
      .default(600)
      .describe('Password checks of all accounts together; each costs a hash.'),
    keyChecksPerMinute: whole(1, 1_000_000).default(6000).describe('Key checks of all accounts together.'),
    concurrentHashes: whole(1, 64)
      .default(2)
      .describe('Passwords that are hashed at the same time; each takes a core and memory.'),
    denyUsers: z
      .array(z.string().min(1).max(128))
      .max(1000)
      .default([...denied])
      .describe('User names that nobody is asked about, whatever their case.'),
    leastRefusal: duration({ min: '10ms', max: '5s' })
      .optional()
      .describe(
        'Refusals of passwords leave at multiples of it, to hide what methods differ by; default: 100ms, with directories 1s.',
      ),
    askForCode: z
      .boolean()
      .default(false)
      .describe('SFTP programs that show questions (keyboard-interactive) ask for a one-time code beside the password.'),
    methods: methods
      .optional()
      .describe('The login chain: own (the partners of the configuration) and directories; default: own, then all directories.'),
    sftp: methods.optional().describe('The chain of SFTP, when it differs.'),
    ftps: methods.optional().describe('The chain of FTPS, when it differs.'),
    ssh: sshSchema.describe('SSH keys and certificates of all partners; docs/authentication.md.'),
    directories: z
      .record(methodName, directory)
      .default({})
      .describe('LDAP and Active Directory, by name; docs/authentication.md.'),
    clientCertificates: clientCertificatesSchema,
    passwords: passwordsSchema,
    staff: staffSchema,
    http: z
      .record(methodName, httpService)
      .default({})
      .describe('HTTP authentication services, by name; docs/authentication.md.'),
  })
  .prefault({})
  .describe('Who may come in. Budgets are counted without trusting the addresses that the DMZ node reports.');

export type Authentication = z.output<typeof authenticationSchema>;
export type DirectorySettings = Authentication['directories'][string];
export type HttpSettings = Authentication['http'][string];

/** What knows users beside the configuration, by name. */
export const sourcesOf = ({ directories, http }: Authentication): Readonly<Record<string, { readonly stopped: boolean }>> => ({
  ...directories,
  ...http,
});

/** Names, in their order, of the methods that a service asks. */
export function chainOf(authentication: Authentication, service: 'sftp' | 'ftps'): readonly string[] {
  return authentication[service] ?? authentication.methods ?? [ownMethod, ...Object.keys(sourcesOf(authentication))];
}

/** With absolute paths. */
export function resolvedAuthentication(authentication: Authentication, folder: string): Authentication {
  const directories = Object.entries(authentication.directories).map(([name, given]) => [
    name,
    {
      ...given,
      ...(given.authorities === undefined ? {} : { authorities: resolve(folder, given.authorities) }),
      ...(given.service ? { service: { ...given.service, passwordFile: resolve(folder, given.service.passwordFile) } } : {}),
    },
  ]);
  const http = Object.entries(authentication.http).map(([name, { authorities, clientCertificate: client, basic, ...given }]) => [
    name,
    {
      ...given,
      ...(authorities === undefined ? {} : { authorities: resolve(folder, authorities) }),
      ...(client
        ? { clientCertificate: { certificate: resolve(folder, client.certificate), key: resolve(folder, client.key) } }
        : {}),
      ...(basic ? { basic: { ...basic, passwordFile: resolve(folder, basic.passwordFile) } } : {}),
    },
  ]);
  const clientCertificates = resolvedCertificates(authentication.clientCertificates, folder);
  const passwords = resolvedPasswords(authentication.passwords, folder);
  return {
    ...authentication,
    ssh: resolvedSsh(authentication.ssh, folder),
    clientCertificates,
    passwords,
    directories: Object.fromEntries(directories),
    http: Object.fromEntries(http),
  };
}

/** Names that must mean something: methods of chains, groups of directories. */
export function checkAuthentication(
  main: Loaded<{ readonly authentication: Authentication }>,
  { partners, groups }: { readonly partners: readonly string[]; readonly groups: readonly string[] },
  problems: ConfigProblem[],
): void {
  const { authentication } = main.value;
  const wrong = (path: readonly PropertyKey[], message: string): void => {
    const at = ['authentication', ...path];
    problems.push({ file: main.label, ...main.at(at), path: pathText(at), message });
  };
  for (const name of authentication.denyUsers) {
    if (partners.includes(name.toLowerCase())) wrong(['denyUsers'], `"${name}" is a partner, and could never log in`);
  }
  const known = [ownMethod, ...Object.keys(sourcesOf(authentication))];
  const directories = Object.keys(authentication.directories);
  const { directory: ofStaff } = authentication.staff ?? {};
  if (ofStaff !== undefined && !directories.includes(ofStaff))
    wrong(['staff', 'directory'], `there is no directory "${ofStaff}"${didYouMean(ofStaff, directories)}`);
  for (const name of Object.keys(authentication.http)) {
    if (Object.hasOwn(authentication.directories, name)) wrong(['http', name], `"${name}" is a directory already`);
    for (const group of authentication.http[name]?.baseGroups ?? []) {
      if (!groups.includes(group))
        wrong(['http', name, 'baseGroups'], `there is no group "${group}"${didYouMean(group, groups)}`);
    }
  }
  for (const key of ['methods', 'sftp', 'ftps'] as const) {
    for (const [index, name] of (authentication[key] ?? []).entries()) {
      if (!known.includes(name)) wrong([key, index], `there is no method "${name}"${didYouMean(name, known)}`);
      if (authentication[key]?.indexOf(name) !== index) wrong([key, index], `"${name}" is there twice`);
    }
  }
  for (const [name, { groupMapping: lines, baseGroups }] of Object.entries(authentication.directories)) {
    if (name === ownMethod) wrong(['directories', name], `"${ownMethod}" is the method of the configured partners`);
    const named = [
      ...baseGroups.map((group) => ({ group, path: ['baseGroups'] })),
      ...lines.flatMap((line, index) =>
        ('fallback' in line ? line.fallback : line.groups).map((group) => ({ group, path: ['groupMapping', index] })),
      ),
    ];
    for (const { group, path: place } of named) {
      if (!groups.includes(group))
        wrong(['directories', name, ...place], `there is no group "${group}"${didYouMean(group, groups)}`);
    }
  }
}

/** `partner add`, `partner password`, `partner forget` and `partner list`. The configuration file is the truth; a running node is told to read it anew. */
import { dirname, join } from 'node:path';
import { askNewPassword } from '../../shared/admin/ask.ts';
import type { Program, VerbContext } from '../../shared/admin/cli.ts';
import { SallyportError } from '../../shared/errors.ts';
import { Secret } from '../../shared/secret.ts';
import { type InternalSettings, loadInternalSettings, loadMainSettings } from '../config.ts';
import { nodeClient } from '../node-client.ts';
import type { PasswordHash } from '../password-phc.ts';
import { type PasswordPolicy, refuseUnfit } from '../password-policy.ts';
import type { PartnerSummary } from './api.ts';
import { addPartner, changePassword, checkNewPartner, type NewPartner, unknownPartner } from './partner-change.ts';
import { readSmallFile } from './read-small-file.ts';
import { reload } from './reload.ts';
import { addPartnerKeyVerbs } from './verbs-partner-key.ts';

export interface PartnerDeps {
  /** @returns a PHC string. */
  readonly hashPassword: (password: Secret) => Promise<string>;
  readonly isPassword: (password: Secret, hash: PasswordHash) => Promise<boolean>;
}

interface AddOptions {
  readonly key: readonly string[];
  readonly password?: boolean;
  readonly passwordFile?: string;
  readonly invite?: boolean;
  readonly mustChange?: boolean;
  readonly from: readonly string[];
  readonly require: string;
}

const collect = (value: string, all: readonly string[]): readonly string[] => [...all, value];

export function addPartnerVerbs(program: Program, group: ReturnType<Program['group']>, deps: PartnerDeps): void {
  program.verb<AddOptions>(
    {
      usage: 'add <name>',
      summary: 'add a partner to conf.d/partners.yaml and tell the running node',
      examples: ['partner add acme --key acme.pub --from 198.51.100.0/24', 'partner add globex --password-file - < password'],
    },
    (command) =>
      command
        .option(
          '-k, --key <file>',
          'file with public keys (OpenSSH, RFC 4716, PuTTY), - for standard input; can be repeated',
          collect,
          [],
        )
        .option('-p, --password', 'ask for a password, twice')
        .option('--password-file <file>', 'file with the password on its first line, - for standard input')
        .option('--invite', 'he sets his password himself: see `partner invite`')
        .option('--from <network>', 'addresses the partner may come from; can be repeated', collect, [])
        .option('--require <what>', 'any, key+password, or key+code', 'any'),
    async (context, options, [name = '']) => {
      const { output } = context;
      const settings = await loadInternalSettings(context.configFile, 'unchecked');
      const partner = await gather(name, options, context, { ...deps, policy: settings.authentication.passwords });
      const file = join(dirname(settings.file), 'conf.d', 'partners.yaml');
      const added = await addPartner(file, partner, Object.keys(settings.partners));
      const { partners } = await loadInternalSettings(context.configFile, 'unchecked');
      if (!Object.hasOwn(partners, name)) {
        throw new SallyportError(
          'config-invalid',
          `${file} was written, but the key include of ${settings.file} does not name it`,
        );
      }
      const wrong = await faultOf(context.configFile);
      const running = wrong === undefined && (await reload(settings, context));
      if (output.json)
        return output.document({ partner: name, keys: added.fingerprints, file, running, problems: wrong ?? null });
      const login = [...added.fingerprints.map((print) => `key ${print}`), ...(partner.passwordHash ? ['password'] : [])];
      if (partner.choosesPassword) login.push(`password by invitation (sallyport partner invite ${name})`);
      output.line(`+ partner ${name}   login: ${login.join(', ')}   folders: Inbox, Outbox`);
      if (wrong !== undefined) output.note(`Not in use yet, the configuration has problems:\n${wrong}`);
      else output.line(running ? 'The running node has taken note.' : 'The node does not run; it takes note when it starts.');
    },
    group,
  );
  addPassword(program, group, deps);
  addForget(program, group);
  addList(program, group);
  addPartnerKeyVerbs(program, group, reload);
}

function addPassword(program: Program, group: ReturnType<Program['group']>, deps: PartnerDeps): void {
  program.verb<Pick<AddOptions, 'passwordFile' | 'mustChange'>>(
    {
      usage: 'password <name>',
      summary: 'set another password of a partner, and tell the running node',
      examples: ['partner password acme', 'partner password acme --password-file - < password'],
    },
    (command) =>
      command
        .option('--password-file <file>', 'file with the password on its first line, - for standard input')
        .option('--must-change', 'he must set another one at his next login over SFTP'),
    async (context, { passwordFile, mustChange = false }, [name = '']) => {
      const settings = await loadInternalSettings(context.configFile);
      const partner = settings.partners[name];
      if (!partner) throw unknownPartner(name, Object.keys(settings.partners));
      const password = await passwordFor(name, passwordFile, context);
      await refuseUnfit(password, [name], settings.authentication.passwords);
      for (const hash of [...(partner.password ? [partner.password] : []), ...partner.formerPasswords]) {
        if (await deps.isPassword(password, hash)) {
          throw new SallyportError('usage', `this is one of the last passwords of ${name}; nothing was changed`);
        }
      }
      const [label = ''] = (settings.partnerSources.get(name) ?? '').split(/:\d+$/);
      await changePassword(join(dirname(settings.file), label), name, await deps.hashPassword(password), mustChange);
      const running = await reload(settings, context);
      if (context.output.json) return context.output.document({ partner: name, running });
      context.output.line(
        `${name} has another password; his live sessions ${running ? 'have ended' : 'end when the node starts'}.`,
      );
    },
    group,
  );
}

function addForget(program: Program, group: ReturnType<Program['group']>): void {
  program.verb(
    {
      usage: 'forget <name>',
      summary: 'give the name of a user of a directory free for another entry; his sessions end',
      examples: ['partner forget john.doe', 'partner forget john.doe --json'],
    },
    () => {},
    async (context, _options, [name = '']) => {
      const { output, configFile } = context;
      const { admin } = await loadMainSettings(configFile);
      await nodeClient(context, admin.socket).post(['v1', 'partners', name, 'forget']);
      if (output.json) output.document({ partner: name, forgotten: true });
      else output.line(`- ${name}: the next user of a directory whose entry makes this name has it`);
    },
    group,
  );
}

async function gather(
  name: string,
  options: AddOptions,
  context: VerbContext,
  { hashPassword, policy }: PartnerDeps & { readonly policy: PasswordPolicy },
): Promise<NewPartner> {
  const { require } = options;
  if (require !== 'any' && require !== 'key+password' && require !== 'key+code') {
    throw new SallyportError('usage', '--require is any, key+password or key+code');
  }
  const stdinUsers = [...options.key, options.passwordFile].filter((file) => file === '-').length;
  if (stdinUsers > 1) throw new SallyportError('usage', 'only one of the options can read standard input');
  if (options.password && options.passwordFile !== undefined) {
    throw new SallyportError('usage', '--password and --password-file cannot be together');
  }
  if (options.invite && (options.password || options.passwordFile !== undefined)) {
    throw new SallyportError('usage', '--invite and a password cannot be together');
  }
  const keyTexts: string[] = [];
  for (const file of options.key) keyTexts.push(await readSmallFile(file, context));
  const wantsPassword = options.password === true || options.passwordFile !== undefined;
  const draft = { name, keyTexts, from: options.from, require, choosesPassword: options.invite } as const;
  // Before anybody types a password in vain.
  checkNewPartner({ ...draft, passwordHash: wantsPassword ? '' : undefined });
  if (!wantsPassword) return draft;
  const password = await passwordFor(name, options.passwordFile, context);
  await refuseUnfit(password, [name], policy);
  return { ...draft, passwordHash: await hashPassword(password) };
}

async function passwordFor(name: string, passwordFile: string | undefined, context: VerbContext): Promise<Secret> {
  if (passwordFile === undefined) return askNewPassword(context, name);
  const [line = ''] = (await readSmallFile(passwordFile, context)).split(/\r?\n/);
  if (line === '') throw new SallyportError('usage', 'the first line of the password file is empty');
  return new Secret(line);
}

/** What a node would have against the configuration as a whole, if anything. */
async function faultOf(configFile: string): Promise<string | undefined> {
  try {
    await loadInternalSettings(configFile);
    return undefined;
  } catch (error) {
    if (error instanceof SallyportError && error.code === 'config-invalid') return error.message;
    throw error;
  }
}

type PartnerConfig = InternalSettings['partners'][string];

const loginOf = ({ keys, password, choosesPassword, directory, require }: PartnerConfig): string => {
  if (require !== 'any') return require;
  return [
    ...(keys.length > 0 ? [keys.length === 1 ? 'key' : `${keys.length} keys`] : []),
    ...(password || choosesPassword ? ['password'] : []),
    ...(directory === undefined ? [] : [`password in ${directory}`]),
  ].join(', ');
};

function addList(program: Program, group: ReturnType<Program['group']>): void {
  program.verb(
    {
      usage: 'list',
      summary: 'list the partners of the configuration, and their sessions when the node runs',
      examples: ['partner list', 'partner list --json'],
    },
    () => {},
    async (context) => {
      const { output, configFile } = context;
      const settings = await loadInternalSettings(configFile, 'unchecked');
      const known = await knownToNode(settings, context);
      const sessions = new Map(known.map(({ name, sessions: live }) => [name, live]));
      const configured = Object.entries(settings.partners).map(
        ([name, partner]): PartnerSummary => ({
          name,
          login: loginOf(partner),
          sessions: sessions.get(name) ?? 0,
          disabled: partner.disabled,
          source: settings.partnerSources.get(name) ?? '',
        }),
      );
      // Users of directories are partners of the running node only.
      const adopted = known.filter(({ name }) => !Object.hasOwn(settings.partners, name));
      const partners = [...configured, ...adopted];
      if (output.json) return output.document({ partners });
      if (partners.length === 0) return output.note('no partners yet: sallyport partner add NAME --key FILE');
      const rows = partners.map(({ name, login, sessions: live, disabled, source, email }) => [
        name,
        disabled ? 'disabled' : login,
        String(live),
        email === undefined ? source : `${source} (${email})`,
      ]);
      output.table(['NAME', 'LOGIN', 'SESSIONS', 'SOURCE'], rows);
    },
    group,
  );
}

async function knownToNode({ admin }: InternalSettings, context: VerbContext): Promise<readonly PartnerSummary[]> {
  try {
    return await nodeClient(context, admin.socket).get<PartnerSummary[]>(['v1', 'partners']);
  } catch (error) {
    if (error instanceof SallyportError && error.code === 'not-running') return [];
    throw error;
  }
}

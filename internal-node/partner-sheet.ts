/**
 * The sheet that a partner gets: where the doors are, how he knows that they are ours, how he logs in, which folders he sees and what
 * holds in them. It is put together from the configuration and from what the DMZ node says of its doors. Nothing on it is secret.
 */
import { formatAddress, writeDuration, writeSize } from '../shared/config/units.ts';
import type { DoorFacts } from '../shared/tunnel/messages.ts';
import { withOwn } from '../shared/uploads.ts';
import type { InternalSettings } from './config.ts';
import { accountsOf } from './policy/accounts.ts';

export interface Sheet {
  readonly partner: string;
  readonly host: string;
  readonly sftp: NonNullable<DoorFacts['sftp']> | null;
  readonly ftps: NonNullable<DoorFacts['ftps']> | null;
  readonly login: readonly string[];
  readonly folders: readonly { readonly path: string; readonly about: string }[];
  readonly rules: readonly string[];
  readonly commands: readonly string[];
}

/** @param host Name or address under which the partner reaches the DMZ node. */
export function sheetOf(settings: InternalSettings, name: string, host: string, doors: DoorFacts): Sheet {
  return {
    partner: name,
    host,
    sftp: doors.sftp ?? null,
    ftps: doors.ftps ?? null,
    login: loginLines(settings.partners[name]),
    folders: foldersFor(settings, name),
    rules: ruleLines(settings, name),
    commands: commandLines(name, host, doors),
  };
}

function loginLines(partner: InternalSettings['partners'][string] | undefined): readonly string[] {
  if (!partner) return [];
  const { keys, certificates, certificateNames, require, requireOverFtps, from } = partner;
  const hasPassword = partner.password !== undefined || partner.directory !== undefined || partner.choosesPassword;
  const certified = certificates.length + certificateNames.length > 0;
  const ways: readonly (string | false)[] = [
    ...keys.map(({ type, fingerprint }) => `with the key ${fingerprint} (${type}), over SFTP`),
    hasPassword && require === 'any' && 'with your password',
    require === 'key+password' && 'over SFTP the key is followed by the password; neither does alone',
    certified && requireOverFtps === 'any' && 'with your TLS client certificate, over FTPS',
    requireOverFtps === 'certificate' && 'over FTPS with your TLS client certificate only',
    requireOverFtps === 'certificate+password' && 'over FTPS with your TLS client certificate and your password',
    partner.totp === 'required' && 'a one-time code is typed right behind the password, without a blank',
    partner.choosesPassword && 'you set your password yourself: log in over SFTP with the code that you were given, as password',
    from !== undefined &&
      `only from ${from
        .filter(({ allow }) => allow)
        .map(({ address, prefix }) => `${address}/${prefix}`)
        .join(', ')}`,
  ];
  return ways.filter((way) => way !== false);
}

function foldersFor(settings: InternalSettings, name: string): Sheet['folders'] {
  const account = accountsOf({ ...settings, timeZone: settings.policy.timeZone }).get(name);
  const { folders = [], makeFolders = [] } = account?.grantFor(undefined) ?? {};
  return [
    { path: '/Inbox', about: 'what you send to us' },
    ...makeFolders.map((path) => ({ path: String(path), about: 'what you send to us' })),
    { path: '/Outbox', about: 'what we have for you' },
    ...folders.map(({ path, place }) => ({
      path: String(path),
      about: place.startsWith('/Outbox') ? 'what we have for you' : 'what you send to us',
    })),
  ];
}

function ruleLines(settings: InternalSettings, name: string): readonly string[] {
  const account = accountsOf({ ...settings, timeZone: settings.policy.timeZone }).get(name);
  const grant = account?.grantFor(undefined);
  const { limits, uploads } = settings.policy;
  const { complete, temporaryNames } = withOwn(uploads, account?.uploads);
  const sessions = Math.min(grant?.maxSessions ?? Number.POSITIVE_INFINITY, limits.maxSessionsPerPartner);
  const whole: Readonly<Record<string, string>> = {
    close: 'a file is taken as whole when your program closes it without an error',
    rename: 'a file is taken as whole when it is renamed to its final name',
    quiet: 'a file is taken as whole when nothing has changed it for a while',
    trigger: 'a file is taken as whole when its trigger file has come',
  };
  return [
    whole[complete] ?? `files are complete by: ${complete}`,
    ...(temporaryNames.length === 0
      ? []
      : [`names like ${temporaryNames.slice(0, 4).join(', ')} are unfinished until they are renamed`]),
    `one file has at most ${writeSize(grant?.maxFileBytes ?? 0)}; at most ${writeSize(grant?.quotaBytes ?? 0)} may wait`,
    `at most ${sessions} sessions at the same time; one that is idle for ${writeDuration(limits.idleMs)} ends`,
    'what you sent cannot be read back; an interrupted upload can be continued',
  ];
}

function commandLines(name: string, host: string, { sftp, ftps }: DoorFacts): readonly string[] {
  return [
    ...(sftp ? [`sftp -P ${sftp.port} ${name}@${host}`] : []),
    ...(ftps ? [`curl --ssl-reqd -u ${name} -T FILE ftp://${formatAddress({ host, port: ftps.explicit })}/Inbox/`] : []),
    ...(ftps ? [`lftp -u ${name} -e "set ftp:ssl-force yes" ftp://${formatAddress({ host, port: ftps.explicit })}`] : []),
  ];
}

type Block = readonly [title: string, lines: readonly string[]];

function blocksOf({ host, sftp, ftps, login, folders, rules }: Sheet): readonly Block[] {
  const blocks: Block[] = [['How you log in', login]];
  if (sftp) {
    const keys = sftp.keys.map(({ line, fingerprint }) => `host key ${fingerprint} (${line.split(' ', 1)[0]})`);
    blocks.push(['SFTP', [`host ${host}, port ${sftp.port}`, ...keys]]);
  }
  if (ftps) {
    const { explicit, implicit, passive, certificate } = ftps;
    const ways = [
      `explicit TLS (AUTH TLS): port ${explicit}`,
      ...(implicit === undefined ? [] : [`implicit TLS: port ${implicit}`]),
    ];
    const data = `passive mode, data at ports ${passive.first} to ${passive.last}; protect data connections (PROT P)`;
    blocks.push(['FTPS', [`host ${host}`, ...ways, data, `certificate, SHA-256: ${certificate}`]]);
  }
  return [...blocks, ['Folders', folders.map(({ path, about }) => `${path}: ${about}`)], ['What holds', rules]];
}

export function sheetText(sheet: Sheet): string {
  const blocks = blocksOf(sheet).map(([title, lines]) => [title, ...lines.map((line) => `  ${line}`), ''].join('\n'));
  return [`File transfer for ${sheet.partner}`, '', ...blocks, 'Programs', ...sheet.commands.map((line) => `  ${line}`)].join(
    '\n',
  );
}

export function sheetMarkdown(sheet: Sheet): string {
  const blocks = blocksOf(sheet).map(([title, lines]) => [`## ${title}`, '', ...lines.map((line) => `- ${line}`), ''].join('\n'));
  const known = sheet.sftp?.keys.map(({ line }) => `${knownName(sheet)} ${line}`) ?? [];
  return [
    `# File transfer for ${sheet.partner}`,
    '',
    ...blocks,
    '## Programs',
    '',
    ...['```', ...sheet.commands, '```'],
    ...(known.length === 0 ? [] : ['', 'Lines for `known_hosts`:', '', '```', ...known, '```']),
  ].join('\n');
}

const knownName = ({ host, sftp }: Sheet): string => (sftp && sftp.port !== 22 ? `[${host}]:${sftp.port}` : host);

/**
 * Partners with what they have of their groups, as the login desk and `sallyport can-i` see them.
 *
 * A group does not count for a connection that its `from` does not allow. A partner with groups of which none counts is
 * refused; so is one of whose groups any is disabled.
 */
import { BlockList, isIP } from 'node:net';
import type { PlaceInside } from '../../shared/matching/routing.ts';
import type { FolderGrant } from '../../shared/paths/layout.ts';
import type { Grant } from '../../shared/policy.ts';
import type { PasswordHash } from '../password-phc.ts';
import type { RegisteredKey, SshPublicKey } from '../ssh-public-key.ts';
import { exactHome, homeOf } from './home.ts';
import {
  defaultGroup,
  folderGrant,
  type GroupConfig,
  type Groups,
  type PartnerConfig,
  type Partners,
  type SourceRange,
} from './partners.ts';
import { type PermissionSettings, permissionsFor } from './permission-settings.ts';
import { forDmz, type OwnUploads } from './uploads.ts';

/** Why nobody can log in as a partner now, whatever he knows. */
export type Objection = 'disabled' | 'group disabled' | 'expired' | 'source address not allowed';

export interface Refusal {
  readonly reason: Objection;
  /** The place of the line that refuses. */
  readonly source: string;
}

export interface PartnerAccount {
  readonly password: PasswordHash | undefined;
  readonly passwordSince: number | undefined;
  readonly passwordMustChange: boolean;
  readonly formerPasswords: readonly PasswordHash[];
  readonly directory: string | undefined;
  readonly requireTotp: boolean;
  readonly keys: readonly RegisteredKey[];
  /** Whose certificates are good for him, when they name one of `principals`. */
  readonly authorities: readonly SshPublicKey[];
  readonly principals: readonly string[];
  readonly certificates: readonly string[];
  readonly certificateNames: readonly string[];
  readonly requireOverFtps: 'any' | 'certificate' | 'certificate+password';
  readonly require: PartnerConfig['require'];
  readonly disabled: boolean;
  /** When the account ends, milliseconds since 1970; its sessions end then, too. */
  readonly expires: number | undefined;
  readonly uploads: OwnUploads | undefined;
  readonly place: PlaceInside;
  /** The most files that may wait in his Inbox, wherever he comes from. */
  readonly quotaFiles: number;
  /** Nobody who knew him by this account gets in any more: a login under way may still hold it. */
  retire(): void;
  /** @param peer Undefined: from anywhere. */
  refusal(peer: string | undefined, nowMs: number): Refusal | undefined;
  /** What a session from there may do; `refusal` was asked before. */
  grantFor(peer: string | undefined): Grant;
}

const defaultQuotaFiles = 10_000;

/** What accounts are made of. */
export interface AccountSettings {
  readonly partners: Partners;
  readonly groups: Groups;
  readonly timeZone: string;
  /** With their places; a partner or group without any is not in here. */
  readonly permissions: {
    readonly partners: ReadonlyMap<string, PermissionSettings>;
    readonly groups: ReadonlyMap<string, PermissionSettings>;
  };
  /** Where a partner or a group stands, and a key of it. */
  readonly place: (kind: 'partners' | 'groups', name: string, key?: string) => string;
}

interface Member {
  readonly name: string;
  readonly group: GroupConfig;
  readonly allows: (peer: string) => boolean;
}

/** All partners as accounts. Make it once per loaded configuration and keep the map. */
export const accountsOf = (settings: AccountSettings): ReadonlyMap<string, PartnerAccount> =>
  new Map(Object.entries(settings.partners).map(([name, partner]) => [name, accountOf(name, partner, settings)]));

/** Somebody whom the configuration does not name, but has groups for. */
export interface MemberSettings {
  readonly name: string;
  /** With none, those of `default`. */
  readonly groups: readonly string[];
  /** His own, as it is: without his name at its end. */
  readonly home: string | undefined;
}

export function memberAccount({ name, groups, home }: MemberSettings, settings: AccountSettings): PartnerAccount {
  const partner: PartnerConfig = {
    ...{
      formerPasswords: [],
      passwordMustChange: false,
      choosesPassword: false,
      keys: [],
      authorities: [],
      certificates: [],
      certificateNames: [],
    },
    ...{ require: 'any', requireOverFtps: 'any', disabled: false },
    ...(groups.length === 0 ? {} : { groups: [...groups] }),
    ...(home === undefined ? {} : { home: exactHome(home) }),
  };
  return accountOf(name, partner, settings);
}

function accountOf(name: string, partner: PartnerConfig, settings: AccountSettings): PartnerAccount {
  const named = partner.groups ?? (Object.hasOwn(settings.groups, defaultGroup) ? [defaultGroup] : []);
  const members = named.flatMap((group): Member[] => {
    const found = settings.groups[group];
    return found ? [{ name: group, group: found, allows: allowing(found.from) }] : [];
  });
  const allows = allowing(partner.from);
  const countingFor = (peer: string | undefined): readonly Member[] =>
    peer === undefined ? members : members.filter((member) => member.allows(peer));
  const at = (key: string, place = settings.place('partners', name, key)): string => place;
  const { password, directory, keys, authorities, certificates, certificateNames, require, requireOverFtps, disabled } = partner;
  let retired = false;
  return {
    ...{ password, directory, keys, authorities, certificates, certificateNames, require, requireOverFtps, disabled },
    principals: partner.principals ?? [name],
    passwordSince: partner.passwordSince,
    passwordMustChange: partner.passwordMustChange,
    formerPasswords: partner.formerPasswords,
    requireTotp: partner.totp === 'required',
    expires: partner.expires,
    uploads: partner.uploads ?? members[0]?.group.uploads,
    quotaFiles: partner.quotaFiles ?? Math.max(...members.map(({ group }) => group.quotaFiles ?? 0), defaultQuotaFiles),
    place: {
      home: homeOf(name, partner.home ?? members[0]?.group.home),
      amendName: partner.amendName ?? members[0]?.group.amendName ?? 'no',
    },
    retire: () => {
      retired = true;
    },
    refusal: (peer, nowMs) => {
      const off = members.find(({ group }) => group.disabled);
      if (partner.disabled || retired) return { reason: 'disabled', source: at('disabled') };
      if (off) return { reason: 'group disabled', source: settings.place('groups', off.name, 'disabled') };
      if (partner.expires !== undefined && nowMs >= partner.expires) return { reason: 'expired', source: at('expires') };
      if (peer === undefined) return undefined;
      if (!allows(peer)) return { reason: 'source address not allowed', source: at('from') };
      const [first] = members;
      if (!first || countingFor(peer).length > 0) return undefined;
      return { reason: 'source address not allowed', source: settings.place('groups', first.name, 'from') };
    },
    grantFor: (peer) => grantOf(name, partner, countingFor(peer), settings),
  };
}

const gib = 2 ** 30;

function grantOf(name: string, partner: PartnerConfig, members: readonly Member[], settings: AccountSettings): Grant {
  const first = members[0]?.group;
  const uploads = partner.uploads ?? first?.uploads;
  const ftps = partner.ftps ?? first?.ftps;
  const { permissions } = settings;
  const maxSessions = partner.maxSessions ?? first?.maxSessions;
  const uploadBytesPerS = partner.uploadRate ?? first?.uploadRate;
  const downloadBytesPerS = partner.downloadRate ?? first?.downloadRate;
  const startIn = partner.startIn ?? first?.startIn;
  const folders = foldersOf([partner, ...members.map(({ group }) => group)]);
  const makeFolders = [...new Set([partner, ...members.map(({ group }) => group)].flatMap((has) => has.makeFolders ?? []))];
  const ofGroups = members.map((member) => permissions.groups.get(member.name));
  return {
    partner: name,
    permissions: permissionsFor(name, permissions.partners.get(name), ofGroups, settings.timeZone),
    quotaBytes: partner.quota ?? first?.quota ?? 10 * gib,
    quotaFiles: partner.quotaFiles ?? first?.quotaFiles ?? defaultQuotaFiles,
    maxFileBytes: partner.maxFileSize ?? first?.maxFileSize ?? 10 * gib,
    maxPartials: partner.maxPartials ?? first?.maxPartials ?? 100,
    ...(maxSessions === undefined ? {} : { maxSessions }),
    ...(uploadBytesPerS === undefined ? {} : { uploadBytesPerS }),
    ...(downloadBytesPerS === undefined ? {} : { downloadBytesPerS }),
    ...(startIn === undefined ? {} : { startIn }),
    ...(folders.length === 0 ? {} : { folders: [...folders] }),
    ...(makeFolders.length === 0 ? {} : { makeFolders: makeFolders.slice(0, 256) }),
    onExisting: partner.onExisting ?? first?.onExisting ?? 'keep-both',
    ...(uploads === undefined ? {} : { uploads: forDmz(uploads) }),
    ...(ftps === undefined ? {} : { ftps }),
  };
}

/** Those of all, where the first that names a path counts: the partner himself, then his groups in their order. */
export function foldersOf(all: readonly Pick<GroupConfig, 'folders'>[]): readonly FolderGrant[] {
  const found = new Map<string, FolderGrant>();
  for (const { folders } of all) {
    for (const [path, place] of Object.entries(folders ?? {})) {
      const folder = folderGrant(path, place);
      if (!found.has(folder.path)) found.set(folder.path, folder);
    }
  }
  return [...found.values()];
}

/** The first range that holds the address decides; where none does, the address is refused. */
function allowing(ranges: readonly SourceRange[] | undefined): (peer: string) => boolean {
  if (!ranges) return () => true;
  const lists = ranges.map(({ allow, address, prefix, family }) => {
    const list = new BlockList();
    list.addSubnet(address, prefix, family);
    return { allow, list };
  });
  return (peer) => {
    const version = isIP(peer);
    if (version === 0) return false;
    return lists.find(({ list }) => list.check(peer, version === 4 ? 'ipv4' : 'ipv6'))?.allow ?? false;
  };
}

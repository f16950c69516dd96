/** Changes that commands make to partners: new ones in `conf.d/partners.yaml`, passwords and keys where a partner stands. */
import { type Document, isSeq, type YAMLSeq } from 'yaml';
import { network } from '../../shared/config/fields.ts';
import { didYouMean } from '../../shared/config/suggest.ts';
import { SallyportError } from '../../shared/errors.ts';
import { partnerName } from '../../shared/policy.ts';
import { partSchema } from '../config-schema.ts';
import { formerPasswords } from '../password-strength.ts';
import { parseSshPublicKeyLine } from '../ssh-public-key.ts';
import { blockMapAt, editYaml } from './edit-config.ts';
import { publicKeyLines } from './key-texts.ts';

export interface NewPartner {
  readonly name: string;
  /** Texts of public key files, in the forms of `key-texts.ts`. */
  readonly keyTexts: readonly string[];
  /** PHC string. */
  readonly passwordHash?: string | undefined;
  /** He sets his password himself, with an invitation. */
  readonly choosesPassword?: boolean | undefined;
  /** Addresses or networks. */
  readonly from: readonly string[];
  readonly require: 'any' | 'key+password' | 'key+code';
}

export interface AddedPartner {
  /** `SHA256:…` of each key. */
  readonly fingerprints: readonly string[];
}

/** Checks everything that can be told before the file is touched. @throws SallyportError `usage`, `config-invalid`. */
export function checkNewPartner({ name, keyTexts, passwordHash, choosesPassword, from, require }: NewPartner): readonly string[] {
  const fault = partnerName.safeParse(name).error?.issues[0]?.message;
  if (fault !== undefined) throw new SallyportError('usage', `"${name}" is no name for a partner: ${fault}`);
  for (const text of from) {
    const wrong = network().safeParse(text).error?.issues[0]?.message;
    if (wrong !== undefined) throw new SallyportError('usage', `--from ${text}: ${wrong}`);
  }
  const lines = keyTexts.flatMap(publicKeyLines);
  refuseTwice(lines, []);
  const noPassword = passwordHash === undefined && choosesPassword !== true;
  if (lines.length === 0 && noPassword) {
    throw new SallyportError(
      'usage',
      'a partner needs a key or a password: --key FILE, --password, --password-file FILE or --invite',
    );
  }
  if (require === 'key+password' && (lines.length === 0 || noPassword)) {
    throw new SallyportError('usage', '--require key+password needs a key and a password');
  }
  if (require === 'key+code' && lines.length === 0) throw new SallyportError('usage', '--require key+code needs a key');
  return lines;
}

/** @throws SallyportError `already-exists`, `usage`, `config-invalid`; then the file is as it was. */
export async function addPartner(file: string, partner: NewPartner, existing: readonly string[]): Promise<AddedPartner> {
  const lines = checkNewPartner(partner);
  const keys = lines.map(parseSshPublicKeyLine);
  if (existing.includes(partner.name)) {
    throw new SallyportError('already-exists', `there is a partner ${partner.name} already; nothing was changed`, {
      next: `edit ${file}, then run: sallyport config check`,
    });
  }
  await editYaml(file, partSchema, (document) => {
    insert(document, partner, lines);
    return true;
  });
  return { fingerprints: keys.map((key) => key.fingerprint) };
}

function insert(
  document: Document.Parsed,
  { name, passwordHash, choosesPassword, from, require }: NewPartner,
  keys: readonly string[],
): void {
  const entry = document.createNode({
    ...(keys.length === 0 ? {} : { keys: keys.map((line) => entryOf(line)) }),
    ...(passwordHash === undefined ? {} : { password: passwordHash, passwordSince: today() }),
    ...(choosesPassword ? { choosesPassword: true } : {}),
    ...(require === 'any' ? {} : { require }),
    ...(from.length === 0 ? {} : { from }),
  });
  blockMapAt(document, 'partners').set(name, entry);
}

export interface NewKeys {
  /** As `publicKeyLines` gives them. */
  readonly lines: readonly string[];
  readonly verify: boolean;
  /** Fingerprints of the keys that the partner has already. */
  readonly existing: readonly string[];
}

/** @returns the fingerprints. @throws SallyportError `usage`, `already-exists`, `config-invalid`; then the file is as it was. */
export async function addKeys(file: string, name: string, { lines, verify, existing }: NewKeys): Promise<readonly string[]> {
  if (lines.length === 0) throw new SallyportError('usage', '--key: there is no key in the file');
  const keys = lines.map(parseSshPublicKeyLine);
  refuseTwice(lines, existing);
  if (verify && keys.some(({ application }) => application === undefined)) {
    throw new SallyportError('usage', '--verify is for keys in FIDO devices (sk-ssh-ed25519, sk-ecdsa); this is none');
  }
  await editYaml(file, partSchema, (document) => {
    const place = ['partners', name, 'keys'];
    if (!isSeq(document.getIn(place))) document.setIn(place, document.createNode([]));
    const list = document.getIn(place) as YAMLSeq;
    // Lines are long, and an entry has several parts.
    list.flow = false;
    for (const line of lines) list.add(document.createNode(entryOf(line, verify)));
    return true;
  });
  return keys.map(({ fingerprint }) => fingerprint);
}

/** @param index Of the list in the file. @throws SallyportError `config-invalid` when the partner could not log in any more. */
export async function removeKey(file: string, name: string, index: number): Promise<void> {
  await editYaml(file, partSchema, (document) => document.deleteIn(['partners', name, 'keys', index]));
}

function refuseTwice(lines: readonly string[], existing: readonly string[]): void {
  const seen = new Set<string>();
  for (const { fingerprint, comment } of lines.map(parseSshPublicKeyLine)) {
    const shown = comment === '' ? fingerprint : `${fingerprint} (${comment})`;
    if (existing.includes(fingerprint)) {
      throw new SallyportError('already-exists', `the partner has the key ${shown} already; nothing was changed`);
    }
    if (seen.has(fingerprint)) throw new SallyportError('usage', `the key ${shown} was passed twice; nothing was changed`);
    seen.add(fingerprint);
  }
}

/** With the day, which tells later how old a key is. */
const entryOf = (key: string, verify = false): { key: string; added: string; verify?: true } => ({
  ...{ key, added: today() },
  ...(verify ? { verify: true } : {}),
});

/** Puts a new password in place of a partner's; the one of before is remembered as a hash. @throws as `addPartner`. */
export async function changePassword(file: string, name: string, hash: string, mustChange: boolean): Promise<void> {
  await editYaml(file, partSchema, (document) => {
    const entry = ['partners', name];
    const old = document.getIn([...entry, 'password']);
    const former = document.getIn([...entry, 'formerPasswords']);
    const kept = isSeq(former) ? (former.toJSON() as unknown[]) : [];
    document.setIn([...entry, 'password'], hash);
    document.setIn([...entry, 'passwordSince'], today());
    if (mustChange) document.setIn([...entry, 'passwordMustChange'], true);
    else document.deleteIn([...entry, 'passwordMustChange']);
    const all = [...(typeof old === 'string' ? [old] : []), ...kept].slice(0, formerPasswords);
    if (all.length > 0) document.setIn([...entry, 'formerPasswords'], document.createNode(all));
    return true;
  });
}

const today = (): string => new Date().toISOString().slice(0, 10);

export const unknownPartner = (name: string, known: readonly string[]): SallyportError =>
  new SallyportError('no-such-file', `there is no partner "${name}"${didYouMean(name, known)}`, {
    next: 'sallyport partner list shows the partners',
  });

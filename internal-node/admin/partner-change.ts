/** Adds partners to `conf.d/partners.yaml`. */
import { type Document, isSeq } from 'yaml';
import { network } from '../../shared/config/fields.ts';
import { didYouMean } from '../../shared/config/suggest.ts';
import { asSallyportError, SallyportError } from '../../shared/errors.ts';
import { partnerName } from '../../shared/policy.ts';
import { partSchema } from '../config-schema.ts';
import { isPrivateKey } from '../config-secrets.ts';
import { formerPasswords } from '../password-strength.ts';
import { parseSshPublicKeyLine, type SshPublicKey } from '../ssh-public-key.ts';
import { blockMapAt, editYaml } from './edit-config.ts';

export interface NewPartner {
  readonly name: string;
  /** Texts of public key files: OpenSSH lines, comments and empty lines between them. */
  readonly keyTexts: readonly string[];
  /** PHC string. */
  readonly passwordHash?: string | undefined;
  /** He sets his password himself, with an invitation. */
  readonly choosesPassword?: boolean | undefined;
  /** Addresses or networks. */
  readonly from: readonly string[];
  readonly requireBoth: boolean;
}

export interface AddedPartner {
  /** `SHA256:…` of each key. */
  readonly fingerprints: readonly string[];
}

/** Checks everything that can be told before the file is touched. @throws SallyportError `usage`, `config-invalid`. */
export function checkNewPartner({
  name,
  keyTexts,
  passwordHash,
  choosesPassword,
  from,
  requireBoth,
}: NewPartner): readonly string[] {
  const fault = partnerName.safeParse(name).error?.issues[0]?.message;
  if (fault !== undefined) throw new SallyportError('usage', `"${name}" is no name for a partner: ${fault}`);
  for (const text of from) {
    const wrong = network().safeParse(text).error?.issues[0]?.message;
    if (wrong !== undefined) throw new SallyportError('usage', `--from ${text}: ${wrong}`);
  }
  const lines = keyTexts.flatMap(keyLines);
  const noPassword = passwordHash === undefined && choosesPassword !== true;
  if (lines.length === 0 && noPassword) {
    throw new SallyportError(
      'usage',
      'a partner needs a key or a password: --key FILE, --password, --password-file FILE or --invite',
    );
  }
  if (requireBoth && (lines.length === 0 || noPassword)) {
    throw new SallyportError('usage', '--require key+password needs a key and a password');
  }
  return lines;
}

function keyLines(text: string): string[] {
  if (isPrivateKey(text)) {
    throw new SallyportError('usage', 'this is a private key; it was not stored', {
      next: 'have the partner make a new key pair and send the public part, the .pub file',
    });
  }
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
}

/** Nothing was written yet: what is wrong is what was passed, not the configuration. */
function parseKey(line: string): SshPublicKey {
  try {
    return parseSshPublicKeyLine(line);
  } catch (error) {
    const { message } = asSallyportError(error);
    throw new SallyportError(
      'usage',
      `--key: ${message}`,
      { next: 'pass the .pub file that the partner sent' },
      { cause: error },
    );
  }
}

/** @throws SallyportError `already-exists`, `usage`, `config-invalid`; then the file is as it was. */
export async function addPartner(file: string, partner: NewPartner, existing: readonly string[]): Promise<AddedPartner> {
  const lines = checkNewPartner(partner);
  const keys = lines.map(parseKey);
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
  { name, passwordHash, choosesPassword, from, requireBoth }: NewPartner,
  keys: readonly string[],
): void {
  const entry = document.createNode({
    ...(keys.length === 0 ? {} : { keys }),
    ...(passwordHash === undefined ? {} : { password: passwordHash, passwordSince: today() }),
    ...(choosesPassword ? { choosesPassword: true } : {}),
    ...(requireBoth ? { require: 'key+password' } : {}),
    ...(from.length === 0 ? {} : { from }),
  });
  blockMapAt(document, 'partners').set(name, entry);
}

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

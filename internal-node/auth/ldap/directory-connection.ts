/**
 * One connection to a directory server, on `ldapts`. This is the only file that knows the package. What it promises beyond it:
 * no bind without a password (servers take it for an anonymous one and say yes), a limit on every wait and on the bytes of an
 * answer, no reconnecting behind one's back, referrals told but never followed, and refusals as `DirectoryFault`s.
 */
import type { Socket } from 'node:net';
import { Client, type Entry, PasswordPolicyControl, ResultCodeError } from 'ldapts';
import type { Secret } from '../../../shared/secret.ts';
import { DirectoryFault, faultOf, policyFault, policyRemark } from './directory-fault.ts';

/** An entry as it was read. Attribute names in lower case; values that are no text as bytes. */
export interface DirectoryEntry {
  readonly dn: string;
  readonly values: ReadonlyMap<string, readonly (string | Buffer)[]>;
}

export interface SearchArgs {
  readonly base: string;
  readonly scope: 'base' | 'sub';
  readonly filter: string;
  readonly attributes: readonly string[];
  /** More than so many entries are `too-many`. */
  readonly most: number;
}

export interface Found {
  readonly entries: readonly DirectoryEntry[];
  /** There are more, or the server's own limit was reached. */
  readonly tooMany: boolean;
  /** The server knows others that may know more. They are not asked. */
  readonly referrals: number;
}

/** Of all answers on one connection together; an entry with a thousand groups has some 100 KiB. */
const maxBytes = 4 * 1024 * 1024;
const pageSize = 100;
/** Binary in Active Directory, also where it happens to be valid text. */
const binary = ['tokenGroups', 'objectSid', 'objectGUID'];

export class DirectoryConnection {
  readonly #client: Client;
  readonly #socket: Socket;
  #usable = true;

  /** @param socket Connected and secured; it belongs to the connection from now on. */
  constructor(socket: Socket, options: { readonly answerMs: number }) {
    this.#socket = socket;
    let received = 0;
    socket.on('data', (chunk: Buffer) => {
      received += chunk.length;
      if (received > maxBytes) socket.destroy(new Error('the answers of the server are too large'));
    });
    let given = false;
    // With a plain URL the package takes the socket as it is, TLS or not.
    this.#client = new Client({
      url: 'ldap://directory.invalid',
      timeout: options.answerMs,
      connectTimeout: options.answerMs,
      createConnection: (): Socket => {
        if (given) throw new Error('the connection has ended');
        given = true;
        return socket;
      },
    });
  }

  /** Whether another request can be made. */
  get usable(): boolean {
    return this.#usable && !this.#socket.destroyed && this.#socket.writable;
  }

  /**
   * What the server says of its password policy counts (draft-behera-ldap-password-policy): who must change his password first is
   * refused, although the bind was good.
   * @returns what staff should know of a password that is still good: it has expired, or will soon.
   * @throws DirectoryFault. After any but `failed` the connection is anonymous (RFC 4511 §4.2.1) and may bind again.
   */
  async bind(name: string, password: Secret): Promise<string | undefined> {
    if (name === '' || password.reveal().trim() === '') {
      throw new DirectoryFault('refused', 'an empty name or password is never sent', 'empty password');
    }
    const policy = new PasswordPolicyControl();
    try {
      await this.#asking(() => this.#client.bind(name, password.reveal(), policy));
    } catch (error) {
      const refused = error instanceof DirectoryFault && error.kind === 'refused';
      throw (refused && policyFault(policy.value?.error)) || error;
    }
    const owed = policyFault(policy.value?.error);
    if (owed) throw owed;
    return policyRemark(policy.value ?? {});
  }

  /** @throws DirectoryFault; `not-found` when the base does not exist. */
  async search({ base, scope, filter, attributes, most }: SearchArgs): Promise<Found> {
    const entries: DirectoryEntry[] = [];
    let referrals = 0;
    const options = { scope, filter, attributes: [...attributes], explicitBufferAttributes: binary, paged: { pageSize } };
    try {
      await this.#asking(async () => {
        for await (const page of this.#client.searchPaginated(base, options)) {
          referrals += page.searchReferences.length;
          entries.push(...page.searchEntries.map(entryOf));
          if (entries.length > most) return;
        }
      });
    } catch (error) {
      if (error instanceof DirectoryFault && error.kind === 'too-many') return { entries: [], tooMany: true, referrals };
      throw error;
    }
    return { entries: entries.slice(0, most), tooMany: entries.length > most, referrals };
  }

  /** Says goodbye and closes. Never rejects. */
  async close(): Promise<void> {
    this.#usable = false;
    await this.#client.unbind().catch(() => undefined);
    this.#socket.destroy();
  }

  /** Cuts it, whatever is under way. */
  destroy(): void {
    this.#usable = false;
    this.#socket.destroy();
  }

  async #asking<T>(ask: () => Promise<T>): Promise<T> {
    if (!this.usable) throw new DirectoryFault('failed', 'the connection to the server has ended');
    try {
      return await ask();
    } catch (error) {
      if (error instanceof ResultCodeError) throw faultOf(error.code, error.message);
      this.destroy();
      throw new DirectoryFault('failed', error instanceof Error ? firstLine(error.message) : 'the server could not be asked');
    }
  }
}

const firstLine = (text: string): string => text.split('\n', 1)[0] ?? text;

function entryOf(entry: Entry): DirectoryEntry {
  const values = new Map<string, readonly (string | Buffer)[]>();
  for (const [name, value] of Object.entries(entry)) {
    if (name === 'dn') continue;
    const [attribute = ''] = name.toLowerCase().split(';', 1);
    const all = Array.isArray(value) ? value : [value];
    values.set(attribute, [...(values.get(attribute) ?? []), ...all]);
  }
  return { dn: entry.dn, values };
}

/** The texts among the values of an attribute. */
export const textsOf = (entry: DirectoryEntry, attribute: string): readonly string[] =>
  (entry.values.get(attribute.toLowerCase()) ?? []).flatMap((value) =>
    typeof value === 'string' ? [value] : (sidOf(attribute, value) ?? []),
  );

/** `S-1-5-21-…` of a binary SID ([MS-DTYP] §2.4.2.2); undefined for other attributes and broken ones. */
export function sidOf(attribute: string, bytes: Buffer): string | undefined {
  if (!['tokengroups', 'objectsid'].includes(attribute.toLowerCase()) || bytes.length < 8) return undefined;
  const count = bytes[1] ?? 0;
  if (bytes.length !== 8 + 4 * count) return undefined;
  const parts = Array.from({ length: count }, (_, index) => bytes.readUInt32LE(8 + 4 * index));
  return ['S', bytes[0], bytes.readUIntBE(2, 6), ...parts].join('-');
}

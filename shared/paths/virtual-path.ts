/**
 * Paths as partners see them: absolute, `/`-separated, without `.`, `..`, empty components or a trailing slash. The type is
 * branded and made only here, so that whoever holds a `VirtualPath` holds a checked one.
 *
 * The text keeps the exact characters that the partner sent, for display; two paths are the same when their `pathKey`s are.
 * A path is case-sensitive. It names something in a view and never forms a path on disk.
 */
import { SallyportError } from '../errors.ts';
import { printable } from '../log.ts';
import { checkComponent, nameLimits } from './name-policy.ts';

declare const brand: unique symbol;
export type VirtualPath = string & { readonly [brand]: 'VirtualPath' };

export const root = '/' as VirtualPath;
export const inbox = '/Inbox' as VirtualPath;
export const outbox = '/Outbox' as VirtualPath;

/** `./` and `a/..` may make what a client sends longer than the path it means; not without end. */
const maxRawBytes = 4 * nameLimits.pathBytes;
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * The path that a client's text names, relative to `base`. Empty means `base`; `..` at the root stays at the root. Every
 * component is checked, also one that a later `..` takes away.
 * @param raw A Buffer must be valid UTF-8.
 * @throws SallyportError `bad-name`
 */
export function parseVirtualPath(raw: Buffer | string, base: VirtualPath = root): VirtualPath {
  const text = typeof raw === 'string' ? raw : decode(raw);
  if (text.length > maxRawBytes) throw new SallyportError('bad-name', 'the path is too long', { length: text.length });
  const components = text.startsWith('/') ? [] : componentsOf(base);
  for (const part of text.split('/')) {
    if (part === '' || part === '.') continue;
    if (part === '..') {
      components.pop();
      continue;
    }
    checkComponent(part);
    components.push(part);
  }
  return fromComponents(components);
}

/** What makes two paths the same: the text in NFC. For comparing and for keys of records, never for display. */
export function pathKey(path: VirtualPath): string {
  return path.normalize('NFC');
}

/** The components from the root; none for the root itself. */
export function componentsOf(path: VirtualPath): string[] {
  return path === root ? [] : path.slice(1).split('/');
}

/** The last component; `/` for the root. */
export function nameOf(path: string): string {
  return path === root ? root : path.slice(path.lastIndexOf('/') + 1);
}

/** The folder that holds it; the root is its own parent. */
export function parentOf(path: VirtualPath): VirtualPath {
  const end = path.lastIndexOf('/');
  return end <= 0 ? root : (path.slice(0, end) as VirtualPath);
}

/**
 * `name` as one component below `base`: nothing in it is resolved.
 * @throws SallyportError `bad-name`
 */
export function joinPath(base: VirtualPath, name: string): VirtualPath {
  checkComponent(name);
  return fromComponents([...componentsOf(base), name]);
}

/** Whether `path` is `folder` itself or lies anywhere below it. */
export function isWithin(path: VirtualPath, folder: VirtualPath): boolean {
  const key = pathKey(path);
  const above = pathKey(folder);
  return above === root || key === above || key.startsWith(`${above}/`);
}

/**
 * The path below the Inbox, without a leading slash: `a/b.csv` for `/Inbox/a/b.csv`. Rules match against this.
 * @throws SallyportError `bad-name` when it is not below the Inbox.
 */
export function belowInbox(path: VirtualPath): string {
  if (path === inbox || !isWithin(path, inbox)) {
    throw new SallyportError('bad-name', 'the path is not below /Inbox', { path: printable(path) });
  }
  return path.slice(inbox.length + 1);
}

function decode(raw: Buffer): string {
  if (raw.length > maxRawBytes) throw new SallyportError('bad-name', 'the path is too long', { length: raw.length });
  try {
    return decoder.decode(raw);
  } catch (cause) {
    throw new SallyportError('bad-name', 'the path is not valid UTF-8', { bytes: raw.length }, { cause });
  }
}

function fromComponents(components: readonly string[]): VirtualPath {
  if (components.length > nameLimits.depth) {
    throw new SallyportError('bad-name', `the path is deeper than ${nameLimits.depth} folders`, { depth: components.length });
  }
  const path = `/${components.join('/')}`;
  const bytes = Buffer.byteLength(path);
  if (bytes > nameLimits.pathBytes) {
    throw new SallyportError('bad-name', `the path is longer than ${nameLimits.pathBytes} bytes of UTF-8`, { bytes });
  }
  return path as VirtualPath;
}

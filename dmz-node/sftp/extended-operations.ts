/** Carries out the requests that are not of version 3 itself but of its extensions, except those that only name one anew. */
import { SallyportError } from '../../shared/errors.ts';
import type { Digest, PartnerView, VirtualPath } from '../partner-view.ts';
import { ownerNameOf } from './attributes.ts';
import type { CheckFileRequest, ExtendedRequest } from './codec/extensions.ts';
import { digestReply, idNamesReply, pathReply, spaceReply } from './codec/replies.ts';
import type { OpenHandle } from './handles.ts';

export interface ExtendedDeps {
  readonly view: PartnerView;
  readonly find: (handle: Buffer) => OpenHandle;
  /** Runs `work` after every request before it on this path. */
  readonly inOrder: <T>(path: VirtualPath, work: () => Promise<T>) => Promise<T>;
}

export type ExtendedOperation = Extract<
  ExtendedRequest,
  { readonly type: 'statvfs' | 'fstatvfs' | 'expand-path' | 'home-directory' | 'names-by-id' | 'check-file' }
>;

/** @throws SallyportError what the partner hears is its `partnerReply` */
export async function runExtended(request: ExtendedOperation, deps: ExtendedDeps): Promise<Buffer> {
  const { view, find, inOrder } = deps;
  const { id } = request;
  switch (request.type) {
    case 'statvfs': {
      const path = view.resolve(request.path);
      return spaceReply(id, await inOrder(path, () => view.space(path)));
    }
    case 'fstatvfs':
      return spaceReply(id, await view.space(find(request.handle).path));
    case 'names-by-id':
      return idNamesReply(id, request.users.map(ownerNameOf), request.groups.map(ownerNameOf));
    case 'expand-path':
      return pathReply(id, view.resolve(expanded(request.path, view)));
    case 'home-directory':
      if (request.user.length > 0) refuseOthers(request.user.toString('latin1'), view.partner);
      return pathReply(id, view.home);
    case 'check-file':
      return digestReply(id, request.named, algorithm, Buffer.from(await sha256Of(request, deps), 'hex'));
  }
}

const tilde = 0x7e;
const slash = 0x2f;

/** `~` and `~name` at the beginning are the home of the account that is logged in. */
function expanded(path: Buffer, { partner, home }: Pick<PartnerView, 'partner' | 'home'>): Buffer {
  if (path[0] !== tilde) return path;
  const end = path.indexOf(slash);
  const name = path.subarray(1, end < 0 ? path.length : end).toString('latin1');
  if (name !== '') refuseOthers(name, partner);
  return Buffer.concat([Buffer.from(`${home}/`), end < 0 ? Buffer.alloc(0) : path.subarray(end + 1)]);
}

/** Other accounts are not told apart from names that mean nobody. */
function refuseOthers(user: string, partner: string): void {
  if (user !== partner) throw new SallyportError('no-such-file', 'the client asked for the home of somebody else');
}

/** The only digest that the records hold. */
const algorithm = 'sha256';

async function sha256Of(request: CheckFileRequest, deps: ExtendedDeps): Promise<string> {
  if (!request.algorithms.split(',').includes(algorithm)) {
    throw new SallyportError('unsupported', 'the client wants a digest that the records do not hold');
  }
  const { sha256, size } = await digestOf(request.target, deps);
  const { offset, length, blockBytes } = request;
  const reaches = (bytes: number): boolean => bytes === 0 || bytes >= size;
  if (offset !== 0 || !reaches(length) || !reaches(blockBytes)) {
    throw new SallyportError('unsupported', 'the records hold no digest of a part of a file');
  }
  return sha256;
}

async function digestOf(target: CheckFileRequest['target'], { view, find, inOrder }: ExtendedDeps): Promise<Digest> {
  if ('path' in target) {
    const path = view.resolve(target.path);
    return inOrder(path, () => view.digest(path));
  }
  const open = find(target.handle);
  if (open.kind === 'folder') throw new SallyportError('is-a-folder', 'the handle is one of a folder');
  if (open.kind === 'write' || open.handle.sha256 === null) {
    throw new SallyportError('unsupported', 'the records hold no digest of what is open');
  }
  return { sha256: open.handle.sha256, size: open.handle.size };
}

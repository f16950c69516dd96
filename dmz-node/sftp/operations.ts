/**
 * Carries out the requests of one SFTP channel on the partner's view. It translates and keeps order; every rule about what
 * the partner sees and may do is the view's.
 *
 * Writes reach the view in the order in which they came; a close waits for them and fails when one of them failed, even when
 * the bytes did arrive (a partner who hears "ok" for a CLOSE may delete his copy). What is open when the channel is lost is
 * abandoned, never completed.
 */
import type { Clock } from '../../shared/clock.ts';
import { asSallyportError, SallyportError } from '../../shared/errors.ts';
import type { PartnerView, VirtualPath } from '../partner-view.ts';
import { maxDataBytes, openFlag } from './codec/protocol.ts';
import {
  attributesReply,
  dataReplyHead,
  handleReply,
  limitsReply,
  maxNamesPerReply,
  namesReply,
  okReply,
  pathReply,
  statusReply,
} from './codec/replies.ts';
import type { Request, RequestOf } from './codec/requests.ts';
import type { WantedAttributes } from './codec/wanted-attributes.ts';
import { type ExtendedDeps, runExtended } from './extended-operations.ts';
import { Answers, type HandleBudget, HandleTable, type OpenHandle, type OpenRead, type OpenWrite } from './handles.ts';
import { Lanes } from './lanes.ts';
import { endOfFile } from './status.ts';

export type Reply = readonly Buffer[];
type Answerable = Exclude<Request, { readonly type: 'init' }>;

export interface OperationsDeps {
  readonly view: PartnerView;
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly budget: HandleBudget;
}

export class Operations {
  readonly #deps: OperationsDeps;
  readonly #handles: HandleTable;
  readonly #lanes = new Lanes();
  readonly #extended: ExtendedDeps;
  readonly #closing = new Set<Promise<unknown>>();
  #over: string | undefined;
  #draining = false;

  constructor(deps: OperationsDeps) {
    this.#deps = deps;
    this.#handles = new HandleTable(deps.budget);
    this.#extended = {
      view: deps.view,
      find: (handle) => this.#handles.find(handle),
      inOrder: (path, work) => this.#lanes.onPaths([path], work),
    };
  }

  get openHandles(): number {
    return this.#handles.size + this.#closing.size;
  }

  /** Opens nothing more; what is open goes on. */
  drain(): void {
    this.#draining = true;
  }

  /** @throws SallyportError what the partner hears is its `partnerReply`. */
  async run(request: Answerable): Promise<Reply> {
    switch (request.type) {
      case 'write':
        return this.#write(request);
      case 'read':
        return this.#read(request);
      case 'open':
        return this.#open(request);
      case 'close':
        return this.#close(request);
      case 'fstat':
        return this.#fstat(request);
      case 'fsetstat':
        return this.#fsetstat(request);
      case 'opendir':
        return this.#opendir(request);
      case 'readdir':
        return this.#readdir(request);
      case 'limits':
        return [limitsReply(request.id, this.#deps.budget.max)];
      case 'fsync':
        return this.#fsync(request);
      case 'statvfs':
      case 'fstatvfs':
      case 'expand-path':
      case 'home-directory':
      case 'names-by-id':
      case 'check-file':
        return [await runExtended(request, this.#extended)];
      case 'unsupported':
        throw new SallyportError('unsupported', 'the client asked for an operation that is not offered');
      default:
        return this.#onPath(request);
    }
  }

  /** Abandons what is open. Resolves when uploads that were being completed are decided and the others are kept. */
  async end(reason: string): Promise<void> {
    this.#over ??= reason;
    const abandoned = this.#handles.takeAll().map((open) => this.#letGo(open, reason));
    await Promise.allSettled([...abandoned, ...this.#closing]);
  }

  async #write(request: RequestOf<'write'>): Promise<Reply> {
    const open = this.#handles.find(request.handle);
    if (open.kind !== 'write') throw new SallyportError('permission-denied', 'a write to a handle that is not open for writing');
    return open.answers.give(this.#writeTo(open, request));
  }

  async #writeTo(open: OpenWrite, request: RequestOf<'write'>): Promise<Reply> {
    if (open.barrier) await open.barrier;
    try {
      if (!Number.isSafeInteger(request.offset + request.data.length)) {
        throw new SallyportError('write-out-of-window', 'the write lies beyond any file', { offset: String(request.offset) });
      }
      if (request.data.length > 0) await open.handle.write(request.offset, request.data);
      return [okReply(request.id)];
    } catch (error) {
      open.failed ??= asSallyportError(error);
      throw error;
    }
  }

  async #read(request: RequestOf<'read'>): Promise<Reply> {
    const open = this.#handles.find(request.handle);
    if (open.kind !== 'read') throw new SallyportError('permission-denied', 'a read from a handle that is not open for reading');
    return open.answers.give(readFrom(open, request));
  }

  #open(request: RequestOf<'open'>): Promise<Reply> {
    const { view } = this.#deps;
    const { flags } = request;
    const path = view.resolve(request.path);
    return this.#lanes.onPaths([path], () =>
      this.#place(async () => {
        // Some clients ask for both to resume an upload; a file that is being uploaded cannot be read anyway.
        if ((flags & (openFlag.write | openFlag.append)) === 0) {
          return { kind: 'read', path, handle: await view.openForReading(path), answers: new Answers(), toldEnd: false };
        }
        const handle = await view.openForWriting(path, {
          create: (flags & openFlag.create) !== 0,
          exclusive: (flags & openFlag.exclusive) !== 0,
          truncate: (flags & openFlag.truncate) !== 0,
          append: (flags & openFlag.append) !== 0,
        });
        // Opening a file for writing makes it (draft-ietf-secsh-filexfer-02 §6.3).
        handle.keepEmpty();
        return { kind: 'write', path, handle, answers: new Answers(), barrier: undefined, failed: undefined };
      }, request.id),
    );
  }

  #opendir(request: RequestOf<'opendir'>): Promise<Reply> {
    const { view } = this.#deps;
    const path = view.resolve(request.path);
    return this.#lanes.alone(() =>
      this.#place(
        async () => ({ kind: 'folder', path, handle: await view.openFolder(path), tail: Promise.resolve() }),
        request.id,
      ),
    );
  }

  /** Opens within the limit. What was opened for a client that has left meanwhile is let go at once. */
  async #place(make: () => Promise<OpenHandle>, id: number): Promise<Reply> {
    if (this.#draining) throw new SallyportError('limit-reached', 'the node is stopping and opens nothing more');
    this.#handles.reserve();
    try {
      const open = await make();
      if (this.#over === undefined) return [handleReply(id, this.#handles.add(open))];
      await this.#letGo(open, this.#over);
      throw new SallyportError('link-closed', this.#over);
    } catch (error) {
      this.#handles.unreserve();
      throw error;
    }
  }

  async #letGo(open: OpenHandle, reason: string): Promise<void> {
    if (open.kind === 'write') await open.handle.abandon(reason);
    // Some clients (lftp) leave as soon as they have everything, and their CLOSE is lost with them.
    if (open.kind === 'read') await (open.toldEnd ? open.handle.close() : open.handle.abandon());
  }

  #close(request: RequestOf<'close'>): Promise<Reply> {
    const open = this.#handles.take(request.handle);
    if (open.kind === 'folder') return Promise.resolve([okReply(request.id)]);
    const closing = this.#lanes.onPaths([open.path], async () => {
      if (open.kind === 'write') await this.#complete(open);
      else {
        await open.answers.given();
        await open.handle.close();
      }
      return [okReply(request.id)];
    });
    this.#closing.add(closing);
    const forget = (): void => void this.#closing.delete(closing);
    closing.then(forget, forget);
    return closing;
  }

  async #complete(open: OpenWrite): Promise<void> {
    if (open.barrier) await open.barrier;
    await open.answers.given();
    if (!open.failed) return open.handle.close();
    await open.handle.abandon(`a write failed: ${open.failed.message}`);
    throw open.failed;
  }

  async #fstat(request: RequestOf<'fstat'>): Promise<Reply> {
    const open = this.#handles.find(request.handle);
    const entry = open.kind === 'folder' ? await this.#deps.view.stat(open.path) : open.handle.stat();
    return [attributesReply(request.id, entry)];
  }

  async #fsetstat(request: RequestOf<'fsetstat'>): Promise<Reply> {
    const open = this.#handles.find(request.handle);
    if (open.kind !== 'write')
      throw new SallyportError('permission-denied', 'attributes of a handle that is not open for writing');
    if (isEmpty(request.attributes)) return [okReply(request.id)];
    await this.#afterWrites(open, () => {
      checkSize(request.attributes);
      return open.handle.setAttributes(request.attributes);
    });
    return [okReply(request.id)];
  }

  /** "OK" means that what was answered before it survives a crash (`fsync@openssh.com` in OpenSSH's PROTOCOL file). */
  async #fsync(request: RequestOf<'fsync'>): Promise<Reply> {
    const open = this.#handles.find(request.handle);
    if (open.kind === 'folder') throw new SallyportError('is-a-folder', 'a flush of a handle that is no file');
    if (open.kind === 'write') {
      await this.#afterWrites(open, () => {
        if (open.failed) throw open.failed;
        return open.handle.flush();
      });
    }
    return [okReply(request.id)];
  }

  /** Runs `work` when every write before it is done. Later writes and the close wait for it, whether it succeeds or not. */
  async #afterWrites(open: OpenWrite, work: () => Promise<void>): Promise<void> {
    const before = open.barrier;
    // Only of those before it: later ones wait for this.
    const given = open.answers.given();
    const change = (async () => {
      if (before) await before.catch(() => undefined);
      await given;
      await work();
    })();
    const barrier = change.catch(() => undefined);
    open.barrier = barrier;
    try {
      await change;
    } finally {
      if (open.barrier === barrier) open.barrier = undefined;
    }
  }

  async #readdir(request: RequestOf<'readdir'>): Promise<Reply> {
    const open = this.#handles.find(request.handle);
    if (open.kind !== 'folder') throw new SallyportError('not-a-folder', 'a listing of a handle that is no folder');
    const next = open.tail.then(() => open.handle.next(maxNamesPerReply));
    open.tail = next.catch(() => undefined);
    const entries = await next;
    if (entries.length === 0) return endReply(request.id);
    return [namesReply(request.id, entries.slice(0, maxNamesPerReply), this.#deps.clock.nowMs())];
  }

  async #onPath(
    request: RequestOf<'lstat' | 'remove' | 'mkdir' | 'rmdir' | 'realpath' | 'stat' | 'setstat' | 'rename'>,
  ): Promise<Reply> {
    const { view } = this.#deps;
    const { id } = request;
    if (request.type === 'rename') {
      const [from, to] = [view.resolve(request.from), view.resolve(request.to)];
      return this.#lanes.alone(() => done(id, view.rename(from, to, request.overwrite)));
    }
    const path = view.resolve(request.path);
    switch (request.type) {
      case 'realpath':
        return [pathReply(id, path)];
      case 'mkdir':
        return this.#lanes.alone(() => done(id, view.makeFolder(path)));
      case 'rmdir':
        return this.#lanes.alone(() => done(id, view.removeFolder(path)));
      case 'remove':
        return this.#lanes.onPaths([path], () => done(id, view.removeFile(path)));
      case 'setstat':
        return this.#lanes.onPaths([path], () => done(id, this.#setstat(path, request.attributes)));
      case 'stat':
      case 'lstat':
        return this.#lanes.onPaths([path], async () => [attributesReply(id, await view.stat(path))]);
    }
  }

  async #setstat(path: VirtualPath, attributes: WantedAttributes): Promise<void> {
    checkSize(attributes);
    await this.#deps.view.setAttributes(path, attributes);
  }
}

async function readFrom(open: OpenRead, request: RequestOf<'read'>): Promise<Reply> {
  const { handle } = open;
  const length = Math.min(request.length, maxDataBytes);
  if (request.offset >= handle.size) open.toldEnd = true;
  if (length === 0 || request.offset >= handle.size) return endReply(request.id);
  const bytes = await handle.read(request.offset, length);
  if (bytes.length === 0) return endReply(request.id);
  return [dataReplyHead(request.id, bytes.length), bytes];
}

async function done(id: number, work: Promise<unknown>): Promise<Reply> {
  await work;
  return [okReply(id)];
}

const endReply = (id: number): Reply => [statusReply(id, endOfFile.code, endOfFile.message)];
const isEmpty = (attributes: WantedAttributes): boolean => attributes.size === undefined && attributes.modifiedAtMs === undefined;

function checkSize(attributes: WantedAttributes): void {
  if (attributes.size !== undefined && !Number.isSafeInteger(attributes.size)) {
    throw new SallyportError('write-out-of-window', 'a size that no file can have');
  }
}

/**
 * The thread behind `SealWorkers`: runs the jobs of its users in the order of their messages. Everything but the waits for
 * flushes is synchronous, in steps of one block, so users of one worker take turns block by block.
 */
import { parentPort } from 'node:worker_threads';
import { SallyportError } from '../errors.ts';
import { keepMemoryFlat } from '../memory.ts';
import { type Failure, toFailure } from './file-failure.ts';
import { KeyRing } from './key-ring.ts';
import { OpeningJob } from './opening-job.ts';
import { FolderFlusher } from './output-file.ts';
import { sealedChunkBytes } from './payload.ts';
import { ReadingJob } from './reading-job.ts';
import { maxReadChunks } from './sealed-reader.ts';
import { SealingJob } from './sealing-job.ts';
import type { FromWorker, Load, ToWorker } from './worker-messages.ts';

type Job = SealingJob | OpeningJob | ReadingJob;
type UserMessage = Exclude<ToWorker, { op: 'stop' }>;

const port = parentPort;
if (!port) throw new Error('seal-worker must run as a worker thread');
const post = (message: FromWorker, transfer: readonly ArrayBuffer[] = []): void => port.postMessage(message, transfer);
const view = (load: Load | undefined): Buffer => (load ? Buffer.from(load.block, 0, load.length) : Buffer.alloc(0));

class SealWorker {
  readonly #jobs = new Map<number, Job>();
  readonly #failures = new Map<number, Failure>();
  readonly #folders = new FolderFlusher();
  readonly #keys = new KeyRing();
  readonly #scratch = Buffer.allocUnsafeSlow(maxReadChunks * sealedChunkBytes);
  readonly #finishing = new Set<Promise<void>>();

  accept(message: UserMessage): void {
    try {
      const failure = this.#failures.get(message.id);
      if (failure && message.op !== 'close') this.#refuse(message, failure);
      else this.#run(message);
    } catch (error) {
      this.#fail(message, error);
    }
    // Also after a failure: the sender counts what is still under way.
    if (message.op === 'bytes') {
      const { block, length } = message.load;
      post({ kind: 'done', id: message.id, block, length }, [block]);
    }
  }

  /** Lets flushes under way end, then closes every file. */
  async stop(): Promise<void> {
    await Promise.all(this.#finishing);
    for (const job of this.#jobs.values()) closeJob(job, false);
    port?.close();
  }

  #run(message: UserMessage): void {
    const { id } = message;
    switch (message.op) {
      case 'seal':
        this.#add(id, new SealingJob({ folders: this.#folders, keys: this.#keys }, message)).begin();
        break;
      case 'open':
        this.#add(id, new OpeningJob({ keys: this.#keys }, message)).begin();
        break;
      case 'segment':
        this.#opening(id).beginSegment(message.expected);
        break;
      case 'bytes':
        this.#writing(id).push(view(message.load));
        break;
      case 'end-segment':
        this.#opening(id).endSegment(view(message.load));
        this.#answer(message.call);
        break;
      case 'finish':
        this.#finish(message);
        break;
      case 'open-whole':
        this.#openWhole(message);
        break;
      case 'open-reader':
        this.#add(id, new ReadingJob()).begin(message.segments);
        this.#answer(message.call);
        break;
      case 'read':
        this.#read(message);
        break;
      case 'close':
        this.#close(message);
        break;
    }
  }

  #openWhole({ call, path, identity, segments, load }: UserMessage & { op: 'open-whole' }): void {
    const job = new OpeningJob({ keys: this.#keys }, { path, identity });
    const settled: Promise<void> = openAll(job, segments, view(load))
      .then((value) => post({ kind: 'result', call, value }))
      .catch((error: unknown) => {
        job.close(true);
        post({ kind: 'refused', call, failure: toFailure(error) });
      })
      .finally(() => this.#finishing.delete(settled));
    this.#finishing.add(settled);
  }

  #finish(message: UserMessage & { op: 'finish' }): void {
    const job = this.#writing(message.id);
    const settled: Promise<void> = job
      .finish(view(message.load))
      .then((value: unknown) => {
        this.#jobs.delete(message.id);
        post({ kind: 'result', call: message.call, value });
      })
      .catch((error: unknown) => this.#fail(message, error))
      .finally(() => this.#finishing.delete(settled));
    this.#finishing.add(settled);
  }

  #read({ id, call, segment, chunk, count }: UserMessage & { op: 'read' }): void {
    const job = this.#jobs.get(id);
    if (!(job instanceof ReadingJob)) throw new SallyportError('internal', 'the reader is closed');
    const plain = job.read(segment, chunk, Math.min(count, maxReadChunks), this.#scratch);
    post({ kind: 'result', call, value: plain }, [plain.buffer]);
  }

  #close({ id, call, remove }: UserMessage & { op: 'close' }): void {
    const job = this.#jobs.get(id);
    if (job) closeJob(job, remove);
    this.#jobs.delete(id);
    this.#failures.delete(id);
    this.#answer(call);
  }

  #answer(call: number): void {
    post({ kind: 'result', call, value: undefined });
  }

  #fail(message: UserMessage, error: unknown): void {
    const failure = toFailure(error);
    // What was read ahead may be damaged without harm to what lies before it.
    if (message.op === 'read') {
      this.#refuse(message, failure);
      return;
    }
    const job = this.#jobs.get(message.id);
    this.#failures.set(message.id, failure);
    // The file stays until the user closes, but its descriptor is of no more use.
    if (job) closeJob(job, false);
    const created = job !== undefined && !(job instanceof ReadingJob) && job.file.created;
    post({ kind: 'failed', id: message.id, failure, created });
    this.#refuse(message, failure);
  }

  #refuse(message: UserMessage, failure: Failure): void {
    if ('call' in message) post({ kind: 'refused', call: message.call, failure });
  }

  #add<T extends Job>(id: number, job: T): T {
    this.#jobs.set(id, job);
    return job;
  }

  #writing(id: number): SealingJob | OpeningJob {
    const job = this.#jobs.get(id);
    if (job instanceof SealingJob || job instanceof OpeningJob) return job;
    throw new SallyportError('internal', 'the file is closed');
  }

  #opening(id: number): OpeningJob {
    const job = this.#jobs.get(id);
    if (job instanceof OpeningJob) return job;
    throw new SallyportError('internal', 'the file is closed');
  }
}

async function openAll(
  job: OpeningJob,
  segments: (UserMessage & { op: 'open-whole' })['segments'],
  sealed: Buffer,
): Promise<{ size: number; sha256: string }> {
  job.begin();
  let at = 0;
  for (const { sealedBytes, ...expected } of segments) {
    job.beginSegment(expected);
    job.endSegment(sealed.subarray(at, at + sealedBytes));
    at += sealedBytes;
  }
  return await job.finish(sealed.subarray(at));
}

const closeJob = (job: Job, remove: boolean): void => (job instanceof ReadingJob ? job.close() : job.close(remove));

keepMemoryFlat();
const worker = new SealWorker();
port.on('message', (message: ToWorker) => {
  if (message.op === 'stop') void worker.stop();
  else worker.accept(message);
});
post({ kind: 'ready' });

/**
 * The one transfer of a session: the way to its data connection, its replies, and its end.
 *
 * A transfer runs beside the commands, so that ABOR is heard. Whatever ends it, exactly one final reply is sent, and the plan
 * is told exactly once what became of it.
 */
import { asSallyportError } from '../../../shared/errors.ts';
import type { Logger } from '../../../shared/log.ts';
import type { TransferPlan } from '../commands/conversation.ts';
import { type Reply, reply, replyTo } from '../control/replies.ts';
import type { DataConnection } from './data-connection.ts';
import type { DataDoor } from './data-door.ts';

export interface TransferSlotDeps {
  readonly send: (reply: Reply) => Promise<void>;
  readonly log: Logger;
  /** A transfer begins or is over. */
  readonly onChange: () => void;
}

/** Of one session. */
const maxLeaving = 8;

export class TransferSlot {
  readonly #deps: TransferSlotDeps;
  #door: DataDoor | undefined;
  #running: AbortController | undefined;
  /** Settles when the final reply of the newest transfer was sent. */
  #done: Promise<void> = Promise.resolve();
  /** Whose transfer is over and whose client has perhaps not closed its side, oldest first. */
  readonly #leaving: DataConnection[] = [];

  constructor(deps: TransferSlotDeps) {
    this.#deps = deps;
  }

  get running(): boolean {
    return this.#running !== undefined;
  }

  /** Whether a data connection could come. */
  get ready(): boolean {
    return this.#door !== undefined;
  }

  /** The way for the next transfer; one that was not used is closed. */
  prepare(door: DataDoor): void {
    this.#door?.close();
    this.#door = door;
  }

  begin(plan: TransferPlan): void {
    const door = this.#door;
    if (!door || this.#running) throw new Error('no transfer can begin now');
    this.#door = undefined;
    const abort = new AbortController();
    this.#running = abort;
    this.#done = this.#run(plan, door, abort.signal).finally(() => this.#deps.onChange());
    this.#deps.onChange();
  }

  /** The way that was prepared does not fit any more. */
  forget(): void {
    this.#door?.close();
    this.#door = undefined;
  }

  /** Gives up the transfer under way, or the way to one. Resolves when its reply was sent; what was decided stands. */
  async abort(reason: string): Promise<void> {
    this.#door?.close();
    this.#door = undefined;
    this.#running?.abort(new Error(reason));
    await this.#done;
  }

  /** Resolves when the transfer under way is over and its reply was sent; at once when there is none. */
  async idle(): Promise<void> {
    await this.#done;
  }

  async #run(plan: TransferPlan, door: DataDoor, signal: AbortSignal): Promise<void> {
    let last: Reply;
    try {
      await this.#deps.send(plan.opening);
      last = await this.#move(plan, door, signal);
    } finally {
      door.close();
      // Before the reply: who reads it may give his next command before we hear that it was sent.
      this.#running = undefined;
    }
    await this.#deps.send(last);
  }

  async #move(plan: TransferPlan, door: DataDoor, signal: AbortSignal): Promise<Reply> {
    let connection: DataConnection;
    try {
      connection = await door.take(signal);
    } catch (error) {
      await plan.abandon('no data connection');
      if (signal.aborted) return aborted;
      this.#tell(error);
      return reply(425, 'No usable data connection');
    }
    try {
      const last = await plan.move(connection, signal);
      this.#release(connection);
      return last;
    } catch (error) {
      connection.destroy();
      if (signal.aborted) return aborted;
      this.#tell(error);
      return asSallyportError(error).code === 'link-closed' ? reply(426, 'Data connection lost') : replyTo(error);
    }
  }

  #release(connection: DataConnection): void {
    connection.release();
    this.#leaving.push(connection);
    if (this.#leaving.length > maxLeaving) this.#leaving.shift()?.destroy();
  }

  #tell(thrown: unknown): void {
    const error = asSallyportError(thrown);
    const level = error.code === 'internal' ? 'error' : 'debug';
    this.#deps.log[level]({ code: error.code, ...error.fields, err: error.message }, 'a transfer failed');
  }
}

const aborted: Reply = reply(426, 'Transfer aborted');

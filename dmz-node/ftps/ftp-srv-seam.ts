/**
 * The one place that knows the inside of the package `ftp-srv` (pinned to 4.6.3; what is used here was read in its source).
 *
 * It is the frame of the door: its server accepts, its connection formats replies, its registry dispatches commands and explains
 * them, and its five commands without consequences stay (NOOP, SYST, HELP, MODE, STRU). Everything that decides something is
 * ours, because its own is not fit for it: the line reader, TLS, the login, data connections, transfers, listings. So its
 * connection never holds a real socket (a sink takes its replies), every other row of its registry is removed before the first
 * connection, and it gets a log that drops what it would say about commands, which holds passwords.
 */
import { createRequire } from 'node:module';
import type { Server, Socket } from 'node:net';
import type { Logger } from '../../shared/log.ts';
import type { Command, CommandTable } from './commands/conversation.ts';
import type { Reply } from './control/replies.ts';

interface Letter {
  readonly message: string;
  readonly raw: true;
}

interface PackageConnection {
  authenticated: boolean;
  readonly commands: { handle(command: PackageCommand): PromiseLike<unknown> };
  reply(code: number, ...letters: readonly (string | Letter)[]): PromiseLike<unknown>;
}

interface PackageCommand {
  readonly directive: string;
  readonly arg: unknown;
  readonly flags: readonly string[];
}

interface RegistryRow {
  readonly directive: string | readonly string[];
  readonly handler: (this: PackageConnection, args: { readonly command: PackageCommand }) => unknown;
  readonly syntax: string;
  readonly description: string;
  readonly flags: { readonly no_auth: boolean };
}

interface PackageLog {
  child(): PackageLog;
  trace(): void;
  debug(): void;
  info(): void;
  warn(): void;
  error(...words: readonly unknown[]): void;
}

type PackageServer = { readonly server: Server };
type ServerClass = new (options: { readonly log: PackageLog; readonly url: string }) => PackageServer;
type ConnectionClass = new (server: PackageServer, options: { log: PackageLog; socket: unknown }) => PackageConnection;

const load = createRequire(import.meta.url);
const FtpServer = load('ftp-srv/src/index.js') as ServerClass;
const FtpConnection = load('ftp-srv/src/connection.js') as ConnectionClass;
const registry = load('ftp-srv/src/commands/registry.js') as Record<string, RegistryRow>;

/** Rows of the package's registry that change nothing but a reply. */
const keptVerbs: readonly string[] = ['NOOP', 'SYST', 'HELP', 'MODE', 'STRU'];
/** Of these, harmless while a transfer runs. */
const keptDuringTransfer: readonly string[] = ['NOOP'];

for (const verb of Object.keys(registry)) if (!keptVerbs.includes(verb)) delete registry[verb];

/** Our commands, as the package dispatches them. Called once, when the modules are loaded. */
export function register(table: CommandTable): void {
  for (const [verb, command] of Object.entries(table)) registry[verb] = row(verb, command);
}

const row = (verb: string, { needs, syntax, about }: Command): RegistryRow => ({
  directive: verb,
  syntax: `{{cmd}} ${syntax}`.trim(),
  description: about,
  flags: { no_auth: needs === 'nothing' },
  handler({ command }) {
    return talks.get(this)?.(command.directive, command.arg as Buffer);
  },
});

export const isKept = (verb: string): boolean => keptVerbs.includes(verb);
export const isHarmless = (verb: string): boolean => keptDuringTransfer.includes(verb);

const talks = new WeakMap<PackageConnection, (verb: string, argument: Buffer) => Promise<void>>();

/** The accept loop of one address. */
export class FrameServer {
  readonly server: Server;
  readonly #package: PackageServer;
  readonly #log: PackageLog;

  constructor(log: Logger, onSocket: (socket: Socket) => void) {
    this.#log = packageLog(log);
    this.#package = new FtpServer({ log: this.#log, url: 'ftp://0.0.0.0' });
    this.server = this.#package.server;
    // Its own listener would speak before anybody was admitted.
    this.server.removeAllListeners('connection');
    Object.assign(this.server, { noDelay: true, allowHalfOpen: true });
    this.server.on('connection', onSocket);
  }

  /**
   * @param sink Takes the bytes of replies; calls back when the system has them, or when they can no longer be sent.
   * @param run Carries out one of our commands. Never rejects.
   */
  talk(sink: ReplySink, run: (verb: string, argument: Buffer) => Promise<Reply | undefined>): Frame {
    return new Frame(this.#package, this.#log, sink, run);
  }
}

export interface ReplySink {
  readonly writable: boolean;
  write(text: string, done: () => void): void;
}

/** The package's connection of one session: replies and dispatch. */
export class Frame {
  readonly #connection: PackageConnection;
  /** Replies go out whole, one after the other: a transfer ends whenever it ends. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(
    server: PackageServer,
    log: PackageLog,
    sink: ReplySink,
    run: (verb: string, argument: Buffer) => Promise<Reply | undefined>,
  ) {
    const connection = new FtpConnection(server, { log, socket: socketOf(sink) });
    const plain = connection.reply.bind(connection);
    connection.reply = (code, ...letters) => {
      const sent = this.#last.then(() => plain(code, ...letters));
      this.#last = sent;
      return sent;
    };
    talks.set(connection, async (verb, argument) => {
      const answer = await run(verb, argument);
      if (answer) await this.reply(answer);
    });
    this.#connection = connection;
  }

  /** What opens the commands that need a login. */
  set loggedIn(loggedIn: boolean) {
    this.#connection.authenticated = loggedIn;
  }

  /** Resolves when the system has it, or it can no longer be sent. */
  async reply({ code, lines }: Reply): Promise<void> {
    const last = lines.length - 1;
    const letters = lines.map((line, at) => (at === 0 || at === last ? line : { message: ` ${line}`, raw: true as const }));
    await this.#connection.reply(code, ...letters);
  }

  /** Resolves when nothing waits to be sent. */
  async flushed(): Promise<void> {
    await this.#last;
  }

  /** @returns false when there is no such command. */
  async carryOut(verb: string, argument: Buffer): Promise<boolean> {
    if (!Object.hasOwn(registry, verb)) return false;
    const arg = isKept(verb) ? argument.toString('latin1').trim() : argument;
    await this.#connection.commands.handle({ directive: verb, arg, flags: [] });
    return true;
  }
}

/** What the package takes for a socket: it can say something, and nothing else. */
const socketOf = (sink: ReplySink): object => ({
  on: () => undefined,
  address: () => ({}),
  destroy: () => undefined,
  destroyed: false,
  get writable() {
    return sink.writable;
  },
  write: (text: string, _encoding: string, done: () => void) => sink.write(text, done),
});

/** It logs every command and reply, and as errors that a client has left: neither is for our log. */
function packageLog(log: Logger): PackageLog {
  const nothing = (): void => undefined;
  const own: PackageLog = {
    child: () => own,
    trace: nothing,
    debug: nothing,
    info: nothing,
    warn: nothing,
    error: (...words) => log.debug({ words: words.filter((word) => typeof word === 'string') }, 'ftp-srv'),
  };
  return own;
}

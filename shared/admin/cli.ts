/**
 * What both commands have in common: options that every verb takes, help that starts with examples, errors in three parts,
 * exit codes. Nothing here reads argv, the environment or signals: `main.ts` passes them in.
 */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Command, CommanderError } from 'commander';
import { asSallyportError, type ErrorCode, errorCatalogue, type SallyportError } from '../errors.ts';
import { exitCodeMeanings, exitCodeOf, exitCodes } from '../exit-codes.ts';
import { printable } from '../log.ts';
import { programVersion } from '../version.ts';
import { Output, type OutputTarget } from './output.ts';

/** The outside world of a command. */
export interface Surroundings {
  readonly out: OutputTarget;
  readonly error: OutputTarget;
  readonly input: NodeJS.ReadStream;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Fires at SIGINT or SIGTERM, for verbs that are not `serve`. */
  readonly signal: AbortSignal;
}

/** What a verb gets. */
export interface VerbContext extends Surroundings {
  readonly output: Output;
  /** The configuration file: named, from the environment, or the usual place. */
  readonly configFile: string;
}

export interface ProgramOptions {
  readonly name: 'sallyport' | 'sallyport-dmz';
  readonly summary: string;
  /** Finds the configuration file for the value of `--config`. */
  readonly findConfig: (named: string | undefined, env: Surroundings['env']) => string;
}

interface GlobalOptions {
  readonly config?: string;
  readonly json?: boolean;
}

/** A verb: its name and arguments as commander writes them, what it does, and two examples for the top of its help. */
export interface VerbText {
  readonly usage: string;
  readonly summary: string;
  readonly examples: readonly [string, string, ...string[]];
  /** It turns signals into a drain by itself. Every other verb is over at the first one, after a moment for cleaning up. */
  readonly untilStopped?: true;
  /** Its group alone, without a verb, means this one. */
  readonly isDefault?: true;
}

const cleanUpMs = 1000;

export class Program {
  readonly #surroundings: Surroundings;
  readonly #options: ProgramOptions;
  readonly #root: Command;
  #json = false;
  /** The verb as typed, for hints. */
  #verb = 'VERB';
  /** The value of `--config` as typed, for hints. */
  #config: string | undefined;

  constructor(surroundings: Surroundings, options: ProgramOptions) {
    this.#surroundings = surroundings;
    this.#options = options;
    this.#root = this.#settled(new Command(options.name)).description(options.summary).version(programVersion).helpCommand(false);
    this.#withGlobals(this.#root);
    this.#addHelpVerb();
  }

  /** The words that a command line may begin with, without `help`. */
  get words(): readonly string[] {
    return this.#root.commands.map((command) => command.name()).filter((name) => name !== 'help');
  }

  /** A group of verbs such as `partner`, or one within another. */
  group(name: string, summary: string, parent: Command = this.#root): Command {
    return this.#settled(parent.command(name)).description(summary).helpCommand(false);
  }

  /** Declares a verb. `run` gets the verb's own options and its arguments. */
  verb<O extends object>(
    text: VerbText,
    declare: (command: Command) => void,
    run: (context: VerbContext, options: O, args: readonly string[]) => Promise<void>,
    parent: Command = this.#root,
  ): void {
    const command = this.#settled(parent.command(text.usage, { isDefault: text.isDefault === true })).description(text.summary);
    const examples = text.examples.map((example) => `  $ ${this.#options.name} ${example}`).join('\n');
    command.addHelpText('before', `Examples:\n${examples}\n`);
    declare(command);
    this.#withGlobals(command);
    command.action(async (...given: unknown[]) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      this.#config = options.config;
      const args = given
        .slice(0, -2)
        .flat()
        .filter((arg) => typeof arg === 'string');
      const work = run(this.#context(options), options as unknown as O, args);
      await (text.untilStopped ? work : this.#unlessInterrupted(work));
    });
  }

  /** @param args Without the program's own name. @returns the exit code; never throws. */
  async run(args: readonly string[]): Promise<number> {
    this.#json = args.includes('--json');
    this.#verb = this.#verbOf(args);
    try {
      if (args.length === 0) {
        this.#root.outputHelp({ error: true });
        return exitCodes.usage;
      }
      await this.#root.parseAsync([...args], { from: 'user' });
      return exitCodes.ok;
    } catch (error) {
      if (error instanceof CommanderError) return this.#usageFailure(error);
      if (error instanceof EarlyExit) return error.exitCode;
      const failure = asSallyportError(error);
      const config = this.#config === undefined ? '' : ` --config ${this.#config}`;
      showFailure(failure, this.#output(this.#json), { program: this.#options.name, verb: this.#verb, config });
      return exitCodeOf(failure.code);
    }
  }

  /** Ends at the first signal. Work that minds the signal cleans up and rejects by itself; other work gets a moment. */
  async #unlessInterrupted(work: Promise<void>): Promise<void> {
    const { signal } = this.#surroundings;
    const giveUp = async (): Promise<never> => {
      if (!signal.aborted) await once(signal, 'abort');
      await sleep(cleanUpMs);
      throw new EarlyExit(exitCodes.interrupted);
    };
    try {
      await Promise.race([work, giveUp()]);
    } catch (error) {
      throw signal.aborted ? new EarlyExit(exitCodes.interrupted) : error;
    }
  }

  #settled(command: Command): Command {
    const { out, error } = this.#surroundings;
    return command.exitOverride().configureOutput({
      writeOut: (text) => void out.write(text),
      writeErr: (text) => void error.write(text),
      outputError: () => {}, // shown by #usageFailure
    });
  }

  #withGlobals(command: Command): void {
    command
      .option('-c, --config <file>', 'configuration file, or the folder that holds it')
      .option('--json', 'print one JSON document');
  }

  #context(options: GlobalOptions): VerbContext {
    const configFile = this.#options.findConfig(options.config, this.#surroundings.env);
    return { ...this.#surroundings, configFile, output: this.#output(options.json === true) };
  }

  #output(json: boolean): Output {
    const { out, error, env } = this.#surroundings;
    return new Output({ out, error }, { json, noColor: (env.NO_COLOR ?? '') !== '' });
  }

  #usageFailure(error: CommanderError): number {
    if (error.exitCode === 0) return exitCodes.ok;
    if (error.code === 'commander.help') return exitCodes.usage;
    const message = error.message.replace(/^error: /, '').replace(/\s*\n\s*/g, ' ');
    const output = this.#output(this.#json);
    if (output.json) output.document({ error: { code: 'usage', detail: message } });
    output.failure({
      error: `error: ${printable(message, 1000)}`,
      next: `${this.#options.name} ${this.#verb} --help shows examples`.replace(' VERB', ''),
    });
    return exitCodes.usage;
  }

  #verbOf(args: readonly string[]): string {
    const words: string[] = [];
    let here: Command | undefined = this.#root;
    for (const word of args) {
      here = here.commands.find((known) => known.name() === word);
      if (!here) break;
      words.push(word);
    }
    return words.length > 0 ? words.join(' ') : 'VERB';
  }

  #addHelpVerb(): void {
    this.verb(
      { usage: 'help [topic]', summary: 'help on a verb, or on exit-codes', examples: ['help status', 'help exit-codes'] },
      () => {},
      async ({ output }, _options, [topic]) => {
        if (topic === 'exit-codes') {
          showExitCodes(output);
          return;
        }
        const command = topic === undefined ? this.#root : this.#root.commands.find((known) => known.name() === topic);
        if (!command) throw new CommanderError(2, 'usage', `there is no verb or topic "${topic}"`);
        command.outputHelp();
      },
    );
  }
}

/** A verb has said all it has to say and ends with this code. */
export class EarlyExit extends Error {
  readonly exitCode: number;

  constructor(exitCode: number) {
    super(`exit ${exitCode}`);
    this.exitCode = exitCode;
  }
}

function showExitCodes(output: Output): void {
  const rows = Object.entries(exitCodeMeanings).map(([code, meaning]) => [code, meaning] as const);
  if (output.json) output.document(Object.fromEntries(rows));
  else output.table(['CODE', 'MEANING'], rows);
}

interface Called {
  readonly program: string;
  readonly verb: string;
  /** ` --config FILE` as it was given, or nothing. */
  readonly config: string;
}

const nextSteps: Partial<Record<ErrorCode, (called: Called) => string>> = {
  'not-running': ({ program, config }) => `start the node: ${program} serve${config}`,
  'tunnel-down': ({ program, config }) => `${program} status${config} shows why the other node is not connected`,
  'config-invalid': ({ program, config }) => `correct it, then run: ${program} config check${config}`,
  'no-such-file': ({ program }) => (program === 'sallyport' ? 'sallyport ls shows what there is' : ''),
  'item-unknown': ({ program }) => (program === 'sallyport' ? 'sallyport ls shows what there is' : ''),
  usage: ({ program, verb }) => `${program} ${verb} --help shows examples`,
  'permission-denied': () => 'run the command as the user of the node',
};

function showFailure(error: SallyportError, output: Output, called: Called): void {
  const { code, message, fields } = error;
  if (output.json) output.document({ error: { code, detail: message, fields } });
  // Problems of configuration are lines of their own, already escaped.
  const detail = message
    .split('\n')
    .map((line) => printable(line, 2000))
    .join('\n       ');
  const known = typeof fields.next === 'string' ? fields.next : nextSteps[code]?.(called);
  const again = errorCatalogue[code].retryable && code !== 'internal' ? 'try again later' : undefined;
  output.failure({
    error: `error: ${detail}`,
    rule: typeof fields.rule === 'string' ? printable(fields.rule) : undefined,
    next: known ? printable(known, 1000) : again,
  });
}

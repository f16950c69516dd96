/** `auth test`: what the running node would say to a login, step by step, without letting anybody in. */
import { isIP } from 'node:net';
import { askSecret } from '../../shared/admin/ask.ts';
import { EarlyExit, type Program, type VerbContext } from '../../shared/admin/cli.ts';
import { SallyportError } from '../../shared/errors.ts';
import { exitCodes } from '../../shared/exit-codes.ts';
import { printable } from '../../shared/log.ts';
import { loadMainSettings } from '../config.ts';
import { nodeClient } from '../node-client.ts';
import type { TriedLogin } from './api.ts';
import { readSmallFile } from './read-small-file.ts';

interface TestOptions {
  readonly passwordFile?: string;
  readonly over: string;
  readonly from: string;
}

export function addAuthVerbs(program: Program): void {
  program.verb<TestOptions>(
    {
      usage: 'test <user>',
      summary: 'walk the login chain of the running node with a password, and say what each method saw',
      examples: ['auth test john.doe', 'auth test john.doe --over ftps --password-file - < password'],
    },
    (command) =>
      command
        .option(
          '--password-file <file>',
          'file with the password on its first line and a one-time code on its second, - for standard input; else they are asked for',
        )
        .option('--over <service>', 'sftp or ftps', 'sftp')
        .option('--from <address>', 'where the login would come from', '127.0.0.1'),
    async (context, options, [user = '']) => {
      if (!['sftp', 'ftps'].includes(options.over)) throw new SallyportError('usage', '--over is sftp or ftps');
      if (isIP(options.from) === 0) throw new SallyportError('usage', `--from ${options.from}: expected an address`);
      const { admin } = await loadMainSettings(context.configFile);
      const { password, code } = await typed(user, options, context);
      const client = nodeClient(context, admin.socket);
      const body = { user, password, ...(code === '' ? {} : { code }), protocol: options.over, peer: options.from };
      const tried = await client.post<TriedLogin>(['v1', 'login'], body);
      if (context.output.json) context.output.document({ user, ...tried });
      else print(user, tried, context);
      if (tried.accepted === null) throw new EarlyExit(exitCodes.refused);
    },
    program.group('auth', 'try out how partners log in'),
  );
}

async function typed(
  user: string,
  { passwordFile }: TestOptions,
  context: VerbContext,
): Promise<{ password: string; code: string }> {
  if (passwordFile === undefined) {
    const instead = 'use --password-file FILE (or -)';
    const password = await askSecret(context, `Password of ${printable(user)}: `, instead);
    const code = await askSecret(context, 'One-time code (empty if there is none, or it is in the password): ', instead);
    return { password: password.reveal(), code: code.reveal().trim() };
  }
  const [password = '', code = ''] = (await readSmallFile(passwordFile, context)).split(/\r?\n/, 2);
  return { password, code: code.trim() };
}

function print(user: string, { steps, accepted, refused }: TriedLogin, { output }: VerbContext): void {
  const rows = steps.map(({ method, outcome, detail, ms }, index) => [`${index + 1}`, method, outcome, `${ms} ms`, detail]);
  if (rows.length > 0) output.table(['', 'METHOD', 'OUTCOME', 'TIME', 'WHAT IT SAW'], rows);
  if (accepted === null) output.line(`refused: ${printable(user)}: ${refused}`);
  else output.line(`accepted: ${printable(user)} would be logged in as partner ${accepted}`);
}

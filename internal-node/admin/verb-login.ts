/** `login`, `logout` and `whoami`: staff with an account of a directory; the verbs after it are asked in their name. */
import { rm, writeFile } from 'node:fs/promises';
import { askSecret } from '../../shared/admin/ask.ts';
import type { Program } from '../../shared/admin/cli.ts';
import { SallyportError } from '../../shared/errors.ts';
import { loadMainSettings } from '../config.ts';
import type { StaffRole } from '../config-staff.ts';
import { type KeptLogin, loginFile, nodeClient } from '../node-client.ts';
import { readSmallFile } from './read-small-file.ts';

interface Answer {
  readonly name: string;
  readonly role: StaffRole;
  readonly token: string;
  readonly expiresAtMs: number;
}

export function addLoginVerbs(program: Program): void {
  program.verb<{ readonly passwordFile?: string }>(
    {
      usage: 'login <name>',
      summary: 'log in as a member of staff with an account of a directory; see authentication.staff',
      examples: ['login j.doe', 'login j.doe --password-file - < password'],
    },
    (command) => command.option('--password-file <file>', 'file with the password on its first line, - for standard input'),
    async (context, { passwordFile }, [user = '']) => {
      const { admin } = await loadMainSettings(context.configFile);
      const file = loginFile(context.env);
      const password =
        passwordFile === undefined
          ? (await askSecret(context, `Password of ${user}: `, 'use --password-file FILE (or -)')).reveal()
          : ((await readSmallFile(passwordFile, context)).split(/\r?\n/, 1)[0] ?? '');
      // A login of before must not stand in the way of this one.
      await rm(file, { force: true });
      const { token, name, role, expiresAtMs } = await nodeClient(context, admin.socket).post<Answer>(['v1', 'staff', 'login'], {
        user,
        password,
      });
      const kept: KeptLogin = { socket: admin.socket, token };
      await writeFile(file, JSON.stringify(kept), { mode: 0o600 });
      const until = new Date(expiresAtMs).toISOString();
      if (context.output.json) return context.output.document({ name, role, until });
      context.output.line(`${name} is logged in as ${role} until ${until}`);
    },
  );
  program.verb(
    { usage: 'logout', summary: 'end the login of this user', examples: ['logout', 'logout --json'] },
    () => {},
    async (context) => {
      const { admin } = await loadMainSettings(context.configFile);
      await nodeClient(context, admin.socket)
        .post(['v1', 'staff', 'logout'])
        .catch((error: unknown) => {
          if (!(error instanceof SallyportError) || !['not-running', 'login-rejected'].includes(error.code)) throw error;
        });
      await rm(loginFile(context.env), { force: true });
      if (context.output.json) context.output.document({ loggedIn: false });
      else context.output.line('logged out');
    },
  );
  program.verb(
    { usage: 'whoami', summary: 'say as whom and in which role the verbs are asked', examples: ['whoami', 'whoami --json'] },
    () => {},
    async (context) => {
      const { admin } = await loadMainSettings(context.configFile);
      const who = await nodeClient(context, admin.socket).get<Pick<Answer, 'name' | 'role'>>(['v1', 'staff', 'me']);
      if (context.output.json) context.output.document(who);
      else context.output.line(`${who.name}, ${who.role}`);
    },
  );
}

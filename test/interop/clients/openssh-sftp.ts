/** OpenSSH `sftp` with a batch file, the client that most partners script. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { baseName, type Client, type Door, type Outcome, type Step } from './client.ts';
import { runProgram } from './program.ts';

/** A path as a word of a batch: quoted, with what is special inside of quotes escaped. */
const word = (path: string): string => `"${path.replace(/["\\]/g, '\\$&')}"`;
/** The same where `sftp` would expand patterns. */
const exact = (path: string): string => word(path.replace(/[*?[\]\\]/g, '\\$&'));

const command = (step: Step): string => {
  switch (step.do) {
    case 'put':
      return `put ${step.times ? '-p ' : ''}${step.resume ? '-a ' : ''}${exact(step.local)} ${word(step.remote)}`;
    case 'get':
      return `get ${step.resume ? '-a ' : ''}${exact(step.remote)} ${word(step.local)}`;
    case 'rename':
      return `rename ${word(step.from)} ${word(step.to)}`;
    case 'remove':
      return `rm ${exact(step.path)}`;
    case 'mkdir':
    case 'rmdir':
      return `${step.do} ${word(step.path)}`;
    case 'list':
      return `ls -1a ${exact(step.path)}`;
    case 'stat':
      return `ls -ln ${exact(step.path)}`;
  }
};

/** Options of OpenSSH's programs, also where another client runs `ssh`. */
export async function sshOptions(
  door: Door,
): Promise<{ readonly args: readonly string[]; readonly env: Record<string, string> }> {
  const settings = [
    `UserKnownHostsFile=${door.knownHosts}`,
    'GlobalKnownHostsFile=/dev/null',
    'StrictHostKeyChecking=yes',
    'IdentityAgent=none',
    'NumberOfPasswordPrompts=1',
    ...(door.rekeyBytes ? [`RekeyLimit=${door.rekeyBytes}`] : []),
    ...(door.login === 'key'
      ? [`IdentityFile=${door.keyFile}`, 'IdentitiesOnly=yes', 'PreferredAuthentications=publickey']
      : ['PubkeyAuthentication=no', 'PreferredAuthentications=password']),
  ];
  const askpass = join(door.scratch, 'askpass');
  await writeFile(askpass, `#!/bin/sh\nprintf '%s\\n' '${door.password}'\n`, { mode: 0o700 });
  return {
    args: ['-F', '/dev/null', ...settings.flatMap((setting) => ['-o', setting])],
    env: { SSH_ASKPASS: askpass, SSH_ASKPASS_REQUIRE: 'force', DISPLAY: ':0' },
  };
}

export const opensshSftp: Client = {
  name: 'OpenSSH sftp',
  id: 'sftp',
  protocol: 'sftp',
  packages: ['openssh-client'],
  lacks: { 'any-name': 'a batch file has one command a line' },

  async run(door, steps): Promise<Outcome> {
    const { args, env } = await sshOptions(door);
    const batch = join(door.scratch, 'batch');
    await writeFile(batch, steps.map((step) => `${command(step)}\n`).join(''));
    const target = `${door.user}@${door.host}`;
    // BatchMode, which -b implies, would forbid passwords.
    const ended = await runProgram('sftp', [...args, '-o', 'BatchMode=no', '-P', String(door.port), '-b', batch, target], {
      env,
    });
    const shown = ended.out.split(/^sftp> .*\n/m).slice(1);
    const of = (kind: Step['do']): string[] => shown.filter((_, i) => steps[i]?.do === kind);
    return {
      ok: ended.ok,
      output: ended.output,
      listings: of('list').map((text) => namesIn(text.split('\n'))),
      stats: of('stat').map((text) => ({ size: Number(/^(?:\S+\s+){4}(\d+)\s/.exec(text)?.[1] ?? Number.NaN) })),
    };
  },
};

/** Without the folder itself and its parent. */
export const namesIn = (lines: readonly string[]): string[] =>
  lines.map(baseName).filter((name) => name !== '' && name !== '.' && name !== '..');

/** OpenSSH `scp`, which speaks SFTP since 9.0 (`-s` in 8.7). */
import { type Client, nothingShown, oneByOne } from './client.ts';
import { sshOptions } from './openssh-sftp.ts';
import { runProgram } from './program.ts';

const copiesOnly = 'scp only copies';

export const opensshScp: Client = {
  name: 'OpenSSH scp -s',
  id: 'scp',
  protocol: 'sftp',
  packages: ['openssh-client'],
  lacks: {
    'resume-put': copiesOnly,
    'resume-get': copiesOnly,
    rename: copiesOnly,
    remove: copiesOnly,
    folders: copiesOnly,
    list: copiesOnly,
    stat: copiesOnly,
  },

  run: (door, steps) =>
    oneByOne(steps, async (step) => {
      const { args, env } = await sshOptions(door);
      const remote = (path: string): string => `${door.user}@${door.host}:${path}`;
      const common = ['-s', ...args, '-P', String(door.port)];
      if (step.do === 'put') {
        const ended = await runProgram('scp', [...common, ...(step.times ? ['-p'] : []), step.local, remote(step.remote)], {
          env,
        });
        return { ...ended, ...nothingShown };
      }
      if (step.do === 'get') {
        return { ...(await runProgram('scp', [...common, remote(step.remote), step.local], { env })), ...nothingShown };
      }
      throw new Error(`scp cannot ${step.do}`);
    }),
};

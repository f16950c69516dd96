/** AsyncSSH, a library of newer Python programs. */
import { pythonClient } from './python-client.ts';

export const asyncssh = pythonClient({
  name: 'AsyncSSH',
  id: 'asyncssh',
  packages: ['python3-asyncssh'],
  program: 'asyncssh_jobs.py',
  lacks: {},
});

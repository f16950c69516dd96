/** Paramiko, the library of most Python scripts. It looks at the size after each `put` unless told otherwise. */
import { pythonClient } from './python-client.ts';

export const paramiko = pythonClient({
  name: 'Paramiko',
  id: 'paramiko',
  packages: ['python3-paramiko'],
  program: 'paramiko_jobs.py',
  lacks: {},
});

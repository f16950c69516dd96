/**
 * The processes of the internal node: the agent says its number itself, the staff door is found by its command line. Each must be
 * as closed as the other.
 */
import { readdir, readFile, readlink } from 'node:fs/promises';
import { resolve } from 'node:path';

export interface Part {
  readonly pid: number;
  readonly part: 'agent' | 'door';
}

/** @param agent Its process number. @param configFile Absolute, of the node. */
export async function partsOf(agent: number, configFile: string): Promise<Part[]> {
  const parts: Part[] = [{ pid: agent, part: 'agent' }];
  for (const name of await readdir('/proc')) {
    if (/^\d+$/.test(name) && (await isDoorOf(name, configFile))) parts.push({ pid: Number(name), part: 'door' });
  }
  return parts;
}

async function isDoorOf(pid: string, configFile: string): Promise<boolean> {
  try {
    const words = (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0');
    const serve = words.indexOf('serve');
    if (serve < 0 || words[serve + 1] !== 'door') return false;
    const given = words[words.findIndex((word) => word === '--config' || word === '-c') + 1];
    return given === undefined || resolve(await readlink(`/proc/${pid}/cwd`), given) === configFile;
  } catch {
    return false; // it ended meanwhile, or belongs to another user, like most of what runs on a host
  }
}

/** The command line that starts a node under its system call filter: the launcher, Node with its flags, the program. */
import { fileURLToPath } from 'node:url';

/**
 * For a node that serves: garbage is collected while there is little of it, and text never becomes code (`eval`, `new Function`).
 */
export const nodeFlags: readonly string[] = ['--initial-old-space-size=32', '--disallow-code-generation-from-strings'];

/** @param args From `serve` on. */
export const launched = (node: string, main: string, args: readonly string[]): readonly string[] => [
  '/usr/bin/perl',
  fileURLToPath(new URL('../../scripts/confined', import.meta.url)),
  node,
  ...nodeFlags,
  main,
  ...args,
];

/** The version of the program, from package.json. */
import { readFileSync } from 'node:fs';

const read = (): string => {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
};

export const programVersion: string = read();

/** Loaded into a node by `--import`: hides the native cipher code of ssh2, as on a host where it could not be built. */
import { Module } from 'node:module';

const inner = Module as unknown as { _load: (request: string, ...rest: unknown[]) => unknown };
const load = inner._load;
inner._load = (request, ...rest) => {
  if (request.endsWith('sshcrypto.node')) throw new Error('hidden for a measurement');
  return load.call(inner, request, ...rest);
};

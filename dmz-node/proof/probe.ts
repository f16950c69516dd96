/**
 * Tries from the DMZ host what its firewall is to forbid. Loaded only by the command `sallyport-dmz probe`, which a person runs: the
 * node never connects to anybody, and under its system call filter could not.
 */
import { isIP } from 'node:net';
import { hostname } from 'node:os';
import { systemClock } from '../../shared/clock.ts';
import { parseAddress, UnitError } from '../../shared/config/units.ts';
import { SallyportError } from '../../shared/errors.ts';
import { attemptDefaults, ownAddresses, parsePorts, targetsOf, tryConnections } from '../../shared/proof/connect-attempts.ts';
import type { Probe } from '../../shared/proof/statement.ts';

export interface ProbeOptions {
  readonly inside: readonly string[];
  readonly ports: string;
  readonly internet: readonly string[];
  /** Milliseconds. */
  readonly timeout: string;
}

/** @throws SallyportError `usage`. */
export async function probed(node: string, options: ProbeOptions, signal: AbortSignal): Promise<Probe> {
  const timeoutMs = Number(options.timeout);
  if (!Number.isInteger(timeoutMs) || timeoutMs < 50 || timeoutMs > 60_000)
    throw new SallyportError('usage', '--timeout is 50 to 60000 milliseconds');
  const inside = targetsOf(options.inside, parsePorts(options.ports));
  const internet = options.internet.map(internetAddress);
  // A name that is not found here would look like a closed door.
  const named = [...inside, ...internet].find(({ host }) => isIP(host) === 0);
  if (named) throw new SallyportError('usage', `"${named.host}" is no address; a probe takes addresses, not names`);
  const [atMs, begun] = [systemClock.nowMs(), systemClock.monotonicMs()];
  const attempts = { ...attemptDefaults, timeoutMs };
  return {
    schema: 'sallyport-dmz-probe-1',
    node,
    host: hostname(),
    from: ownAddresses(),
    atMs: Math.floor(atMs),
    inside: [...(await tryConnections(inside, attempts, signal))],
    internet: [...(await tryConnections(internet, attempts, signal))],
    tookMs: Math.round(systemClock.monotonicMs() - begun),
    timeoutMs,
  };
}

function internetAddress(text: string): { host: string; port: number } {
  try {
    return parseAddress(text);
  } catch (error) {
    if (error instanceof UnitError) throw new SallyportError('usage', `--internet ${text}: ${error.message}`);
    throw error;
  }
}

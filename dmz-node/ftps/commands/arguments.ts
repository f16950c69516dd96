/** Arguments of commands as text. */
import { Refused } from '../control/replies.ts';

/** An argument that is one plain word. */
export const word = (argument: Buffer): string => argument.toString('latin1').trim();

/** @throws Refused 501 */
export function required(argument: Buffer): Buffer {
  if (argument.length === 0) throw new Refused(501, 'An argument is needed');
  return argument;
}

/**
 * Switches like `-la` in front of a path are what `ls` knows; they are accepted and mean nothing.
 * A name that begins with a hyphen can be given as `./-name`.
 */
export function withoutSwitches(argument: Buffer): Buffer {
  let text = argument.toString('latin1');
  for (let match = /^-[A-Za-z1]+(?: |$)/.exec(text); match; match = /^-[A-Za-z1]+(?: |$)/.exec(text)) {
    text = text.slice(match[0].length).trimStart();
  }
  return Buffer.from(text, 'latin1');
}

/** A path between quotes, as RFC 959 appendix II wants it. */
export const quoted = (path: string): string => `"${path.replaceAll('"', '""')}"`;

/** A path that may stand between quotes. */
export function unquoted(argument: Buffer): Buffer {
  const isQuoted = argument.length >= 2 && argument[0] === 0x22 && argument.at(-1) === 0x22;
  return isQuoted ? argument.subarray(1, -1) : argument;
}

#!/usr/bin/env node
/**
 * The command `sallyport-dmz`: the node in the DMZ. The only place of this half that reads arguments, environment and
 * signals, and that ends the process.
 */
import { listenToSignals, tolerateClosedPipe } from '../shared/admin/process.ts';
import { runCommand } from './program.ts';

const signals = listenToSignals(process);
const { stdout: out, stderr: error, stdin: input, env, execPath: node } = process;
const [, main = '', ...args] = process.argv;
for (const stream of [out, error]) tolerateClosedPipe(stream);
const surroundings = { out, error, input, env, signal: signals.signal };
process.exitCode = await runCommand(args, surroundings, { signals, own: { node, main } });
// Everything is closed by now; what still holds the process gets a moment to write its last lines.
setTimeout(() => process.exit(), 2000).unref();
// Node's own end, which takes everything down piece by piece, can spin for ever after a connection was reset (Node 24.21).
process.once('beforeExit', () => process.exit());

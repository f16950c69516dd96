#!/usr/bin/env node
/**
 * The command `sallyport`: the internal node and everything staff and operators do with it. The only place of this half
 * that reads arguments, environment and signals, and that ends the process.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Program, type Surroundings } from '../shared/admin/cli.ts';
import { listenToSignals, type ProcessSignals, tolerateClosedPipe } from '../shared/admin/process.ts';
import { serve } from '../shared/admin/serve.ts';
import { systemClock } from '../shared/clock.ts';
import { findConfig } from '../shared/config/find.ts';
import { createLogger } from '../shared/log.ts';
import { programVersion } from '../shared/version.ts';
import type { InternalAdminApi } from './admin/api.ts';
import { adminSocket } from './admin/socket.ts';
import { addStatusVerb } from './admin/verb-status.ts';
import { addTotpVerb } from './admin/verb-totp.ts';
import { addApplyVerbs } from './admin/verbs-apply.ts';
import { addAuthVerbs } from './admin/verbs-auth.ts';
import { addBanVerbs } from './admin/verbs-bans.ts';
import { addDestinationVerbs } from './admin/verbs-destination.ts';
import { addExplainVerbs } from './admin/verbs-explain.ts';
import { addFileVerbs } from './admin/verbs-files.ts';
import { addPartnerVerbs } from './admin/verbs-partner.ts';
import { addSetupVerbs } from './admin/verbs-setup.ts';
import { deriveArgon2id, PasswordHasher } from './auth/password-hash.ts';
import { loadInternalConfig, loadMainSettings } from './config.ts';
import { ConfigSwap } from './config-swap.ts';
import { checkHost, checkOwnFiles } from './host-check.ts';
import { loadSealingIdentity, makeSealingIdentity } from './keys/sealing-identity.ts';

async function serveInternal(configFile: string, signals: ProcessSignals): Promise<void> {
  const rolledBack = await recoverConfig(configFile);
  const config = await loadInternalConfig(configFile);
  await checkOwnFiles(config);
  const log = createLogger({ node: config.name, level: config.log.level });
  // Not loaded for the other verbs: they are to be quick.
  const { startInternalNode } = await import('./node.ts');
  await serve<InternalAdminApi>({
    start: () => startInternalNode(config, rolledBack),
    socket: (api) => adminSocket({ api, log, clock: systemClock }, config.admin),
    log,
    signals,
    drainTimeoutMs: config.drainTimeout,
    ready: { version: programVersion, pid: process.pid },
    reload: async (api) => ({ ...(await api.reload()) }),
  });
}

/** Before anything is read: a change of the configuration that was cut short, or not confirmed in time, is taken back. */
async function recoverConfig(configFile: string): Promise<string | undefined> {
  const { file, state } = await loadMainSettings(configFile);
  return new ConfigSwap({ configFile: file, stateFolder: state }).recover(systemClock.nowMs());
}

/** A repeated `init` finds the key of the run that was cut short. */
async function ensureSealingIdentity(keysFolder: string): Promise<void> {
  if (existsSync(join(keysFolder, 'sealing.key'))) await loadSealingIdentity(keysFolder);
  else await makeSealingIdentity(keysFolder, systemClock);
}

function buildProgram(surroundings: Surroundings, signals: ProcessSignals): Program {
  const program = new Program(surroundings, {
    name: 'sallyport',
    summary: 'The internal node of Sallyport: dials out to the DMZ node, fetches and delivers files, decides who may log in.',
    findConfig: (named, env) =>
      findConfig({ named, env, variable: 'SALLYPORT_CONFIG', folder: 'sallyport', fileName: 'sallyport.yaml' }),
  });
  addSetupVerbs(program, { checkHost, makeSealingIdentity: ensureSealingIdentity });
  program.verb(
    {
      usage: 'serve',
      summary: 'run the internal node until SIGTERM; SIGHUP reads the configuration anew',
      examples: ['serve', 'serve --config /etc/sallyport/sallyport.yaml'],
      untilStopped: true,
    },
    () => {},
    ({ configFile }) => serveInternal(configFile, signals),
  );
  addStatusVerb(program);
  const hasher = new PasswordHasher({ derive: deriveArgon2id });
  const partners = program.group('partner', 'add and list partners, set their passwords and second factors');
  addPartnerVerbs(program, partners, {
    hashPassword: (password) => hasher.hash(password),
    isPassword: (password, hash) => hasher.verify(password, hash),
  });
  addAuthVerbs(program);
  addBanVerbs(program);
  addTotpVerb(program, partners);
  addFileVerbs(program);
  addDestinationVerbs(program);
  addExplainVerbs(program);
  addApplyVerbs(program);
  return program;
}

const signals = listenToSignals(process);
const { stdout: out, stderr: error, stdin: input, env } = process;
for (const stream of [out, error]) tolerateClosedPipe(stream);
process.exitCode = await buildProgram({ out, error, input, env, signal: signals.signal }, signals).run(process.argv.slice(2));
// Everything is closed by now; what still holds the process gets a moment to write its last lines.
setTimeout(() => process.exit(), 2000).unref();
// Node's own end, which takes everything down piece by piece, can spin for ever after a connection was reset (Node 24.21).
process.once('beforeExit', () => process.exit());

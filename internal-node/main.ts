#!/usr/bin/env node
/**
 * The command `sallyport`: the internal node and everything staff and operators do with it. The only place of this half
 * that reads arguments, environment and signals, and that ends the process.
 *
 * The node is two processes: the agent has the tunnel, the keys and the files and never listens; the staff door listens, on
 * Unix sockets, and has nothing else. `serve` alone keeps both running where no service manager does.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { EarlyExit, Program, type Surroundings } from '../shared/admin/cli.ts';
import { listenToSignals, type ProcessSignals, tolerateClosedPipe } from '../shared/admin/process.ts';
import { serve } from '../shared/admin/serve.ts';
import { addCertVerbs } from '../shared/admin/verbs-cert.ts';
import { systemClock } from '../shared/clock.ts';
import { findConfig } from '../shared/config/find.ts';
import { filterLine } from '../shared/confinement/filter.ts';
import { SallyportError } from '../shared/errors.ts';
import { exitCodes } from '../shared/exit-codes.ts';
import { createLogger } from '../shared/log.ts';
import { launched } from '../shared/service-units/launched.ts';
import { programVersion } from '../shared/version.ts';
import { adminLine } from './admin/admin-line.ts';
import type { InternalAdminApi } from './admin/api.ts';
import { readSmallFile } from './admin/read-small-file.ts';
import { StaffDoor } from './admin/staff-door.ts';
import { addCertificateVerb } from './admin/verb-certificate.ts';
import { addExposedVerb } from './admin/verb-exposed.ts';
import { addInviteVerb } from './admin/verb-invite.ts';
import { addJoinVerb } from './admin/verb-join.ts';
import { addLoginVerbs } from './admin/verb-login.ts';
import { addSheetVerb } from './admin/verb-sheet.ts';
import { addStatusVerb } from './admin/verb-status.ts';
import { addTotpVerb } from './admin/verb-totp.ts';
import { addApplyVerbs } from './admin/verbs-apply.ts';
import { addAuthVerbs } from './admin/verbs-auth.ts';
import { addBanVerbs } from './admin/verbs-bans.ts';
import { addDestinationVerbs } from './admin/verbs-destination.ts';
import { addExplainVerbs } from './admin/verbs-explain.ts';
import { addFileVerbs } from './admin/verbs-files.ts';
import { addFirewallVerbs } from './admin/verbs-firewall.ts';
import { addPartnerVerbs } from './admin/verbs-partner.ts';
import { addSetupVerbs } from './admin/verbs-setup.ts';
import { deriveArgon2id, PasswordHasher } from './auth/password-hash.ts';
import { loadInternalConfig, loadMainSettings } from './config.ts';
import { ConfigSwap } from './config-swap.ts';
import { agentConfinement, doorConfinement } from './confinement.ts';
import { checkHost, checkOwnFiles } from './host-check.ts';
import { loadSealingIdentity, makeSealingIdentity } from './keys/sealing-identity.ts';
import { addProofVerbs } from './proof/verbs.ts';
import { addRedteamVerb } from './redteam/verb.ts';
import { agentUnit, doorUnit } from './service-units.ts';
import { enrol } from './tunnel/enrol.ts';

async function serveAgent(configFile: string, signals: ProcessSignals): Promise<void> {
  const rolledBack = await recoverConfig(configFile);
  const config = await loadInternalConfig(configFile);
  await checkOwnFiles(config);
  const log = createLogger({ node: config.name, level: config.log.level });
  // Not loaded for the other verbs: they are to be quick.
  const { startInternalNode } = await import('./node.ts');
  await serve<InternalAdminApi>({
    start: () => startInternalNode(config, rolledBack),
    socket: (api) => adminLine({ api, log, clock: systemClock }, { socket: config.admin.agentSocket }),
    log,
    signals,
    drainTimeoutMs: config.drainTimeout,
    ready: { part: 'agent', version: programVersion, pid: process.pid },
    reload: async (api) => ({ ...(await api.reload()) }),
  });
}

async function serveDoor(configFile: string, signals: ProcessSignals): Promise<void> {
  // Only the main file: the door opens whatever is wrong with partners and rules, so that staff can see what it is.
  const { name, admin, log: level } = await loadMainSettings(configFile);
  const log = createLogger({ node: name, ...level });
  await serve<undefined>({
    start: async () => ({ admin: undefined, stop: async () => {} }),
    socket: () => new StaffDoor({ clock: systemClock, log }, admin),
    log,
    signals,
    drainTimeoutMs: 0,
    ready: { part: 'door', version: programVersion, pid: process.pid },
    reload: async () => ({ takesEffect: 'at the next start' }),
  });
}

/** Both processes, for a host without a service manager. */
async function serveBoth(configFile: string, signals: ProcessSignals, { confined = false }: ServeOptions): Promise<void> {
  const { name, log } = await loadMainSettings(configFile);
  const { Keeper } = await import('./keeper.ts');
  const main = process.argv[1] ?? '';
  const command = (part: string): readonly string[] => {
    const args = ['serve', part, '--config', configFile, '--until-input-ends'];
    return confined ? launched(process.execPath, main, args) : [process.execPath, ...process.execArgv, main, ...args];
  };
  const keeper = new Keeper({ clock: systemClock, log: createLogger({ node: name, ...log }) }, { command });
  const code = await keeper.run(signals);
  if (code !== exitCodes.ok) throw new EarlyExit(code);
}

const serveParts: Readonly<Record<string, typeof serveBoth>> = { both: serveBoth, agent: serveAgent, door: serveDoor };

/** What the launcher asks before it starts a part. */
async function filterOf(part: string, configFile: string): Promise<string> {
  if (part === 'door') return filterLine(doorConfinement);
  if (part === 'agent') return filterLine(agentConfinement(await loadInternalConfig(configFile)));
  throw new SallyportError('usage', 'agent and door have a filter each', { next: 'name one of them: serve agent, serve door' });
}

function addUnit(program: Program): void {
  program.verb<{ readonly user: string }>(
    {
      usage: 'unit <part>',
      summary: 'print the systemd unit of a part of this node, agent or door, with the folders of its configuration',
      examples: [
        'unit agent > /etc/systemd/system/sallyport-agent.service',
        'unit door > /etc/systemd/system/sallyport-door.service',
      ],
    },
    (command) => command.option('--user <name>', 'the user and group that the node runs as', 'sallyport'),
    async ({ output, configFile }, { user }, [part = '']) => {
      const make = { agent: agentUnit, door: doorUnit }[part];
      if (!make) throw new SallyportError('usage', `there is no part "${part}"; the parts are agent and door`);
      const config = await loadInternalConfig(configFile);
      const command = launched(process.execPath, process.argv[1] ?? '', ['serve', part, '--config', config.file]);
      output.line(make(config, { user, command }).trimEnd());
    },
  );
}

interface ServeOptions {
  readonly untilInputEnds?: boolean;
  /** For both parts: each gets its system call filter. */
  readonly confined?: boolean;
  readonly printFilter?: boolean;
}

function addServe(program: Program, signals: ProcessSignals): void {
  program.verb<ServeOptions>(
    {
      usage: 'serve [part]',
      summary:
        'run the internal node until SIGTERM; SIGHUP reads the configuration anew. It is two processes, agent and door: name one to run it alone, as a service manager does',
      examples: ['serve', 'serve agent --config /etc/sallyport/sallyport.yaml'],
      untilStopped: true,
    },
    (command) =>
      command
        .option('--until-input-ends', 'stop also when standard input ends, as it does when a parent process dies')
        .option('--confined', 'start both parts through the launcher, each under its system call filter')
        .option('--print-filter', 'print the system call filter of the part for the launcher, and end'),
    async ({ configFile, input, output }, options, [part = 'both']) => {
      const { untilInputEnds = false, printFilter = false, confined = false } = options;
      const run = serveParts[part];
      if (!run) throw new SallyportError('usage', `there is no part "${part}"; the parts are agent and door`);
      if (confined && part !== 'both') {
        throw new SallyportError('usage', 'one part alone is confined by its launcher', {
          next: `scripts/sallyport-launch ${part}`,
        });
      }
      if (printFilter) return output.line(await filterOf(part, configFile));
      if (untilInputEnds) {
        input.once('end', () => process.kill(process.pid, 'SIGTERM'));
        input.resume().unref();
      }
      await run(configFile, signals, options);
    },
  );
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
  addServe(program, signals);
  addUnit(program);
  addJoinVerb(program, {
    enrol: (invitation, { address, ...options }, signal) =>
      enrol(invitation, { ...address, ...options, nowMs: systemClock.nowMs() }, signal),
  });
  addCertVerbs(program, {
    locate: async (file) => {
      const { admin, keys } = await loadMainSettings(file);
      return { socket: admin.socket, keys };
    },
  });
  addStatusVerb(program);
  const hasher = new PasswordHasher({ derive: deriveArgon2id });
  const partners = program.group('partner', 'add and list partners, set their passwords and second factors');
  addPartnerVerbs(program, partners, {
    hashPassword: (password) => hasher.hash(password),
    isPassword: (password, hash) => hasher.verify(password, hash),
  });
  addAuthVerbs(program);
  addBanVerbs(program);
  addExposedVerb(program);
  addTotpVerb(program, partners);
  addCertificateVerb(program, partners);
  addInviteVerb(program, partners);
  addSheetVerb(program, partners);
  addLoginVerbs(program);
  addFileVerbs(program);
  addDestinationVerbs(program);
  addRedteamVerb(program, {
    read: readSmallFile,
    // Not loaded for the other verbs: they are to be quick.
    run: async (args, limit) => (await import('./redteam/session.ts')).redteam(args, limit),
  });
  addExplainVerbs(program);
  addApplyVerbs(program);
  addFirewallVerbs(program);
  addProofVerbs(program, { sealingKey: loadSealingIdentity });
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

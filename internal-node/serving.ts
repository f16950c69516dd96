/**
 * `serve` and `unit`: the internal node as processes. The node is two: the agent has the tunnel, the keys and the files and
 * never listens; the staff door listens, on Unix sockets, and has nothing else. `serve` alone keeps both running where no
 * service manager does.
 */
import { EarlyExit, type Program } from '../shared/admin/cli.ts';
import type { ProcessSignals } from '../shared/admin/process.ts';
import { serve } from '../shared/admin/serve.ts';
import { systemClock } from '../shared/clock.ts';
import { filterLine } from '../shared/confinement/filter.ts';
import { SallyportError } from '../shared/errors.ts';
import { exitCodes } from '../shared/exit-codes.ts';
import { createLogger } from '../shared/log.ts';
import { launched } from '../shared/service-units/launched.ts';
import { programVersion } from '../shared/version.ts';
import { adminLine } from './admin/admin-line.ts';
import type { InternalAdminApi } from './admin/api.ts';
import { StaffDoor } from './admin/staff-door.ts';
import { loadInternalConfig, loadMainSettings } from './config.ts';
import { ConfigSwap } from './config-swap.ts';
import { agentConfinement, doorConfinement } from './confinement.ts';
import { checkOwnFiles } from './host-check.ts';
import { agentUnit, doorUnit } from './service-units.ts';

/** How this process was started, for those that it starts and those that a unit starts. */
export interface OwnCommand {
  readonly node: string;
  readonly flags: readonly string[];
  readonly main: string;
}

export interface ServeDeps {
  readonly signals: ProcessSignals;
  readonly own: OwnCommand;
}

export function addServeVerbs(program: Program, deps: ServeDeps): void {
  addServe(program, deps);
  addUnit(program, deps);
}

async function serveAgent(configFile: string, { signals }: ServeDeps): Promise<void> {
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

async function serveDoor(configFile: string, { signals }: ServeDeps): Promise<void> {
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
async function serveBoth(configFile: string, { signals, own }: ServeDeps, { confined = false }: ServeOptions): Promise<void> {
  const { name, log } = await loadMainSettings(configFile);
  const { Keeper } = await import('./keeper.ts');
  const command = (part: string): readonly string[] => {
    const args = ['serve', part, '--config', configFile, '--until-input-ends'];
    return confined ? launched(own.node, own.main, args) : [own.node, ...own.flags, own.main, ...args];
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

function addUnit(program: Program, { own }: ServeDeps): void {
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
      const command = launched(own.node, own.main, ['serve', part, '--config', config.file]);
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

function addServe(program: Program, deps: ServeDeps): void {
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
      await run(configFile, deps, options);
    },
  );
}

/** Before anything is read: a change of the configuration that was cut short, or not confirmed in time, is taken back. */
async function recoverConfig(configFile: string): Promise<string | undefined> {
  const { file, state } = await loadMainSettings(configFile);
  return new ConfigSwap({ configFile: file, stateFolder: state }).recover(systemClock.nowMs());
}

/** All verbs of `sallyport-dmz`, and what `serve` starts. */
import { existsSync } from 'node:fs';
import { Program, type Surroundings } from '../shared/admin/cli.ts';
import type { ProcessSignals } from '../shared/admin/process.ts';
import { serve } from '../shared/admin/serve.ts';
import { AdminServer } from '../shared/admin/server.ts';
import { systemClock } from '../shared/clock.ts';
import { findConfig } from '../shared/config/find.ts';
import { filterLine } from '../shared/confinement/filter.ts';
import { createLogger } from '../shared/log.ts';
import { launched } from '../shared/service-units/launched.ts';
import { programVersion } from '../shared/version.ts';
import type { DmzAdminApi } from './admin/api.ts';
import { dmzRoutes } from './admin/routes.ts';
import { addVerbs } from './admin/verbs.ts';
import { loadDmzConfig } from './config.ts';
import { dmzConfinement, whyConnects } from './confinement.ts';
import { loadCertificate, makeSelfSigned } from './ftps/tls/certificate.ts';
import { openOwnFiles } from './host-check.ts';
import { addProofVerbs } from './proof/verbs.ts';
import { dmzUnit } from './service-unit.ts';
import { hostKeyLine, loadHostKey, makeHostKey } from './sftp/host-key.ts';

export interface ServeDeps {
  readonly signals: ProcessSignals;
  /** How this process was started, for the unit that starts the next. */
  readonly own: { readonly node: string; readonly main: string };
}

async function serveDmz(configFile: string, { signals }: ServeDeps): Promise<void> {
  const config = await loadDmzConfig(configFile);
  const keys = await openOwnFiles(config);
  const log = createLogger({ node: config.name, level: config.log.level });
  // Not loaded for the other verbs: they are to be quick.
  const { startDmzNode } = await import('./node.ts');
  await serve<DmzAdminApi>({
    start: () => startDmzNode(config, keys),
    socket: (api) => new AdminServer({ routes: dmzRoutes(api), log }, config.admin),
    log,
    signals,
    drainTimeoutMs: config.limits.drainTimeout,
    ready: { version: programVersion, pid: process.pid, fingerprint: keys.node.fingerprint },
    // What partners may do arrives with the policy; what this file says holds until the next start.
    reload: async (api) => {
      await api.refreshCertificates();
      await openOwnFiles(await loadDmzConfig(configFile));
      return { valid: true, takesEffect: 'at the next start' };
    },
  });
}

function buildProgram(surroundings: Surroundings, deps: ServeDeps): Program {
  const program = new Program(surroundings, {
    name: 'sallyport-dmz',
    summary: 'The DMZ node of Sallyport: partners connect here; it keeps sealed caches and never dials anybody.',
    findConfig: (named, env) =>
      findConfig({ named, env, variable: 'SALLYPORT_DMZ_CONFIG', folder: 'sallyport-dmz', fileName: 'dmz.yaml' }),
  });
  addVerbs(program, {
    checkHost: async (config) => (await openOwnFiles(config)).hostKeys.map(hostKeyLine),
    // A repeated `init` finds the keys of the run that was cut short.
    makeCertificate: async (files, names) => {
      if (!existsSync(files.certificate)) await makeSelfSigned(files, names, systemClock.nowMs());
      return (await loadCertificate(files)).fingerprint;
    },
    makeHostKey: async (file, type) => hostKeyLine(existsSync(file) ? await loadHostKey(file) : await makeHostKey(file, type)),
  });
  addProofVerbs(program);
  program.verb<{ readonly printFilter?: boolean }>(
    {
      usage: 'serve',
      summary:
        'run the DMZ node until SIGTERM; SIGHUP takes over renewed certificates and checks the configuration for the next start',
      examples: ['serve', 'serve --config /etc/sallyport-dmz/dmz.yaml'],
      untilStopped: true,
    },
    (command) => command.option('--print-filter', 'print the system call filter for the launcher, and end'),
    async ({ configFile, output }, { printFilter = false }) => {
      if (!printFilter) return serveDmz(configFile, deps);
      const config = await loadDmzConfig(configFile);
      const why = whyConnects(config);
      if (why !== null) output.note(`this node is not denied to connect: ${why}`);
      output.line(filterLine(dmzConfinement(config)));
    },
  );
  program.verb<{ readonly user: string }>(
    {
      usage: 'unit',
      summary: 'print the systemd unit of this node, with the ports and folders of its configuration',
      examples: ['unit > /etc/systemd/system/sallyport-dmz.service', 'unit --user relay --config /etc/sallyport-dmz/dmz.yaml'],
    },
    (command) => command.option('--user <name>', 'the user and group that the node runs as', 'sallyport-dmz'),
    async ({ output, configFile }, { user }) => {
      const config = await loadDmzConfig(configFile);
      const command = launched(deps.own.node, deps.own.main, ['serve', '--config', config.file]);
      output.line(dmzUnit(config, { user, command }).trimEnd());
    },
  );
  return program;
}

/**
 * Runs one command line, without the program's own name.
 * @returns the exit code; never throws for what the command line asks.
 */
export const runCommand = (args: readonly string[], surroundings: Surroundings, deps: ServeDeps): Promise<number> =>
  buildProgram(surroundings, deps).run(args);

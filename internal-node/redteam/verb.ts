/**
 * `redteam`: plays a DMZ node that was taken over against a staging internal node, with its valid keys, and says what was tried and
 * what stopped it. Never against a node that is in use: its configuration must call itself staging.
 */
import { EarlyExit, type Program } from '../../shared/admin/cli.ts';
import { SallyportError } from '../../shared/errors.ts';
import { exitCodes } from '../../shared/exit-codes.ts';
import { type InternalConfig, loadInternalConfig } from '../config.ts';
import { nodeClient } from '../node-client.ts';
import type { Tried } from './run.ts';
import type { RedteamArgs, RedteamResult } from './session.ts';

interface RedteamOptions {
  readonly dmzKeys: string;
  readonly partner: string;
  readonly passwordFile: string;
  readonly only?: string;
}

export interface RedteamDeps {
  /** A small file that a command is given; `-` is standard input. */
  readonly read: (file: string, context: { readonly input: NodeJS.ReadStream }) => Promise<string>;
  /** `redteam` of session.ts. */
  readonly run: (args: RedteamArgs, signal: AbortSignal) => Promise<RedteamResult>;
}

export function addRedteamVerb(program: Program, deps: RedteamDeps): void {
  program.verb<RedteamOptions>(
    {
      usage: 'redteam',
      summary: 'attack a staging internal node as a taken-over DMZ node would, and say what stopped each attempt',
      examples: [
        'redteam --config ./staging --dmz-keys /srv/staging-edge/state/keys --partner acme --password-file acme.password',
        'redteam --config ./staging --dmz-keys ./edge/state/keys --partner acme --password-file - --only D6,D12 --json',
      ],
    },
    (command) =>
      command
        .requiredOption('--dmz-keys <folder>', 'keys of the staging DMZ node; it must not run itself')
        .requiredOption('--partner <name>', 'a partner of the staging node, to be logged in as')
        .requiredOption('--password-file <file>', 'his password, - for standard input')
        .option('--only <rows>', 'only these rows of the threat model, like D6,D12'),
    async (context, { dmzKeys, partner, passwordFile, only }) => {
      const { output, configFile, signal } = context;
      const config = await loadInternalConfig(configFile);
      refuseProduction(config);
      const password = (await deps.read(passwordFile, context)).replace(/\r?\n$/, '');
      const rows = only?.split(',').map((row) => row.trim().toUpperCase());
      const report = (tried: Tried): void => {
        if (output.json) return;
        const colour = tried.outcome === 'stopped' ? 'green' : 'red';
        output.line(`${tried.row.padEnd(4)} ${output.style(colour, tried.outcome)}  ${tried.tries}`);
        output.line(`     ${tried.detail.replace(/[^\x20-\x7e]/g, '?').slice(0, 400)}`);
      };
      const { all, notTried } = await deps.run(
        { config, client: nodeClient(context, config.admin.socket), dmzKeys, partner, password, rows, report },
        signal,
      );
      const through = all.filter(({ outcome }) => outcome !== 'stopped');
      if (output.json) output.document({ node: config.name, tried: all, notTried });
      else {
        for (const [row, why] of Object.entries(notTried)) output.line(`${row.padEnd(4)} not tried: ${why}`);
        output.line(`${all.length - through.length} of ${all.length} stopped.`);
      }
      if (through.length > 0) throw new EarlyExit(exitCodes.checkFailed);
    },
  );
}

/** @throws SallyportError `permission-denied` */
function refuseProduction({ purpose, file }: InternalConfig): void {
  if (purpose === 'staging') return;
  throw new SallyportError('permission-denied', `${file} is not the configuration of a staging node; nothing was tried`, {
    next: 'set up an internal node for this alone, and write `purpose: staging` into its sallyport.yaml',
  });
}

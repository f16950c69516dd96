/** `init`, `connect`, `config check` and `fingerprint` of the internal node. */
import { hostname } from 'node:os';
import { EarlyExit, type Program } from '../../shared/admin/cli.ts';
import { systemClock } from '../../shared/clock.ts';
import { checkedFingerprint } from '../../shared/config/fields.ts';
import { formatAddress } from '../../shared/config/units.ts';
import { exitCodes } from '../../shared/exit-codes.ts';
import { printable } from '../../shared/log.ts';
import { loadNodeKeys } from '../../shared/pki/node-keys.ts';
import { type InternalConfig, loadInternalConfig, loadMainSettings } from '../config.ts';
import { Explainer } from '../explain.ts';
import { findings } from '../rule-findings.ts';
import { checkedAddress, setDmz } from './dmz-setting.ts';
import { type InitDeps, initInternal } from './init.ts';

export interface SetupDeps extends InitDeps {
  /** Loads all keys and opens all folders that the node uses. @throws SallyportError. */
  readonly checkHost: (config: InternalConfig) => Promise<void>;
}

export function addSetupVerbs(program: Program, deps: SetupDeps): void {
  addInit(program, deps);
  addConnect(program);
  addConfigCheck(program, deps);
  addFingerprint(program);
}

interface InitOptions {
  readonly dir?: string;
  readonly name?: string;
  readonly delivered?: string;
  readonly outgoing?: string;
}

function addInit(program: Program, deps: SetupDeps): void {
  program.verb<InitOptions>(
    {
      usage: 'init',
      summary: 'make the keys and the configuration of a new internal node',
      examples: ['init --dir /etc/sallyport --name inner1', 'init --dir ./inner --delivered /srv/in --outgoing /srv/out'],
    },
    (command) =>
      command
        .requiredOption('-d, --dir <folder>', 'folder of the new node')
        .option('-n, --name <name>', 'name of the node (default: the name of this host)')
        .option('--delivered <folder>', 'where files of partners are delivered (default: delivered in the folder)')
        .option('--outgoing <folder>', 'where staff put files for partners (default: outgoing in the folder)'),
    async ({ output, configFile }, { dir = '', name = hostname().split('.')[0] ?? 'inner', delivered, outgoing }) => {
      const made = await initInternal({ dir, name, delivered, outgoing }, deps);
      if (output.json) return output.document(made);
      output.line(`${made.keysReused ? 'Keys were there already' : 'Keys made'}. Fingerprint of this internal node:`);
      output.line(`  ${output.style('bold', made.fingerprint)}`);
      output.line('Next, on the DMZ host:');
      output.line(`  sallyport-dmz init --dir /etc/sallyport-dmz --name edge1 --internal ${made.fingerprint}`);
      const elsewhere = made.config === configFile ? '' : `; add to it: --config ${made.config}`;
      output.line(`It prints the command that connects this node to it${elsewhere}`);
    },
  );
}

function addConnect(program: Program): void {
  program.verb<{ readonly dmz: string }>(
    {
      usage: 'connect <address>',
      summary: 'tell this node which DMZ node to dial',
      examples: [
        'connect edge1.example.com:8443 --dmz SPD-B5NW-…',
        'connect 203.0.113.10:8443 --dmz SPD-B5NW-… --config ./inner',
      ],
    },
    (command) => command.requiredOption('--dmz <fingerprint>', 'SPD-…, as `sallyport-dmz fingerprint` prints it'),
    async ({ output, configFile }, { dmz }, [text = '']) => {
      const address = formatAddress(checkedAddress(text));
      const fingerprint = checkedFingerprint(dmz, 'dmz');
      const changed = await setDmz(configFile, { address, fingerprint });
      if (output.json) return output.document({ address, fingerprint, changed });
      output.line(changed ? `This node dials ${address} and talks only to ${fingerprint}.` : 'Nothing to change.');
      output.line(`Next: sallyport serve --config ${configFile}   (restart it when it runs)`);
    },
  );
}

function addConfigCheck(program: Program, deps: SetupDeps): void {
  const group = program.group('config', 'look at the configuration');
  program.verb(
    {
      usage: 'check',
      summary: 'load the configuration, the keys and the folders as `serve` does, and say all that is wrong',
      examples: ['config check', 'config check --config ./inner --json'],
    },
    () => {},
    async ({ output, configFile }) => {
      const config = await loadInternalConfig(configFile);
      await deps.checkHost(config);
      const partners = Object.keys(config.partners).length;
      const counts = { partners, rules: config.rules.length, destinations: config.destinations.length + config.programs.length };
      const explainer = new Explainer(config);
      const nowMs = systemClock.nowMs();
      const found = findings(config, nowMs);
      const examples = explainer.brokenExamples(nowMs);
      const ok = examples.length === 0;
      if (output.json) {
        output.document({ ok, file: config.file, files: config.files, ...counts, findings: found, examples });
        if (!ok) throw new EarlyExit(exitCodes.checkFailed);
        return;
      }
      for (const { by, text } of found) output.note(printable(`${by === '' ? '' : `${by}: `}${text}`, 2000));
      for (const { path, rule, by, decided } of examples) {
        output.note(`${by}: rule "${rule}" expects ${printable(path, 1024)}, but ${decided}`);
      }
      if (!ok) throw new EarlyExit(exitCodes.checkFailed);
      output.line(`ok: ${config.file}: ${partners} partners, ${counts.rules} rules, ${counts.destinations} destinations`);
    },
    group,
  );
}

function addFingerprint(program: Program): void {
  program.verb(
    {
      usage: 'fingerprint',
      summary: 'print the fingerprint of this node, and of the DMZ node it trusts',
      examples: ['fingerprint', 'fingerprint --json'],
    },
    () => {},
    async ({ output, configFile }) => {
      const { keys, dmz, name } = await loadMainSettings(configFile);
      const { fingerprint } = await loadNodeKeys(keys, 'internal');
      if (output.json) return output.document({ node: name, fingerprint, dmz: dmz?.fingerprint ?? null });
      output.line(fingerprint);
      output.note(
        dmz ? `trusts the DMZ node ${dmz.fingerprint}` : 'trusts no DMZ node yet: sallyport connect HOST:PORT --dmz SPD-…',
      );
    },
  );
}

/**
 * `prove` and `probe` of the DMZ host, for an operator or an auditor at its keyboard. `prove` reads and says what holds; `probe`
 * tries what the firewall is to forbid. Neither is part of the running node, and neither starts a program: the rules of the
 * kernel are handed in.
 */
import { readFile } from 'node:fs/promises';
import { readInput } from '../../shared/admin/ask.ts';
import { EarlyExit, type Program, type VerbContext } from '../../shared/admin/cli.ts';
import { systemClock } from '../../shared/clock.ts';
import { replaceFile } from '../../shared/config/write-file.ts';
import { SallyportError } from '../../shared/errors.ts';
import { exitCodes } from '../../shared/exit-codes.ts';
import { loadNodeKeys } from '../../shared/pki/node-keys.ts';
import { allHold } from '../../shared/proof/claim.ts';
import { printClaims } from '../../shared/proof/claims-text.ts';
import { signedText } from '../../shared/proof/signed-document.ts';
import { gotThere, notClosed, type Probe } from '../../shared/proof/statement.ts';
import { loadDmzConfig } from '../config.ts';
import { gatherDmzFacts } from './facts.ts';
import type { ProbeOptions } from './probe.ts';
import { claimsOf, statementOf } from './statement.ts';

export function addProofVerbs(program: Program): void {
  addProve(program);
  addProbe(program);
}

function addProve(program: Program): void {
  program.verb<{ readonly out?: string; readonly ruleset?: string }>(
    {
      usage: 'prove',
      summary:
        'check every claim about this node against its configuration, its files, the kernel and its rules; exit 5 unless all hold',
      examples: [
        'prove --ruleset -    # reads what you pipe in: nft -j list ruleset | …',
        'prove --ruleset rules.json --out edge1-statement.json   # signed, to be taken inside: sallyport prove --dmz FILE',
      ],
    },
    (command) =>
      command
        .option('--ruleset <file>', 'rules of the kernel, as `nft -j list ruleset` prints them; - reads standard input')
        .option('-o, --out <file>', 'also write a signed statement for the inside'),
    async ({ output, configFile, signal, input }, { out, ruleset }) => {
      const config = await loadDmzConfig(configFile);
      const facts = await gatherDmzFacts(config, await rulesFrom(ruleset, input), systemClock.nowMs(), signal);
      const claims = claimsOf(facts);
      const statement = statementOf(facts, claims);
      if (out !== undefined) await replaceFile(out, signedText(statement, await loadNodeKeys(config.keys, 'dmz')));
      if (output.json) output.document(statement);
      else printClaims([{ title: `DMZ node ${config.name} on ${facts.host}`, claims }], output);
      if (out !== undefined) output.note(`signed statement: ${out}; on the internal host: sallyport prove --dmz ${out}`);
      if (!allHold(claims)) throw new EarlyExit(exitCodes.checkFailed);
    },
  );
}

const usualPorts = '22,25,53,80,88,111,135,139,389,443,445,464,636,1433,1521,2049,3268,3306,3389,5432,5985,5986,8080,8443';

const mostRuleBytes = 32 * 1024 * 1024;

/** @throws SallyportError `usage` for a file that cannot be read. */
async function rulesFrom(file: string | undefined, input: VerbContext['input']): Promise<string | undefined> {
  if (file === undefined) return undefined;
  if (file === '-') return readInput(input, mostRuleBytes);
  return readFile(file, 'utf8').catch((cause: Error) => {
    throw new SallyportError('usage', `--ruleset: ${cause.message}`, {}, { cause });
  });
}

function addProbe(program: Program): void {
  program.verb<ProbeOptions & { readonly out?: string }>(
    {
      usage: 'probe',
      summary:
        'try from this host to reach the inside and the Internet, and leave a signed record of what answered; exit 5 if anything did',
      examples: [
        'probe --inside 10.20.0.0/28 10.20.1.5 --internet 192.0.2.1:443 --out probe.json',
        'probe --inside 10.20.1.5 --ports 1-1024 --internet 192.0.2.1:443 --json',
      ],
    },
    (command) =>
      command
        .requiredOption('--inside <network...>', 'addresses and networks (at most /20) of the inside')
        .option('--ports <list>', 'ports to try there', usualPorts)
        .requiredOption('--internet <address...>', 'address:port outside that normally answers')
        .option('--timeout <ms>', 'how long each is waited for', '1500')
        .option('-o, --out <file>', 'write the signed record, to be taken inside: sallyport prove --probe FILE'),
    async (context, options) => {
      const config = await loadDmzConfig(context.configFile);
      const { probed } = await import('./probe.ts');
      const probe = await probed(config.name, options, context.signal);
      if (options.out !== undefined) await replaceFile(options.out, signedText(probe, await loadNodeKeys(config.keys, 'dmz')));
      showProbe(probe, context, options.out);
    },
  );
}

function showProbe(probe: Probe, { output }: VerbContext, out: string | undefined): void {
  const all = [...probe.inside, ...probe.internet];
  const open = all.flatMap((attempt) => notClosed(attempt) ?? []);
  if (output.json) output.document(probe);
  else {
    for (const why of open) output.line(why);
    const answered = all.filter(gotThere).length;
    output.line(`${all.length} connections tried, ${answered} answered, ${all.length - open.length} stopped`);
  }
  if (out !== undefined) output.note(`signed record: ${out}; on the internal host: sallyport prove --probe ${out}`);
  if (open.length > 0) throw new EarlyExit(exitCodes.checkFailed);
}

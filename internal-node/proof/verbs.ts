/** `prove` on the inside: what holds, a report that others can check, a look from a neutral host, and a watch over it all. */
import { resolve } from 'node:path';
import { EarlyExit, type Program, type VerbContext } from '../../shared/admin/cli.ts';
import type { AdminClient } from '../../shared/admin/client.ts';
import { systemClock } from '../../shared/clock.ts';
import { checkedFingerprint } from '../../shared/config/fields.ts';
import { parseDuration, UnitError } from '../../shared/config/units.ts';
import { SallyportError } from '../../shared/errors.ts';
import { exitCodes } from '../../shared/exit-codes.ts';
import { loadNodeKeys } from '../../shared/pki/node-keys.ts';
import { allHold, type Claim } from '../../shared/proof/claim.ts';
import { type ClaimGroup, printClaims } from '../../shared/proof/claims-text.ts';
import { parsePorts } from '../../shared/proof/connect-attempts.ts';
import { loadInternalSettings } from '../config.ts';
import { nodeClient } from '../node-client.ts';
import { pairRuleBase } from '../pair-rule-base.ts';
import { type Check, type CheckDeps, check, claimsOf } from './check.ts';
import { outsideClaims } from './outsider.ts';
import { writeReport } from './report/folder.ts';
import { reportFiles, reportOf } from './report/make.ts';
import { sampleTransfers } from './report/transfers.ts';
import { verifyReport } from './verify.ts';
import { watch } from './watch.ts';

interface ProveOptions {
  readonly dmz?: string;
  readonly probe?: string;
  readonly ruleset?: string;
  readonly report?: string;
  readonly pdf?: boolean;
  readonly watch?: string | true;
  readonly asOutsider?: string;
  readonly open: string;
  readonly closed: string;
}

export function addProofVerbs(program: Program, deps: CheckDeps): void {
  program.verb<ProveOptions>(
    {
      usage: 'prove',
      summary:
        'check every claim about the pair: that nothing gets in, and nothing can be read in the DMZ; exit 5 unless all hold',
      examples: [
        'prove --dmz edge1-statement.json --probe edge1-probe.json',
        'prove --dmz edge1-statement.json --probe edge1-probe.json --report review-2026Q4 --pdf',
        'prove --as-outsider dmz.example.com --open 2222,2121 --closed 8443   # on a host that is neither',
        'prove --dmz edge1-statement.json --probe edge1-probe.json --watch 1h',
      ],
    },
    (command) => {
      command
        .option('--dmz <file>', 'statement of the DMZ node, as `sallyport-dmz prove --out` writes it')
        .option('--probe <file>', 'what `sallyport-dmz probe --out` wrote')
        .option('--ruleset <file>', 'rules of this kernel, instead of asking nft: what `nft -j list ruleset` printed')
        .option('--report <folder>', 'write a signed report: JSON, HTML, Markdown')
        .option('--pdf', 'and a PDF, with the Chromium of this host')
        .option('--watch [every]', 'check again and again; a change is an alarm in the audit trail (1h)')
        .option('--as-outsider <host>', 'only try from this host what answers at HOST; needs no configuration')
        .option('--open <ports>', 'with --as-outsider: ports that partners need', '2222,2121,2990')
        .option('--closed <ports>', 'with --as-outsider: ports that must not answer', '22,80,443,8443');
      addVerify(program, command);
    },
    async (context, options) => {
      if (options.asOutsider !== undefined) return lookFromOutside(options.asOutsider, options, context);
      const config = await loadInternalSettings(context.configFile);
      const brought = { statement: options.dmz, probe: options.probe, ruleset: options.ruleset };
      // Made anew for each check: a watch outlives the login that it began with.
      const node = (): AdminClient => nodeClient(context, config.admin.socket);
      const run = (): Promise<Check> =>
        check(config, brought, deps, { nowMs: systemClock.nowMs(), node: node(), signal: context.signal });
      if (options.watch !== undefined) return watchOver(node, async () => claimsOf(await run()), options.watch, context);
      const checked = await run();
      if (options.report !== undefined)
        await report(checked, node(), { folder: options.report, pdf: options.pdf === true }, context);
      show(checked.groups, context);
    },
  );
}

function show(groups: readonly ClaimGroup[], { output }: VerbContext): void {
  const claims = groups.flatMap((group) => group.claims);
  if (output.json) output.document({ holds: allHold(claims), groups });
  else printClaims(groups, output);
  if (!allHold(claims)) throw new EarlyExit(exitCodes.checkFailed);
}

async function lookFromOutside(host: string, { open, closed }: ProveOptions, context: VerbContext): Promise<void> {
  const view = { host, open: parsePorts(open), closed: parsePorts(closed) };
  show([{ title: `${host}, seen from here`, claims: await outsideClaims(view, context.signal) }], context);
}

async function report(
  checked: Check,
  node: AdminClient,
  { folder, pdf }: { readonly folder: string; readonly pdf: boolean },
  { output, signal }: VerbContext,
): Promise<void> {
  const { config, statement } = checked.facts;
  const keys = await loadNodeKeys(config.keys, 'internal');
  const transfers = await sampleTransfers(node).catch(() => []);
  const told = 'value' in statement ? statement.value.document.network : undefined;
  const ruleBase = await pairRuleBase(config.file, told);
  const files = reportFiles(reportOf(checked, { fingerprint: keys.fingerprint, transfers, ruleBase }));
  if (pdf) {
    const { printPdf } = await import('./report/pdf.ts');
    const page = files.find(({ name }) => name === 'report.html')?.bytes.toString() ?? '';
    files.push({ name: 'report.pdf', bytes: await printPdf(page, signal) });
  }
  await writeReport(resolve(folder), files, keys);
  output.note(`report: ${resolve(folder)}; check it with: sallyport prove verify ${folder}`);
}

async function watchOver(
  node: () => AdminClient,
  run: () => Promise<readonly Claim[]>,
  every: string | true,
  { output, signal }: VerbContext,
): Promise<void> {
  await watch(
    { check: run, node: { post: (path, body) => node().post(path, body) }, clock: systemClock, say: (line) => output.line(line) },
    duration(every === true ? '1h' : every),
    signal,
  );
}

function duration(text: string): number {
  try {
    return parseDuration(text);
  } catch (error) {
    if (error instanceof UnitError) throw new SallyportError('usage', `"${text}": ${error.message}`);
    throw error;
  }
}

interface VerifyArgs {
  readonly signer?: string;
  readonly maxAge?: string;
}

function addVerify(program: Program, parent: Parameters<Program['verb']>[3]): void {
  program.verb<VerifyArgs>(
    {
      usage: 'verify <report>',
      summary: 'check that a report is unchanged, signed by whom it should be, recent, and still true; exit 5 if not',
      examples: ['prove verify review-2026Q4', 'prove verify review-2026Q4 --signer SPI-… --max-age 31d   # on any host'],
    },
    (command) =>
      command
        .option('--signer <fingerprint>', 'of the internal node; without it, that of the configuration here')
        .option('--max-age <duration>', 'older is stale (proof.reportAge of the configuration, else 31d)'),
    async (context, { signer, maxAge }, [folder = '']) => {
      const here = signer === undefined ? await loadInternalSettings(context.configFile) : undefined;
      const expected = here
        ? (await loadNodeKeys(here.keys, 'internal')).fingerprint
        : checkedFingerprint(signer ?? '', 'internal');
      const maxAgeMs = maxAge === undefined ? (here?.proof.reportAge ?? duration('31d')) : duration(maxAge);
      const claims = await verifyReport(resolve(folder), { signer: expected, maxAgeMs, nowMs: systemClock.nowMs(), here });
      show([{ title: `Report ${folder}`, claims }], context);
    },
    parent,
  );
}

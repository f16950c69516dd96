/** `cert list`, `cert rotate` and `cert revoke`, the same on both nodes. */
import { join } from 'node:path';
import { SallyportError } from '../errors.ts';
import type { CertificateList } from '../pki/certificate-desk.ts';
import { denyFileName, denyKey } from '../pki/deny-list.ts';
import { parseFingerprint } from '../pki/fingerprint.ts';
import type { RotationStatus, Step } from '../pki/node-identity.ts';
import { steps } from './certificate-routes.ts';
import type { Program, VerbContext } from './cli.ts';
import type { AdminClient } from './client.ts';
import { formatTime, type Output } from './output.ts';

export interface CertVerbDeps {
  /** How the node is asked, and where its keys are. */
  readonly locate: (context: VerbContext) => Promise<{ readonly client: AdminClient; readonly keys: string }>;
}

export function addCertVerbs(program: Program, { locate }: CertVerbDeps): void {
  const group = program.group('cert', 'keys and certificates of the tunnel: list, exchange, refuse');

  program.verb(
    {
      usage: 'list',
      summary: 'certificates of this node and of the other one, when they end, and where an exchange of keys stands',
      examples: ['cert list', 'cert list --json'],
    },
    () => {},
    async (context) => {
      const { output } = context;
      const { client } = await locate(context);
      const list = await client.get<CertificateList>(['v1', 'certificates']);
      if (output.json) output.document(list);
      else printList(list, output);
    },
    group,
  );
  program.verb<{ readonly unheard?: true }>(
    {
      usage: 'rotate <step>',
      summary:
        'exchange the authority and the keys of this node: announce, then switch, then retire; back undoes a step until retire',
      examples: ['cert rotate announce', 'cert rotate switch', 'cert rotate retire', 'cert rotate back'],
    },
    (command) =>
      command.option('--unheard', 'also when the other node does not know of it: the two must then be introduced anew'),
    async (context, { unheard = false }, [typed = '']) => {
      const { output } = context;
      const step = steps.find((known) => known === typed);
      if (!step) throw new SallyportError('usage', `"${typed}" is no step; there are ${steps.join(', ')}`);
      const { client } = await locate(context);
      const after = await client.post<RotationStatus>(['v1', 'certificates', 'rotate'], { step, unheard });
      if (output.json) return output.document(after);
      output.line(
        after.phase === 'stable'
          ? `in use: ${after.fingerprint}`
          : `${after.phase}: in use ${after.fingerprint}, beside it ${after.other}`,
      );
      output.note(unheard && !after.told ? introduceAnew : nextStep(step, after));
    },
    group,
  );
  program.verb<{ readonly reason: string }>(
    {
      usage: 'revoke <fingerprint>',
      summary: 'refuse a key from now on; a live link with it ends, at the latest within a minute',
      examples: ['cert revoke SPD-B5NW-… --reason "host was stolen"', 'cert revoke SPI-7KQ4-… --json'],
    },
    (command) => command.option('--reason <text>', 'why; kept in the list and the audit trail', ''),
    async (context, { reason }, [typed = '']) => {
      const { output } = context;
      const fingerprint = parseFingerprint(typed).canonical;
      const { client, keys } = await locate(context);
      const told = await client
        .post<{ added: boolean }>(['v1', 'certificates', 'revoke'], { fingerprint, reason })
        .catch(async (error: unknown) => {
          if (!(error instanceof SallyportError) || error.code !== 'not-running') throw error;
          return { added: await denyKey(join(keys, denyFileName), fingerprint, reason) };
        });
      if (output.json) output.document({ fingerprint, ...told });
      else output.line(told.added ? `- ${fingerprint} is refused from now on` : `${fingerprint} was refused already`);
    },
    group,
  );
}

const introduceAnew = 'Next: introduce the nodes anew, with an invitation or by typing the fingerprint above on the other host.';

function nextStep(step: Step, { phase, told }: RotationStatus): string {
  if (phase === 'announced') {
    return `Next: once the other node knows (cert list${told ? ' says it does' : ''}): cert rotate switch. Not wanted: cert rotate back`;
  }
  if (phase === 'switched')
    return 'Next: when the tunnel is up again and all is well: cert rotate retire. Otherwise: cert rotate back';
  return step === 'retire'
    ? 'Nothing is left to do. The fingerprint has changed: note it for the next setup.'
    : 'All is as before.';
}

function printList({ rotation, certificates, admitted, refused }: CertificateList, output: Output): void {
  output.table(
    ['WHOSE', 'KIND', 'ENDS (UTC)', 'RENEWED (UTC)', 'FINGERPRINT'],
    certificates.map(({ whose, kind, endsAtMs, renewedAtMs, fingerprint }) => [
      whose,
      kind,
      formatTime(endsAtMs),
      renewedAtMs === null ? '' : formatTime(renewedAtMs),
      fingerprint ?? '',
    ]),
  );
  if (rotation.phase !== 'stable') {
    const knows = rotation.told ? 'the other node knows' : 'the other node does not know yet';
    output.note(`exchange of keys: ${rotation.phase}, beside them ${rotation.other}; ${knows}`);
  }
  for (const fingerprint of admitted) output.note(`admitted: ${fingerprint}`);
  for (const fingerprint of refused) output.note(`refused: ${fingerprint}`);
}

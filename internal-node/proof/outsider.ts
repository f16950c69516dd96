/** What a neutral host sees of the DMZ: the doors that partners need, and nothing else. Needs no configuration and no key. */
import { type Claim, type ClaimText, judged } from '../../shared/proof/claim.ts';
import { attemptDefaults, targetsOf, tryConnections } from '../../shared/proof/connect-attempts.ts';
import { attemptText, notClosed } from '../../shared/proof/statement.ts';

export interface OutsideView {
  readonly host: string;
  /** Must answer. */
  readonly open: readonly number[];
  /** Must not: the tunnel above all. */
  readonly closed: readonly number[];
}

const probed = (id: string, statement: string, command: string): ClaimText => ({
  id: `outside.${id}`,
  kind: 'probed',
  statement,
  command,
});

/** @throws SallyportError `usage` for a host that is none. */
export async function outsideClaims({ host, open, closed }: OutsideView, signal: AbortSignal): Promise<Claim[]> {
  const opened = await tryConnections(targetsOf([host], open), attemptDefaults, signal);
  const tried = await tryConnections(targetsOf([host], closed), attemptDefaults, signal);
  return [
    judged(
      probed('doors', 'From here the doors of partners answer.', `nmap -Pn -p ${open.join(',')} ${host}`),
      opened.filter(({ outcome }) => outcome !== 'open').map(attemptText),
      opened.map((attempt) => `${attemptText(attempt)}, ${attempt.ms} ms`),
    ),
    judged(
      probed(
        'closed',
        'From here the tunnel and everything else that was tried answers nobody.',
        `nmap -Pn -p ${closed.join(',')} ${host}`,
      ),
      tried.flatMap((attempt) => notClosed(attempt) ?? []),
      tried.map(attemptText),
    ),
  ];
}

/**
 * What the inside makes of a statement and of a probe that were brought from the DMZ host: whose they are, how old, and what
 * they show. The DMZ host can lie about itself; where its word is not needed, it is not taken. Pure, but for opening headers.
 */
import { formatAddress, formatDuration } from '../../shared/config/units.ts';
import { about, type Claim, type ClaimKind, type ClaimText, type Fact } from '../../shared/proof/claim.ts';
import { type Attempt, mostHeaders, notClosed, type Probe, type Statement } from '../../shared/proof/statement.ts';
import type { Brought, InsideFacts } from './facts.ts';

const text = (id: string, kind: ClaimKind, statement: string, command: string): ClaimText => ({ id, kind, statement, command });

export interface SealingKey {
  readonly recipient: string;
  /** Whether our key opens this header (base64). */
  opens(header: string): boolean;
}

export function broughtClaims(facts: InsideFacts, key: Fact<SealingKey>): Claim[] {
  const { probe } = facts;
  return [
    authentic('dmz.statement', 'The statement of the DMZ node is its own, unchanged and of today.', facts.statement, facts, {
      age: facts.config.proof.statementAge,
      command: 'sallyport-dmz fingerprint   # on the DMZ host',
    }),
    sealedToUs(facts, key),
    authentic('probe.authentic', 'The probe was made on the DMZ host, is unchanged and recent.', probe, facts, {
      age: facts.config.proof.probeAge,
      command: 'sallyport-dmz fingerprint   # on the DMZ host',
    }),
    probeCovers(facts),
    closed(
      'probe.inside-closed',
      'From the DMZ host nothing inside can be reached: nobody answered.',
      probe,
      ({ inside }) => inside,
    ),
    closed(
      'probe.internet-closed',
      'From the DMZ host no connection to the Internet can be opened.',
      probe,
      ({ internet }) => internet,
    ),
  ];
}

interface Freshness {
  readonly age: number;
  readonly command: string;
}

function authentic(
  id: string,
  statement: string,
  fact: Fact<Brought<Statement | Probe>>,
  { config, nowMs }: InsideFacts,
  { age, command }: Freshness,
): Claim {
  return about(
    text(id, id.startsWith('probe') ? 'probed' : 'observed', statement, command),
    fact,
    ({ file, signer, document }) => {
      const { node, host, atMs } = document;
      const oldMs = nowMs - atMs;
      const pin = config.dmz?.fingerprint;
      return {
        offending: [
          ...(signer === pin ? [] : [`${file}: signed by ${signer}, the pinned DMZ node is ${pin ?? 'not known'}`]),
          ...(oldMs > age
            ? [`${file}: ${formatDuration(oldMs)} old, at most ${formatDuration(age)} counts; make a new one`]
            : []),
          ...(oldMs < -config.proof.clockSkew
            ? [`${file}: dated ${formatDuration(-oldMs)} in the future: the clock of ${host} is wrong`]
            : []),
        ],
        evidence: [`${file}: ${node} on ${host}, ${new Date(atMs).toISOString()}, signed by ${signer}`],
      };
    },
  );
}

/** The one claim about the cache that needs no word of the DMZ node: the key is here, and either opens a header or not. */
function sealedToUs({ statement, running }: InsideFacts, key: Fact<SealingKey>): Claim {
  const claim = text(
    'inside.opens-all',
    'observed',
    'What the DMZ stores is sealed to the key of the inside: our key opens the header of each file that was brought.',
    'age -d -i KEYS/sealing.key OBJECT >/dev/null   # with a copy of the file, on the internal host',
  );
  if ('missing' in key) return about(claim, key, () => ({ offending: [], evidence: [] }));
  const { recipient, opens } = key.value;
  return about(claim, statement, ({ document }) => {
    const foreign = document.headers
      .filter(({ header }) => !opens(header))
      .map(({ file }) => `${file}: sealed to a key that is not ours`);
    const expected = Math.min(document.objects, mostHeaders);
    const untold =
      document.headers.length < expected
        ? [`the headers of ${expected - document.headers.length} stored files were not brought`]
        : [];
    const nobody = document.recipients.length === 0 ? ['policy of the DMZ node: it names no key to seal to'] : [];
    const wrong = document.recipients
      .filter((one) => one !== recipient)
      .map((one) => `policy of the DMZ node: ${one} is not our key`);
    const published = 'value' in running ? (running.value.policy?.number ?? 0) : 0;
    const older =
      document.policyNumber < published ? [`the DMZ node works by policy ${document.policyNumber}, ours is ${published}`] : [];
    return {
      offending: [...foreign, ...untold, ...nobody, ...wrong, ...older],
      evidence: [
        `${document.headers.length} of ${document.objects} stored files opened with ${recipient}`,
        `policy ${document.policyNumber}`,
      ],
    };
  });
}

function probeCovers({ config, probe, place }: InsideFacts): Claim {
  const claim = text(
    'probe.covers',
    'probed',
    'The probe tried all that proof.mustProbe names, and the Internet.',
    `grep -n -A5 'mustProbe:' ${config.file}`,
  );
  return about(claim, probe, ({ file, document }) => {
    const tried = new Set(document.inside.map(({ target, port }) => `${target} ${port}`));
    const { mustProbe } = config.proof;
    const where = place(['proof', 'mustProbe']);
    return {
      offending: [
        ...mustProbe
          .filter(({ host, port }) => !tried.has(`${host} ${port}`))
          .map((target) => `${file}: did not try ${formatAddress(target)} (${where})`),
        ...(document.inside.length === 0 ? [`${file}: tried nothing inside`] : []),
        ...(document.internet.length === 0 ? [`${file}: tried nothing on the Internet`] : []),
      ],
      evidence: [
        `${document.inside.length} addresses and ports inside, ${document.internet.length} on the Internet, from ${document.from.join(', ')}`,
      ],
    };
  });
}

function closed(id: string, statement: string, probe: Fact<Brought<Probe>>, pick: (probe: Probe) => readonly Attempt[]): Claim {
  const claim = text(id, 'probed', statement, 'nmap -Pn -p PORTS TARGET   # on the DMZ host');
  return about(claim, probe, ({ file, document }) => {
    const attempts = pick(document);
    return {
      offending: attempts.flatMap((attempt) => notClosed(attempt) ?? []).map((why) => `${file}: ${why}`),
      evidence: [
        `${attempts.length} tried: ${attempts.filter(({ outcome }) => outcome === 'silent').length} without any answer, ${attempts.filter(({ outcome }) => outcome === 'unreachable').length} stopped on the way`,
      ],
    };
  });
}

/**
 * What the client matrix asks of a program that partners use: one file for each program says how it does each step, in the
 * way in which its users do it. What a program cannot do at all is said in `lacks` with the reason, and stands so in
 * docs/clients.md; nothing is left out in silence.
 */

/** One thing that a user does. Remote paths are absolute, local ones too. */
export type Step =
  | { readonly do: 'put'; readonly local: string; readonly remote: string; readonly resume?: boolean; readonly times?: boolean }
  | { readonly do: 'get'; readonly remote: string; readonly local: string; readonly resume?: boolean }
  | { readonly do: 'rename'; readonly from: string; readonly to: string }
  | { readonly do: 'remove' | 'mkdir' | 'rmdir' | 'list' | 'stat'; readonly path: string };

/** One of the ways in which FTPS can be spoken. */
export interface Way {
  readonly implicit: boolean;
  readonly tls: '1.2' | '1.3';
  readonly passive: 'PASV' | 'EPSV';
  readonly family: 4 | 6;
}

/** Each half of each choice is something that a client may be unable to do. */
export const waysOfFtps = {
  explicit: ({ implicit }: Way): boolean => !implicit,
  implicit: ({ implicit }: Way): boolean => implicit,
  'TLS 1.2': ({ tls }: Way): boolean => tls === '1.2',
  'TLS 1.3': ({ tls }: Way): boolean => tls === '1.3',
  PASV: ({ passive }: Way): boolean => passive === 'PASV',
  EPSV: ({ passive }: Way): boolean => passive === 'EPSV',
  IPv4: ({ family }: Way): boolean => family === 4,
  IPv6: ({ family }: Way): boolean => family === 6,
} as const;

export const featuresOf = (way: Way): (keyof typeof waysOfFtps)[] =>
  (Object.keys(waysOfFtps) as (keyof typeof waysOfFtps)[]).filter((feature) => waysOfFtps[feature](way));

/** What most clients do by themselves. */
export const ordinaryWay: Way = { implicit: false, tls: '1.3', passive: 'EPSV', family: 4 };

/** What a case needs of a client, beside `put` and `get`, which every client can. */
export type Feature =
  | 'resume-put'
  | 'resume-get'
  | 'times'
  | 'rename'
  | 'remove'
  | 'folders'
  | 'list'
  | 'stat'
  | 'password'
  | 'host-key'
  | 'rekey'
  /** Whole folders. */
  | 'mirror'
  /** A transfer that its user ends. */
  | 'give-up'
  | keyof typeof waysOfFtps
  /** Can be told to send any name, also one with a line break. */
  | 'any-name'
  /** Leaves it to the server what becomes of an older file of the name. */
  | 'overwrite'
  /** Does not make the folder itself. */
  | 'missing-folder';

/** Where a client connects, as whom, and what it believes. */
export interface Door {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly login: 'key' | 'password';
  readonly keyFile: string;
  readonly password: string;
  /** OpenSSH's `known_hosts` with the host keys that the user was told. */
  readonly knownHosts: string;
  /** The same as lines `ssh-ed25519 AAAA…`. */
  readonly hostKeys: readonly string[];
  /** Asks for new keys after so many bytes. */
  readonly rekeyBytes?: number;
  /** For clients of FTPS. */
  readonly way: Way;
  /** PEM of the certificate that the user was told; it is for `localhost`. */
  readonly caFile: string;
  /** An empty folder for the client's own files. */
  readonly scratch: string;
}

/** One upload, slowed down so that it does not end before its user ends it. */
export interface GivenUp {
  readonly local: string;
  readonly remote: string;
  readonly bytesPerSecond: number;
  /** Resolves when the server has some of the file. */
  readonly begun: () => Promise<void>;
}

export interface Outcome {
  /** What the client tells its caller: its exit code, or that nothing was thrown. */
  readonly ok: boolean;
  /** What it printed, for people. */
  readonly output: string;
  /** Names that each `list` showed, without the folder. */
  readonly listings: readonly (readonly string[])[];
  /** What each `stat` showed. */
  readonly stats: readonly { readonly size: number; readonly modifiedAtMs?: number }[];
}

export interface Client {
  /** As people call it; stands in the table. */
  readonly name: string;
  /** Short, for names of files. */
  readonly id: string;
  readonly protocol: 'sftp' | 'ftps';
  /** Debian packages whose versions the table names. Empty for an emulation and for a package of npm. */
  readonly packages: readonly string[];
  /** Packages of npm whose versions the table names. */
  readonly modules?: readonly string[];
  /** What one should know about how it was run. */
  readonly note?: string;
  /** Has nothing in common with what the node offers by default, and needs `sftp.algorithms: compatible`. */
  readonly algorithms?: 'compatible';
  readonly lacks: Readonly<Partial<Record<Feature, string>>>;
  /** Carries out the steps in order, in one session where the program has sessions, and stops at the first that fails. */
  run(door: Door, steps: readonly Step[]): Promise<Outcome>;
  /** Several uploads at once, in the way of this program; several sessions at once when left out. */
  together?(door: Door, steps: readonly Step[]): Promise<Outcome>;
  /** Uploads all that is in a local folder into a remote one that is there. */
  mirror?(door: Door, local: string, remote: string): Promise<Outcome>;
  /** Begins an upload and ends it as its users do. Resolves when the program has ended, or the session has. */
  giveUp?(door: Door, upload: GivenUp): Promise<void>;
  /** Ends what serves several runs. */
  close?(): Promise<void>;
}

export const nothingShown = { listings: [], stats: [] } as const;

/** The name without the folder, however the client shows it. */
export const baseName = (shown: string): string => shown.replace(/\/+$/, '').replace(/^.*\//s, '');

/** Outcomes of runs that were made one after another, as one. */
export const joined = (outcomes: readonly Outcome[]): Outcome => ({
  ok: outcomes.every(({ ok }) => ok),
  output: outcomes.map(({ output }) => output).join(''),
  listings: outcomes.flatMap(({ listings }) => listings),
  stats: outcomes.flatMap(({ stats }) => stats),
});

/** For programs that are started once for each step: stops at the first that fails, as a script with `set -e` does. */
export async function oneByOne(steps: readonly Step[], one: (step: Step) => Promise<Outcome>): Promise<Outcome> {
  const outcomes: Outcome[] = [];
  for (const step of steps) {
    const outcome = await one(step);
    outcomes.push(outcome);
    if (!outcome.ok) break;
  }
  return joined(outcomes);
}

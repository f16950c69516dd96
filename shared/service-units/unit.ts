/**
 * The systemd unit of one process: what all of them have in common, and how it is written (systemd.unit(5), systemd.exec(5)). Each
 * line takes something away from a process that does not need it; docs/hardening.md says what is enforced by which.
 */

/** A setting; several of the same name count together. An empty value is written as such: it empties the list. */
export type Setting = readonly [name: string, value: string];

export interface UnitText {
  readonly description: string;
  /** Of the section [Unit], besides what all have. */
  readonly unit?: readonly Setting[];
  readonly user: string;
  /** The command line, word by word. */
  readonly command: readonly string[];
  readonly stopWithinMs: number;
  /** Absolute; nothing else can be written. */
  readonly writable: readonly string[];
  /** What only this process is denied or allowed. */
  readonly settings: readonly Setting[];
}

/** Taken from every process. Not `MemoryDenyWriteExecute`: V8 compiles while it runs. */
const hardening: readonly Setting[] = [
  ['UMask', '0077'],
  ['NoNewPrivileges', 'yes'],
  ['CapabilityBoundingSet', ''],
  ['AmbientCapabilities', ''],
  ['ProtectSystem', 'strict'],
  ['ProtectHome', 'yes'],
  ['PrivateTmp', 'yes'],
  ['PrivateDevices', 'yes'],
  ['DevicePolicy', 'closed'],
  ['PrivateUsers', 'yes'],
  ['PrivateIPC', 'yes'],
  ['RemoveIPC', 'yes'],
  ['ProtectProc', 'invisible'],
  ['ProcSubset', 'pid'],
  ['ProtectClock', 'yes'],
  ['ProtectHostname', 'yes'],
  ['ProtectKernelTunables', 'yes'],
  ['ProtectKernelModules', 'yes'],
  ['ProtectKernelLogs', 'yes'],
  ['ProtectControlGroups', 'yes'],
  ['RestrictNamespaces', 'yes'],
  ['RestrictRealtime', 'yes'],
  ['RestrictSUIDSGID', 'yes'],
  ['LockPersonality', 'yes'],
  ['SystemCallArchitectures', 'native'],
  ['SystemCallErrorNumber', 'EPERM'],
  // With that by which the launcher installs the filter of the process itself.
  ['SystemCallFilter', '@system-service seccomp'],
  ['SystemCallFilter', '~@privileged @resources @mount @swap @reboot @raw-io @cpu-emulation @obsolete @debug @keyring'],
  ['SystemCallFilter', '~io_uring_setup io_uring_enter io_uring_register'],
  ['LimitNOFILE', '65536'],
  ['LimitCORE', '0'],
  ['TasksMax', '256'],
  ['OOMPolicy', 'stop'],
];

/** Keeps the memory of a node flat; `scripts/prepare.sh` says why. */
const environment: readonly Setting[] = [
  ['Environment', 'MALLOC_ARENA_MAX=2 MALLOC_MMAP_THRESHOLD_=229376 MALLOC_TRIM_THRESHOLD_=4194304'],
  ['Environment', '"NODE_OPTIONS=--max-semi-space-size=2 --expose-gc"'],
];

/** @returns the text of a `.service` file. */
export function unitFile({ description, unit = [], user, command, stopWithinMs, writable, settings }: UnitText): string {
  const service: readonly Setting[] = [
    ['Type', 'exec'],
    ['User', user],
    ['Group', user],
    ['ExecStart', command.map(word).join(' ')],
    ['ExecReload', '/bin/kill -HUP $MAINPID'],
    ['KillMode', 'mixed'],
    ['TimeoutStopSec', String(Math.ceil(stopWithinMs / 1000))],
    ['Restart', 'on-failure'],
    ['RestartSec', '1'],
    ['RestartPreventExitStatus', '2'],
    ...environment,
    ...outermost(writable).map((path): Setting => ['ReadWritePaths', word(path)]),
    ...hardening,
    ...settings,
  ];
  return [
    '[Unit]',
    ...[['Description', description] as const, ...unit].map(line),
    '',
    '[Service]',
    ...service.map(line),
    '',
    '[Install]',
    'WantedBy=multi-user.target',
    '',
  ].join('\n');
}

/** systemd refuses to start a unit that names a folder which is not there yet; what lies in another one need not be named. */
const outermost = (folders: readonly string[]): readonly string[] =>
  [...new Set(folders)].filter((path) => !folders.some((other) => path.startsWith(`${other}/`)));

const line = ([name, value]: Setting): string => `${name}=${value}`;

/** systemd.service(5), "Command lines": `%` and `$` mean something there, blanks part words. */
function word(text: string): string {
  const escaped = text.replaceAll('%', '%%').replaceAll('$', '$$$$');
  return /^[\w@%+=:,./$-]+$/.test(escaped) ? escaped : `"${escaped.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}

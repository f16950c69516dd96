/** Claims that are made about both nodes in the same words. Pure. */
import type { FileDigest } from '../config/load.ts';
import { formatDuration } from '../config/units.ts';
import type { AuditChain } from './audit-chain.ts';
import { about, type Claim, type ClaimText, type Fact } from './claim.ts';
import { type FileEntry, openToOthers, strangeOwners } from './files.ts';
import type { InventoryEntry } from './inventory.ts';
import type { ProcessFacts } from './processes.ts';

export type Side = 'dmz' | 'inside';

const claim = (side: Side, id: string, kind: ClaimText['kind'], statement: string, command: string): ClaimText => ({
  id: `${side}.${id}`,
  kind,
  statement,
  command,
});

/** @param folder State folder: whoever owns it is the user of the node. */
export function modesClaim(side: Side, files: Fact<readonly FileEntry[]>, folder: string): Claim {
  const text = claim(
    side,
    'modes',
    'observed',
    'Only the user of the node can read or change its keys, records and configuration.',
    `find ${folder} \\( -type f -o -type d \\) -perm /077`,
  );
  return about(text, files, (entries) => {
    const owner = entries.find(({ path }) => path === folder)?.uid ?? 0;
    return {
      offending: [...openToOthers(entries), ...strangeOwners(entries, [owner, 0])],
      evidence: [`${entries.length} files and folders, all of user ${owner}`],
    };
  });
}

/** @param remedy What makes a changed file take effect. */
export function configurationClaim(
  side: Side,
  running: Fact<{ readonly configuration: readonly FileDigest[] }>,
  onDisk: Fact<readonly FileDigest[]>,
  remedy: string,
): Claim {
  const files = 'value' in onDisk ? onDisk.value.map(({ file }) => file) : [];
  const text = claim(
    side,
    'configuration',
    'observed',
    'The running node works by the configuration that lies on the disk.',
    `sha256sum ${files.join(' ')}`.trim(),
  );
  if ('missing' in onDisk) return about(text, onDisk, () => ({ offending: [], evidence: [] }));
  return about(text, running, ({ configuration }) => {
    const loaded = new Map(configuration.map(({ file, sha256 }) => [file, sha256]));
    const there = new Set(files);
    return {
      offending: [
        ...onDisk.value
          .filter(({ file, sha256 }) => loaded.get(file) !== sha256)
          .map(
            ({ file }) => `${file}: ${loaded.has(file) ? 'changed since the node read it' : 'never read by the node'}; ${remedy}`,
          ),
        ...configuration.filter(({ file }) => !there.has(file)).map(({ file }) => `${file}: the node works by it and it is gone`),
      ],
      evidence: onDisk.value.map(({ file, sha256 }) => `${sha256}  ${file}`),
    };
  });
}

export function trailClaim(side: Side, audit: Fact<AuditChain>, folder: string): Claim {
  const text = claim(
    side,
    'audit',
    'observed',
    'No line of the audit trail was changed or removed: each carries the SHA-256 of the line before.',
    `tail -n 2 ${folder}/*.jsonl   # printf %s LINE | sha256sum gives "prev" of the next line`,
  );
  return about(text, audit, ({ lines, files, head, broken }) => ({
    offending: [
      ...(broken === undefined ? [] : [`${folder}/${broken}: does not follow from the line before`]),
      // The first start of a node is in it already.
      ...(lines === 0 ? [`${folder}: there is not one line`] : []),
    ],
    evidence: [`${lines} lines in ${files} files, head ${head}`],
  }));
}

export function certificateClaim(side: Side, inventory: Fact<readonly InventoryEntry[]>, nowMs: number): Claim {
  const text = claim(
    side,
    'certificates',
    'observed',
    'Every certificate in use is valid today.',
    'openssl x509 -noout -dates -in FILE',
  );
  return about(text, inventory, (entries) => {
    const dated = entries.flatMap(({ file, notBeforeMs, notAfterMs }) =>
      notBeforeMs === undefined || notAfterMs === undefined ? [] : [{ file, notBeforeMs, notAfterMs }],
    );
    const day = (atMs: number): string => new Date(atMs).toISOString().slice(0, 10);
    return {
      offending: dated.flatMap(({ file, notBeforeMs, notAfterMs }) => {
        if (notAfterMs <= nowMs) return [`${file}: expired on ${day(notAfterMs)}`];
        return notBeforeMs > nowMs ? [`${file}: valid only from ${day(notBeforeMs)} on`] : [];
      }),
      evidence: dated.map(
        ({ file, notAfterMs }) => `${file}: until ${day(notAfterMs)}, ${formatDuration(Math.max(0, notAfterMs - nowMs))} left`,
      ),
    };
  });
}

/** @param denied What the filter keeps the process from, in words. */
export function seccompClaim(side: Side, processes: Fact<readonly ProcessFacts[]>, denied: string): Claim {
  const pids = 'value' in processes ? processes.value.map(({ pid }) => pid) : [];
  const text = claim(
    side,
    'seccomp',
    'enforced',
    `The kernel refuses the node ${denied}, whatever its program does: a seccomp filter holds in every thread, and no new privileges.`,
    `grep -H -E '^(Seccomp|NoNewPrivs):' ${pids.map((pid) => `/proc/${pid}/task/*/status`).join(' ')}`.trim(),
  );
  return about(text, processes, (all) => ({
    offending: all.flatMap(({ pid, part, threads }) => {
      const free = threads.filter(({ seccomp }) => seccomp !== 2).length;
      const rising = threads.filter(({ noNewPrivileges }) => !noNewPrivileges).length;
      return [
        ...(free > 0 ? [`process ${pid} (${part}): ${free} of ${threads.length} threads without a seccomp filter`] : []),
        ...(rising > 0 ? [`process ${pid} (${part}): ${rising} of ${threads.length} threads may gain privileges`] : []),
      ];
    }),
    evidence: all.map(({ pid, part, threads }) => `process ${pid} (${part}): ${threads.length} threads, Seccomp 2, NoNewPrivs 1`),
  }));
}

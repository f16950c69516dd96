/** Items as a DMZ node seals and describes them, for one that lies about them afterwards. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { newItemId, newSessionId, newTraceId } from '../../shared/ids.ts';
import type { Decision } from '../../shared/policy.ts';
import type { SealWorkers } from '../../shared/seal/seal-workers.ts';
import type { ItemDescription } from '../../shared/tunnel/messages.ts';

export interface DoubleItem {
  description: ItemDescription;
  /** Sealed bytes of each segment. */
  sealed: Buffer[];
}

export interface ItemSpec {
  readonly partner?: string;
  readonly path?: string;
  /** One segment for each. */
  readonly contents: readonly Buffer[];
  readonly sessionProof?: string;
  readonly decision?: Decision;
  readonly policyNumber?: number;
}

export const proofOf = (partner: string): string => createHash('sha256').update(`session of ${partner}`).digest('hex');

/** Seals contents as the DMZ does. */
export async function sealItem(seal: SealWorkers, folder: string, recipient: string, spec: ItemSpec): Promise<DoubleItem> {
  const partner = spec.partner ?? 'acme';
  const id = newItemId();
  const sealed: Buffer[] = [];
  const segments = [];
  for (const [index, content] of spec.contents.entries()) {
    const path = join(folder, `${id}.${index}`);
    const writer = seal.createWriter({ path, recipients: [recipient] });
    await writer.write(content);
    const { headerSha256, plainBytes, sealedBytes, sha256: digest } = await writer.finish();
    segments.push({ headerSha256, plainBytes, sealedBytes, sha256: digest });
    sealed.push(await readFile(path));
  }
  const [only] = segments;
  const description: ItemDescription = {
    id,
    seq: 0,
    partner,
    path: spec.path ?? '/Inbox/report.csv',
    size: segments.reduce((sum, segment) => sum + segment.plainBytes, 0),
    sha256: segments.length === 1 && only ? only.sha256 : null,
    completedAtMs: 1,
    session: newSessionId(),
    sessionProof: spec.sessionProof ?? proofOf(partner),
    trace: newTraceId(),
    segments,
    state: 'ready',
    decision: spec.decision ?? { route: { action: 'deliver', destination: 'files' }, rule: 'all' },
    policyNumber: spec.policyNumber ?? 1,
  };
  return { description, sealed };
}

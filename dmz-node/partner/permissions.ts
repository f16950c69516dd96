/** Which part of a view a path lies in, and what a grant allows there. */
import { SallyportError } from '../../shared/errors.ts';
import { inbox, isWithin, outbox, pathKey, type VirtualPath } from '../../shared/paths/virtual-path.ts';
import type { Grant } from '../../shared/policy.ts';

/** `inbox` and `outbox` are what lies below the two folders; `fixed` are the root and the two themselves. */
export type Area = 'fixed' | 'inbox' | 'outbox' | 'nowhere';

export function areaOf(path: VirtualPath): Area {
  const key = pathKey(path);
  if (key === '/' || key === inbox || key === outbox) return 'fixed';
  if (isWithin(path, inbox)) return 'inbox';
  return isWithin(path, outbox) ? 'outbox' : 'nowhere';
}

export type Act = 'upload' | 'download' | 'digest' | 'touch' | 'remove' | 'make-folder' | 'remove-folder' | 'rename';

type Rule = (grant: Grant) => boolean;
const never: Rule = () => false;

/** What is not here is not allowed. A partner cannot read back what he uploaded: the DMZ node holds no key to open it. */
const rules: Readonly<Record<Act, { readonly inbox: Rule; readonly outbox: Rule }>> = {
  upload: { inbox: (grant) => grant.mayUpload, outbox: never },
  download: { inbox: never, outbox: (grant) => grant.mayDownload },
  digest: { inbox: (grant) => grant.mayUpload, outbox: (grant) => grant.mayDownload },
  touch: { inbox: (grant) => grant.mayUpload || grant.mayChange, outbox: never },
  remove: { inbox: (grant) => grant.mayChange, outbox: (grant) => grant.mayChange },
  'make-folder': { inbox: (grant) => grant.mayChange, outbox: never },
  'remove-folder': { inbox: (grant) => grant.mayChange, outbox: never },
  // The rename that completes an upload under a temporary name belongs to uploading; the cache knows those names.
  rename: { inbox: (grant) => grant.mayChange || grant.mayUpload, outbox: never },
};

/** @throws SallyportError `permission-denied`; `no-such-file` for a path where nothing can be. */
export function allow(grant: Grant, act: Act, path: VirtualPath): void {
  const area = areaOf(path);
  if (area === 'nowhere' && act === 'download') throw new SallyportError('no-such-file', 'nothing can be there');
  const allowed = (area === 'inbox' || area === 'outbox') && rules[act][area](grant);
  if (!allowed) throw new SallyportError('permission-denied', `the grant allows no ${act} there`, { act, area });
}

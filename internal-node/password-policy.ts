/**
 * What a password that is set must be like (NIST SP 800-63B §5.1.1.2): long, not in the list of those that are known, not easy to
 * guess. No kinds of characters are asked for. It is never asked at a login.
 */
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline/promises';
import { SallyportError } from '../shared/errors.ts';
import type { Secret } from '../shared/secret.ts';
import { refuseWeak } from './password-strength.ts';

export interface PasswordPolicy {
  readonly minimumLength: number;
  /** A file, read through each time: it may be long, and passwords are set rarely. */
  readonly blocklist?: string | undefined;
}

/**
 * @param names What somebody would try first: the name of the partner.
 * @throws SallyportError `usage` saying what to do; `config-invalid` when the list cannot be read.
 */
export async function refuseUnfit(password: Secret, names: readonly string[], policy: PasswordPolicy): Promise<void> {
  const text = password.reveal();
  if ([...text].length < policy.minimumLength) {
    throw new SallyportError('usage', `a password has at least ${policy.minimumLength} characters; nothing was changed`);
  }
  refuseWeak(password, names);
  const { blocklist } = policy;
  if (blocklist !== undefined && (await isListed(text, blocklist))) {
    throw new SallyportError('usage', 'this password is in the list of passwords that nobody may set; nothing was changed');
  }
}

async function isListed(text: string, file: string): Promise<boolean> {
  const wanted = text.normalize('NFKC').toLowerCase();
  const input = createReadStream(file, 'utf8');
  try {
    for await (const line of createInterface({ input })) {
      if (line.normalize('NFKC').toLowerCase() === wanted) return true;
    }
    return false;
  } catch (cause) {
    throw new SallyportError('config-invalid', `authentication.passwords.blocklist: ${file} cannot be read`, {}, { cause });
  } finally {
    input.destroy();
  }
}

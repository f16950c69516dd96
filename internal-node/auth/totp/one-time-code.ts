/**
 * One-time codes of RFC 6238 as authenticator apps make them: six digits, SHA-1 or better, a new one every 30 seconds. Taken
 * apart from a password they were appended to, and matched with one step of tolerance to either side.
 */
import { Secret as OtpSecret, TOTP, URI } from 'otpauth';
import { SallyportError } from '../../../shared/errors.ts';
import { Secret } from '../../../shared/secret.ts';

export const codeDigits = 6;
/** Steps before and after the present one whose codes are right too. */
const tolerance = 1;

/** A password and what was typed after it, or in a field of its own. */
export interface TypedCode {
  readonly password: Secret;
  readonly code: string;
}

/** Of a lost phone: each is good once. Five letters or digits, a hyphen, five more. */
export const recoveryForm = /^[a-z2-7]{5}-[a-z2-7]{5}$/;
const recoveryLength = 11;

/**
 * @param given The code, where it was asked for by itself.
 * @returns undefined when there is no code, or nothing but one: the rest would be an empty password.
 */
export function typedCode(typed: Secret, given: Secret | undefined): TypedCode | undefined {
  const text = typed.reveal();
  if (given) {
    const code = given.reveal().replace(/\s/g, '').toLowerCase();
    return text.trim() === '' ? undefined : { password: typed, code };
  }
  for (const [length, form] of [
    [codeDigits, /^\d+$/],
    [recoveryLength, recoveryForm],
  ] as const) {
    const code = text.slice(-length);
    const rest = text.slice(0, -length);
    if (code.length === length && form.test(code.toLowerCase()) && rest.trim() !== '') {
      return { password: new Secret(rest), code: code.toLowerCase() };
    }
  }
  return undefined;
}

/** The shared secret of one user. */
export class CodeGenerator {
  readonly #totp: TOTP;

  private constructor(totp: TOTP) {
    this.#totp = totp;
  }

  /** A new secret of 160 bits. */
  static make(issuer: string, label: string): CodeGenerator {
    const secret = new OtpSecret({ size: 20 });
    return new CodeGenerator(new TOTP({ issuer, label, secret, algorithm: 'SHA1', digits: codeDigits, period: 30 }));
  }

  /** @throws SallyportError `config-invalid`, without quoting it, when it is no `otpauth://totp/…` URI that can be used. */
  static fromUri(uri: string): CodeGenerator {
    const totp = parsed(uri);
    if (!(totp instanceof TOTP)) throw unusable('it is of another kind');
    if (totp.digits !== codeDigits) throw unusable(`its codes have ${totp.digits} digits, not ${codeDigits}`);
    if (totp.period < 15 || totp.period > 120) throw unusable('its period is not 15 to 120 seconds');
    if (totp.secret.bytes.length < 10) throw unusable('its secret is shorter than 80 bits');
    return new CodeGenerator(totp);
  }

  /** For the authenticator app; a secret. */
  get uri(): string {
    return this.#totp.toString();
  }

  /** The step that this code belongs to, if it is right now. */
  stepOf(code: string, atMs: number): number | undefined {
    if (!/^\d{6}$/.test(code)) return undefined;
    const delta = this.#totp.validate({ token: code, timestamp: atMs, window: tolerance });
    return delta === null ? undefined : Math.floor(atMs / 1000 / this.#totp.period) + delta;
  }
}

function parsed(uri: string): unknown {
  try {
    return URI.parse(uri);
  } catch {
    throw unusable('it cannot be read');
  }
}

const unusable = (why: string): SallyportError => new SallyportError('config-invalid', `no usable otpauth:// URI: ${why}`);

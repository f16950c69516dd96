/**
 * The authentication part of one SSH connection (RFC 4252): turns requests into login attempts and outcomes into answers.
 *
 * Everybody is offered the same methods and hears the same refusals. One attempt is checked at a time; a client that starts
 * another meanwhile breaks the protocol. Nothing is verified here: signatures and passwords are checked inside.
 */
import { Secret } from '../../shared/secret.ts';
import type { LoginAttempt, LoginOutcome, PartnerSession } from '../partner-view.ts';
import { askNewPassword } from './new-password.ts';
import type { AuthContext } from './ssh2-seam.ts';

export interface LoginDialogueDeps {
  /** Asks the login desk; never rejects. */
  readonly login: (attempt: LoginAttempt) => Promise<LoginOutcome>;
  /** Called with a session before the client hears that it is in. */
  readonly onAccepted: (session: PartnerSession) => void;
  /** What the SSH session identifier of this connection is the hash of. */
  readonly transcript: () => Buffer;
  /** Whether a one-time code is asked for beside the password: of everybody, since only the inside knows who has one. */
  readonly asksForCode: () => boolean;
  readonly disconnect: (reason: 'unavailable' | 'too-many-attempts' | 'broken-protocol') => void;
}

const maxProbes = 20;
const passwordPrompt = { prompt: 'Password: ', echo: false };
const codePrompt = { prompt: 'One-time code (empty if you have none): ', echo: false };
const owedCodePrompt = { prompt: 'One-time code: ', echo: false };
const passwordMethods = ['password', 'keyboard-interactive'] as const;
const allMethods = ['publickey', ...passwordMethods];

export class LoginDialogue {
  readonly #deps: LoginDialogueDeps;
  readonly #maxAttempts: number;
  #methods: readonly string[] = allMethods;
  /** A key was accepted, and only a one-time code is missing: what programs send as a password is one. */
  #owesCode = false;
  #busy = false;
  #over = false;
  #attempts = 0;
  #probes = 0;
  #rounds = 0;
  #keptWaiting = false;

  constructor(deps: LoginDialogueDeps, maxAttempts: number) {
    this.#deps = deps;
    this.#maxAttempts = maxAttempts;
  }

  /** Whether anybody tried to log in. Who leaves because an answer takes too long has tried, whatever he asked. */
  get attempted(): boolean {
    return this.#attempts > 0 || this.#keptWaiting;
  }

  /** Nothing more is answered. */
  end(): void {
    this.#over = true;
    this.#keptWaiting = this.#busy;
  }

  /** One USERAUTH_REQUEST. */
  handle(context: AuthContext): void {
    if (this.#over) return;
    // A new request silently replaces a keyboard-interactive one whose answer is being checked (RFC 4252 §5.1).
    if (this.#busy) {
      this.#deps.disconnect('broken-protocol');
      return;
    }
    if (++this.#rounds > maxProbes + 2 * this.#maxAttempts + 4) {
      this.#deps.disconnect('too-many-attempts');
      return;
    }
    const attempt = this.#methods.includes(context.method) ? this.#attemptOf(context) : undefined;
    if (attempt === 'ask') {
      this.#ask(context);
      return;
    }
    if (!attempt) {
      context.reject(this.#methods);
      return;
    }
    void this.#check(context, attempt);
  }

  /** RFC 4256: programs that know no `password` show our question instead. */
  #ask(context: AuthContext): void {
    const usual = this.#deps.asksForCode() ? [passwordPrompt, codePrompt] : [passwordPrompt];
    const prompts = this.#owesCode ? [owedCodePrompt] : usual;
    context.prompt?.(prompts, '', '', (responses) => {
      if (this.#over || !Array.isArray(responses)) return;
      const [password, code = ''] = responses as unknown[];
      if (responses.length !== prompts.length || typeof password !== 'string' || typeof code !== 'string')
        return context.reject(this.#methods);
      const typed = this.#typed(context, password);
      const withCode = typed.method === 'password' && code.trim() !== '';
      void this.#check(context, withCode ? { ...typed, code: new Secret(code.trim()) } : typed);
    });
  }

  #typed({ username: user }: AuthContext, text: string): Extract<LoginAttempt, { method: 'password' | 'code' }> {
    if (this.#owesCode) return { method: 'code', user, code: new Secret(text.replace(/\s/g, '').toLowerCase()) };
    return { method: 'password', user, password: new Secret(text) };
  }

  /** `ask`: the password must be asked for first. Undefined: refused without asking anybody. */
  #attemptOf(context: AuthContext): LoginAttempt | 'ask' | undefined {
    if (context.method === 'keyboard-interactive') return 'ask';
    if (context.method === 'publickey') return this.#keyAttemptOf(context);
    // An uninvited change of password comes as an object.
    const isPassword = context.method === 'password' && typeof context.password === 'string';
    return isPassword ? this.#typed(context, String(context.password)) : undefined;
  }

  #keyAttemptOf({ key: shown, blob: signed, signature, username: user }: AuthContext): LoginAttempt | undefined {
    // SHA-1, which nobody inside would take either.
    if (!shown || shown.algo === 'ssh-rsa') return undefined;
    const { algo: algorithm, data: key } = shown;
    if (!signed || !signature) return { method: 'key-probe', user, algorithm, key };
    return { method: 'key', user, algorithm, key, signed, signature, transcript: this.#deps.transcript() };
  }

  async #check(context: AuthContext, attempt: LoginAttempt): Promise<void> {
    const probe = attempt.method === 'key-probe';
    if (probe && ++this.#probes > maxProbes) return this.#deps.disconnect('too-many-attempts');
    if (!probe) this.#attempts++;
    this.#busy = true;
    const outcome = await this.#deps.login(attempt);
    this.#busy = false;
    if (this.#over) {
      if (outcome.outcome === 'accepted') void outcome.session.end('the client left during login');
      return;
    }
    try {
      this.#answer(context, outcome, probe);
    } catch {
      // The package refuses to answer when the client has mixed up its requests.
      this.#deps.disconnect('broken-protocol');
    }
  }

  #answer(context: AuthContext, outcome: LoginOutcome, probe: boolean): void {
    switch (outcome.outcome) {
      case 'accepted':
        this.#over = true;
        this.#deps.onAccepted(outcome.session);
        context.accept();
        return;
      case 'key-acceptable':
        context.accept();
        return;
      case 'continue':
        this.#owesCode = outcome.methods.includes('code');
        this.#methods = outcome.methods.flatMap((method) => (method === 'key' ? ['publickey'] : passwordMethods));
        context.reject(this.#methods, true);
        return;
      case 'change':
        askNewPassword(context, outcome.about, (typed) => {
          if (this.#over) return;
          if (typed === undefined) return context.reject(this.#methods);
          void this.#check(context, { method: 'new-password', user: context.username, password: new Secret(typed) });
        });
        return;
      case 'unavailable':
        this.#deps.disconnect('unavailable');
        return;
      case 'rejected':
        if (!probe && this.#attempts >= this.#maxAttempts) {
          this.#deps.disconnect('too-many-attempts');
          return;
        }
        context.reject(this.#methods);
        return;
    }
  }
}

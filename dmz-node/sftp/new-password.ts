/**
 * Asks for a new password in the middle of a login: by SSH_MSG_USERAUTH_PASSWD_CHANGEREQ (RFC 4252 §8) where a password was sent, by
 * questions (RFC 4256) where it was asked for. Whether the new one is good enough is told by the inside, in three words.
 */
import type { LoginOutcome } from '../partner-view.ts';
import type { AuthContext } from './ssh2-seam.ts';

type About = Extract<LoginOutcome, { outcome: 'change' }>['about'];

const words: Readonly<Record<About | 'differ', string>> = {
  new: 'You must set a new password now.',
  weak: 'This password is too short or too easy to guess. Take four or five words that have nothing to do with each other.',
  'used-before': 'You have used this password before. Choose another one.',
  differ: 'The two passwords differ.',
};
const prompts = [
  { prompt: 'New password: ', echo: false },
  { prompt: 'New password again: ', echo: false },
];
const mostDiffering = 3;

/**
 * @param answered Called once, with undefined when nothing usable was answered. Not called when the client leaves.
 */
export function askNewPassword(context: AuthContext, about: About, answered: (password: string | undefined) => void): void {
  if (context.method === 'keyboard-interactive') askTwice(context, words[about], mostDiffering, answered);
  // A client that sends its old password once more instead has not understood.
  else if (context.requestChange) {
    context.requestChange(words[about], (typed) => answered(typeof typed === 'string' ? typed : undefined));
  } else answered(undefined);
}

function askTwice(context: AuthContext, text: string, left: number, answered: (password: string | undefined) => void): void {
  if (!context.prompt || left === 0) {
    answered(undefined);
    return;
  }
  context.prompt(
    prompts.map((prompt) => ({ ...prompt })),
    'Change of password',
    text,
    (responses) => {
      const [first, second] = Array.isArray(responses) ? (responses as unknown[]) : [];
      if (typeof first !== 'string' || typeof second !== 'string') answered(undefined);
      else if (first === second) answered(first);
      else askTwice(context, words.differ, left - 1, answered);
    },
  );
}

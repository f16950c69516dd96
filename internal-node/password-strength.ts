/**
 * Whether a password is worth setting: how long it is, and how many guesses it would take somebody who knows what people choose.
 * What is found in a list of usual words, in names, in sequences and repetitions counts for little.
 *
 * It is asked when a password is set, never at a login. Nothing of the password gets into a message.
 */
import { SallyportError } from '../shared/errors.ts';
import type { Secret } from '../shared/secret.ts';

/** Characters; the most is what a login can carry. */
export const passwordLength = { least: 12, most: 1024 } as const;
/** Passwords of before that may not come back. */
export const formerPasswords = 8;
/** About 10^15 guesses: years for a stolen Argon2id hash. */
const leastBits = 50;

/** What most lists of stolen passwords begin with, and what is near at hand when one is asked for a password. */
const usual = [
  ...[
    'password',
    'passwort',
    'passw',
    'letmein',
    'welcome',
    'willkommen',
    'admin',
    'administrator',
    'qwerty',
    'qwertz',
    'azerty',
  ],
  ...[
    'secret',
    'geheim',
    'changeme',
    'default',
    'master',
    'login',
    'user',
    'test',
    'guest',
    'root',
    'access',
    'transfer',
    'sftp',
  ],
  ...['ftps', 'server', 'partner', 'sallyport', 'company', 'dragon', 'monkey', 'football', 'baseball', 'iloveyou', 'sunshine'],
  ...[
    'princess',
    'shadow',
    'superman',
    'batman',
    'trustno',
    'hello',
    'freedom',
    'whatever',
    'summer',
    'winter',
    'spring',
    'autumn',
  ],
  ...['sommer', 'herbst', 'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday', 'january', 'february'],
  ...['march', 'april', 'june', 'july', 'august', 'september', 'october', 'november', 'december'],
];
/** One of so many words, in one of a few spellings. */
const bitsOfWord = 10;
const bitsOfYear = 7;

const disguises: Readonly<Record<string, string>> = {
  '0': 'o',
  '1': 'i',
  '3': 'e',
  '4': 'a',
  '5': 's',
  '7': 't',
  '@': 'a',
  $: 's',
  '!': 'i',
};

/**
 * @param names What somebody would try first: the name of the partner.
 * @throws SallyportError `usage` saying what to do.
 */
export function refuseWeak(password: Secret, names: readonly string[]): void {
  const text = password.reveal();
  if ([...text].length < passwordLength.least) throw weak(`a password has at least ${passwordLength.least} characters`);
  if (text.length > passwordLength.most) throw weak(`a password has at most ${passwordLength.most} characters`);
  if (guessBits(text, names) < leastBits) throw weak('this password is too easy to guess');
}

const weak = (why: string): SallyportError =>
  new SallyportError('usage', `${why}; nothing was changed`, {
    next: 'take four or five words that have nothing to do with each other, or let a password manager make it',
  });

/** Bits of the guesses that a password takes; a floor for what is usual, roughly right for what is random. */
export function guessBits(text: string, names: readonly string[]): number {
  const characters = [...text.toLowerCase()];
  // One character for each, so that places are the same in both.
  let plain = characters.map((character) => (character.length > 1 ? '?' : (disguises[character] ?? character))).join('');
  const digits = characters.map((character) => (character.length > 1 ? '?' : character)).join('');
  const known = new Array<boolean>(characters.length).fill(false);
  let bits = 0;
  const take = (at: number, length: number): void => {
    known.fill(true, at, at + length);
  };
  const words = [...usual, ...names.filter((name) => name.length >= 3).map((name) => name.toLowerCase())];
  for (const word of words.sort((a, b) => b.length - a.length)) {
    // The second time a word comes it is nothing new.
    if (plain.includes(word)) bits += bitsOfWord;
    for (let at = plain.indexOf(word); at >= 0; at = plain.indexOf(word)) {
      take(at, word.length);
      plain = plain.slice(0, at) + '\u0000'.repeat(word.length) + plain.slice(at + word.length);
    }
  }
  const years = [...digits.matchAll(/(19|20)\d\d/g)];
  if (years.length > 0) bits += bitsOfYear;
  for (const { index } of years) take(index, 4);
  return (
    bits +
    bitsOfRest(
      characters.filter((_, at) => !known[at]),
      text,
    )
  );
}

/** Each character that is not the next of a row, nor the one of before, is one of its alphabet. */
function bitsOfRest(characters: readonly string[], text: string): number {
  const perCharacter = Math.log2(alphabetOf(text));
  let bits = 0;
  let [last, step] = [Number.NaN, Number.NaN];
  for (const character of characters) {
    const code = character.codePointAt(0) ?? 0;
    const next = code - last;
    const isExpected = next === step || next === 0;
    bits += isExpected ? 1 : perCharacter;
    step = Math.abs(next) <= 2 ? next : Number.NaN;
    last = code;
  }
  // What says the same again and again is short, however long it is.
  return Math.min(bits, new Set(characters).size * 2 * perCharacter);
}

function alphabetOf(text: string): number {
  const kinds: readonly (readonly [RegExp, number])[] = [
    [/[a-z]/, 26],
    [/[A-Z]/, 26],
    [/[0-9]/, 10],
    [/[ -/:-@[-`{-~]/, 33],
    [/[^ -~]/, 100],
  ];
  return kinds.reduce((sum, [kind, size]) => (kind.test(text) ? sum + size : sum), 0) || 1;
}

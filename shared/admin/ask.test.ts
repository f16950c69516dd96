import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import { askNewPassword, confirm, type Terminal } from './ask.ts';
import { EarlyExit } from './cli.ts';

/** A terminal at which somebody presses keys. */
function terminal() {
  const input = Object.assign(new PassThrough(), { isTTY: true, setRawMode: () => input });
  let shown = '';
  const error = {
    isTTY: true,
    write: (text: string) => {
      shown += text;
    },
  };
  const signal = new AbortController().signal;
  const asking: Terminal = { input: input as unknown as NodeJS.ReadStream, error, signal };
  return { asking, press: (keys: string) => setImmediate(() => input.write(keys)), shown: () => shown };
}

test('the question stands on the line that is edited, and only yes is yes', async () => {
  for (const [keys, answer] of [
    ['y\r', true],
    ['Yes\r', true],
    ['\r', false],
    ['yellow\r', false],
  ] as const) {
    const { asking, press, shown } = terminal();
    press(keys);
    assert.equal(await confirm(asking, 'a.csv exists. Replace it?'), answer);
    // Nothing after the question may wipe it out.
    assert.match(shown().split('\u001b[0J').at(-1) ?? '', /^a\.csv exists\. Replace it\? \[y\/N\] /);
  }
});

test('Ctrl-C and Ctrl-D at a question are an interruption, not a failure', async () => {
  for (const key of ['\u0003', '\u0004']) {
    const { asking, press } = terminal();
    press(key);
    await assert.rejects(confirm(asking, 'Sure?'), (error) => error instanceof EarlyExit && error.exitCode === 130);
  }
});

test('a password is never shown, and both must be the same', async () => {
  const { asking, press, shown } = terminal();
  press('secret\r');
  setTimeout(() => press('secret\r'), 20);
  assert.equal((await askNewPassword(asking, 'acme')).reveal(), 'secret');
  assert.equal(stripVTControlCharacters(shown()), 'Password for acme: \nAgain: \n');
});

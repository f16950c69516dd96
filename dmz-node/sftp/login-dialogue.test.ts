import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { LoginAttempt, LoginOutcome, PartnerSession } from '../partner-view.ts';
import { LoginDialogue } from './login-dialogue.ts';
import type { AuthContext } from './ssh2-seam.ts';

function bench(
  login: (attempt: LoginAttempt) => Promise<LoginOutcome> | LoginOutcome = () => ({ outcome: 'rejected' }),
  asksForCode = false,
) {
  const said: string[] = [];
  const attempts: LoginAttempt[] = [];
  const dialogue = new LoginDialogue(
    {
      login: async (attempt) => {
        attempts.push(attempt);
        return login(attempt);
      },
      onAccepted: () => said.push('session'),
      transcript: () => Buffer.from('transcript'),
      asksForCode: () => asksForCode,
      disconnect: (reason) => said.push(`disconnect ${reason}`),
    },
    6,
  );
  let answer: (responses: unknown) => void = () => undefined;
  const send = async (method: string, fields: Partial<AuthContext> = {}): Promise<void> => {
    dialogue.handle({
      username: 'acme',
      method,
      ...fields,
      accept: () => said.push('accept'),
      reject: (methods, partial) => said.push(`${partial ? 'partial ' : ''}${methods.join()}`),
      prompt: (prompts, _title, _text, answered) => {
        said.push(`prompt ${prompts.map(({ prompt }) => prompt).join('')}`);
        answer = answered;
      },
    });
    await turn();
  };
  const reply = async (responses: unknown): Promise<void> => {
    answer(responses);
    await turn();
  };
  return { dialogue, said, attempts, send, reply };
}

const everything = 'publickey,password,keyboard-interactive';
const key = () => ({ algo: 'ssh-ed25519', data: Buffer.from('key') });
const session = { end: () => Promise.resolve() } as unknown as PartnerSession;

test('everybody is offered the same methods, and nobody is asked about none or hostbased', async () => {
  const { said, attempts, send } = bench();
  await send('none');
  await send('hostbased', { key: key(), signature: Buffer.alloc(64), blob: Buffer.alloc(9) });
  assert.deepEqual(said, [everything, everything]);
  assert.deepEqual(attempts, []);
});

test('an uninvited change of password and a SHA-1 signature are refused without asking', async () => {
  const { said, attempts, send } = bench();
  await send('password', { password: { oldPassword: 'a', newPassword: 'b' } });
  const rsa = { algo: 'ssh-rsa', data: Buffer.from('key') };
  await send('publickey', { key: rsa, signature: Buffer.alloc(256), blob: Buffer.alloc(9) });
  await send('publickey', { key: rsa });
  assert.deepEqual(said, [everything, everything, everything]);
  assert.deepEqual(attempts, []);
});

test('names the algorithm as the client wrote it, and shows what the session identifier is made of with a signature', async () => {
  const { attempts, send } = bench(() => ({ outcome: 'key-acceptable' }));
  const rsa = { algo: 'rsa-sha2-512', data: Buffer.from('key') };
  await send('publickey', { key: rsa });
  assert.equal(attempts[0]?.method === 'key-probe' && attempts[0].algorithm, 'rsa-sha2-512');
  await send('publickey', { key: rsa, signature: Buffer.from('signature'), blob: Buffer.from('signed') });
  assert.equal(attempts[1]?.method === 'key' && String(attempts[1].transcript), 'transcript');
});

test('after a key that owes a one-time code only that is asked for, and what comes as a password is one', async () => {
  const owing = { outcome: 'continue', methods: ['code'] } as const;
  const { said, attempts, send, reply } = bench(({ method }) => (method === 'key' ? owing : { outcome: 'rejected' }), true);
  await send('publickey', { key: key(), signature: Buffer.alloc(64), blob: Buffer.alloc(9) });
  assert.deepEqual(said, ['partial password,keyboard-interactive']);
  await send('keyboard-interactive');
  assert.equal(said.at(-1), 'prompt One-time code: ');
  await reply(['123 456']);
  await send('password', { password: 'ABCDE-FGHIJ' });
  const codes = attempts.flatMap((attempt) => (attempt.method === 'code' ? [attempt.code.reveal()] : []));
  assert.deepEqual(codes, ['123456', 'abcde-fghij']);
});

test('the answer to our one question is a password; a wrong number of answers is none', async () => {
  const { said, attempts, send, reply } = bench(() => ({ outcome: 'accepted', session }));
  await send('keyboard-interactive');
  await reply(['a', 'b']);
  await send('keyboard-interactive');
  await reply(new Error('aborted'));
  await send('keyboard-interactive');
  await reply(['secret']);
  assert.deepEqual(said, ['prompt Password: ', everything, 'prompt Password: ', 'prompt Password: ', 'session', 'accept']);
  assert.equal(attempts[0]?.method === 'password' && attempts[0].password.reveal(), 'secret');
});

test('a second request while one is checked ends the connection and is not checked', async () => {
  const { said, attempts, send } = bench(() => new Promise(() => undefined));
  await send('password', { password: 'a' });
  await send('password', { password: 'b' });
  assert.deepEqual(said, ['disconnect broken-protocol']);
  assert.equal(attempts.length, 1);
});

test('after a first factor only what is still missing is taken', async () => {
  const { said, send } = bench(() => ({ outcome: 'continue', methods: ['password'] }));
  await send('publickey', { key: key(), signature: Buffer.alloc(64), blob: Buffer.alloc(9) });
  await send('publickey', { key: key() });
  assert.deepEqual(said, ['partial password,keyboard-interactive', 'password,keyboard-interactive']);
});

test('offering keys is no failure, but has an end', async () => {
  const { said, attempts, send } = bench();
  for (let i = 0; i < 20; i++) await send('publickey', { key: key() });
  assert.equal(said.length, 20);
  assert.ok(said.every((line) => line === everything));
  await send('publickey', { key: key() });
  assert.equal(said.at(-1), 'disconnect too-many-attempts');
  assert.equal(attempts.length, 20);
});

test('an endless row of empty requests has an end too', async () => {
  const { said, send } = bench();
  for (let i = 0; i < 60; i++) await send('none');
  assert.ok(said.includes('disconnect too-many-attempts'));
});

test('a session that comes after the connection ended is ended', async () => {
  let decide: (outcome: LoginOutcome) => void = () => undefined;
  const reasons: string[] = [];
  const { dialogue, said, send } = bench(() => new Promise((done) => (decide = done)));
  await send('password', { password: 'a' });
  dialogue.end();
  const late = { end: async (reason: string) => void reasons.push(reason) } as unknown as PartnerSession;
  decide({ outcome: 'accepted', session: late });
  await turn();
  assert.deepEqual(reasons, ['the client left during login']);
  assert.deepEqual(said, []);
});

test('who leaves because an answer takes too long has tried to log in; who offers keys in vain has not', async () => {
  const offer = { key: key() };
  const refused = bench();
  await refused.send('publickey', offer);
  refused.dialogue.end();
  assert.equal(refused.dialogue.attempted, false);
  const waiting = bench(() => new Promise(() => undefined));
  await waiting.send('publickey', offer);
  waiting.dialogue.end();
  assert.equal(waiting.dialogue.attempted, true);
});

test('TO-07: where codes are asked for, everybody is asked, and an empty one is none', async () => {
  const { said, attempts, send, reply } = bench(() => ({ outcome: 'rejected' }), true);
  await send('keyboard-interactive');
  assert.match(said[0] ?? '', /^prompt Password: One-time code/);
  await reply(['secret', ' 123456 ']);
  await send('keyboard-interactive');
  await reply(['secret', '']);
  await send('keyboard-interactive');
  await reply(['secret']);
  const codes = attempts.map((attempt) => attempt.method === 'password' && attempt.code?.reveal());
  assert.deepEqual(codes, ['123456', undefined]);
});

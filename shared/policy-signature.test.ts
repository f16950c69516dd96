import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { test } from 'node:test';
import { makePolicy } from '../test/fixtures/policy.ts';
import { SallyportError } from './errors.ts';
import { canonicalJson, signBundle, verifyBundle } from './policy-signature.ts';

const pair = generateKeyPairSync('ed25519');
const keyPem = pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
const publicKey = createPublicKey(pair.privateKey);
const signText = (text: string): string => sign(null, Buffer.from(text), pair.privateKey).toString('base64');
const refuses = (text: string, signature: string, pattern: RegExp, key = publicKey): void =>
  assert.throws(
    () => verifyBundle(text, signature, key),
    (error) => error instanceof SallyportError && error.code === 'policy-refused' && pattern.test(error.message),
  );

test('a signed bundle verifies and comes back equal', () => {
  const bundle = makePolicy();
  const signed = signBundle(bundle, keyPem);
  assert.deepEqual(verifyBundle(signed.bundle, signed.signature, publicKey), bundle);
  const { rules, ...rest } = bundle;
  assert.deepEqual(signBundle({ rules, ...rest }, keyPem), signed, 'the order of members does not matter');
});

test('canonical JSON sorts, leaves out what is undefined and adds no white space', () => {
  assert.equal(
    canonicalJson({ b: [1, { z: null, a: 'ü"' }], a: undefined, A: true }),
    '{"A":true,"b":[1,{"a":"ü\\"","z":null}]}',
  );
});

test('refuses any changed byte, another signature and another key', () => {
  const { bundle, signature } = signBundle(makePolicy(), keyPem);
  refuses(bundle.replace('accounting', 'elsewhere!'), signature, /signature/);
  refuses(bundle, signText('other'), /signature/);
  refuses(bundle, '', /signature/);
  refuses(bundle, `${signature}\n`, /signature/);
  refuses(bundle, signature, /signature/, createPublicKey(generateKeyPairSync('ed25519').privateKey));
  refuses(bundle, signature, /signature/, createPublicKey(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey));
});

test('refuses a text that is signed but not canonical, not a bundle, or says a thing twice', () => {
  const { bundle } = signBundle(makePolicy(), keyPem);
  const spaced = JSON.stringify(JSON.parse(bundle), null, 1);
  refuses(spaced, signText(spaced), /canonical/);
  const doubled = bundle.replace('"number":1', '"number":9,"number":1');
  refuses(doubled, signText(doubled), /canonical/);
  const exponent = bundle.replace('"number":1', '"number":1e0');
  refuses(exponent, signText(exponent), /canonical/);
  refuses('{', signText('{'), /JSON/);
  const extra = canonicalJson({ ...makePolicy(), backdoor: true });
  refuses(extra, signText(extra), /schema/);
});

test('does not sign a bundle that breaks its schema', () => {
  assert.throws(() => signBundle(makePolicy({ number: 0 }), keyPem), /the policy bundle is wrong: number/);
});

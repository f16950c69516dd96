import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SallyportError } from '../errors.ts';
import { fileFailure, fromFailure, toFailure } from './file-failure.ts';

const errno = (code: string): Error => Object.assign(new Error(`${code}: of a test`), { code });

test('a full disk, a broken disk and a fault of ours are told apart', () => {
  const codes = {
    'no-space': [fileFailure(errno('ENOSPC'), 'write', 'f'), fileFailure(errno('EDQUOT'), 'flush', 'f')],
    'store-suspect': [
      fileFailure(errno('EIO'), 'write', 'f'),
      fileFailure(errno('EROFS'), 'create', 'f'),
      fileFailure(errno('EIO'), 'flush', 'f'),
      fileFailure(errno('EBADF'), 'flush', 'f'),
    ],
    internal: [fileFailure(errno('EEXIST'), 'create', 'f'), fileFailure(new Error('no code'), 'write', 'f')],
  };
  for (const [code, errors] of Object.entries(codes)) for (const error of errors) assert.equal(error.code, code, error.message);
});

test('an error keeps its code, fields and cause on the way between threads', () => {
  const error = fromFailure(structuredClone(toFailure(fileFailure(errno('ENOSPC'), 'write', 'f'))));
  assert.equal(error.code, 'no-space');
  assert.deepEqual(error.fields, { path: 'f', step: 'write', errno: 'ENOSPC' });
  assert.match((error.cause as Error).message, /ENOSPC/);
});

test('an error that has its meaning already keeps it', () => {
  const error = new SallyportError('sealed-damaged', 'of a test');
  assert.equal(fileFailure(error, 'read', 'f'), error);
});

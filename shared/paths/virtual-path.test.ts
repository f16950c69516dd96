/** What a partner's text may name, and that nothing a partner writes leaves the root. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SallyportError } from '../errors.ts';
import {
  belowInbox,
  componentsOf,
  inbox,
  isWithin,
  joinPath,
  nameOf,
  outbox,
  parentOf,
  parseVirtualPath,
  pathKey,
  root,
  type VirtualPath,
} from './virtual-path.ts';

const badName = (error: unknown): boolean => error instanceof SallyportError && error.code === 'bad-name';

const hostilePart = fc.oneof(
  fc.constantFrom('..', '.', '', 'a', '...', '. .', '.. ', '\\..', '%2e%2e', '‥', '．．', 'é', 'e\u0301', '\u202e', '\0', '\r\n'),
  fc.string({ unit: 'binary', maxLength: 12 }),
  fc.string({ unit: 'grapheme', maxLength: 12 }),
);
const hostileText = fc.array(hostilePart, { maxLength: 12 }).map((parts) => parts.join('/'));

function parsed(raw: Buffer | string, base = root): ReturnType<typeof parseVirtualPath> | undefined {
  try {
    return parseVirtualPath(raw, base);
  } catch (error) {
    assert.ok(badName(error), `threw something other than bad-name: ${error}`);
    return undefined;
  }
}

test('resolves dots, doubled and trailing slashes, relative to a base', () => {
  assert.equal(parseVirtualPath('/Inbox//a/./b/'), '/Inbox/a/b');
  assert.equal(parseVirtualPath('b/../c.csv', inbox), '/Inbox/c.csv');
  assert.equal(parseVirtualPath('', outbox), outbox);
  assert.equal(parseVirtualPath('.'), root);
  assert.equal(parseVirtualPath(Buffer.from('/Inbox/ä.csv')), '/Inbox/ä.csv');
});

test('stays at the root however many times it is told to go up', () => {
  assert.equal(parseVirtualPath('../../../../etc/passwd', inbox), '/etc/passwd');
  assert.equal(parseVirtualPath('/../..'), root);
});

test('refuses bytes that are not UTF-8 instead of folding them together', () => {
  for (const bytes of [[0xff], [0xc3, 0x28], [0xed, 0xa0, 0x80], [0xc0, 0xae, 0xc0, 0xae], [0x61, 0xe2, 0x82]]) {
    assert.throws(() => parseVirtualPath(Buffer.from(bytes)), badName);
  }
});

test('refuses a name with U+FFFD, which is what somebody else made of invalid bytes', () => {
  assert.throws(() => parseVirtualPath('a\ufffd.csv'), badName);
});

test('refuses a forbidden component even when a later ".." takes it away', () => {
  assert.throws(() => parseVirtualPath('/Inbox/a\nb/../c'), badName);
});

test('counts length in bytes: 127 × é fits, 128 × é does not', () => {
  assert.equal(nameOf(parseVirtualPath(`/Inbox/${'é'.repeat(127)}`)), 'é'.repeat(127));
  assert.throws(() => parseVirtualPath(`/Inbox/${'é'.repeat(128)}`), badName);
});

test('keeps a path at 1024 bytes and 32 components and refuses one more', () => {
  const deep = `/${Array(32).fill('d').join('/')}`;
  assert.equal(componentsOf(parseVirtualPath(deep)).length, 32);
  assert.throws(() => parseVirtualPath(`${deep}/d`), badName);
  const long = `/${Array(4).fill('x'.repeat(255)).join('/')}`;
  assert.equal(Buffer.byteLength(parseVirtualPath(long)), 1024);
  assert.throws(() => parseVirtualPath(`/y${long.slice(2)}/z`), badName);
  assert.throws(() => parseVirtualPath('./'.repeat(3000)), badName);
});

test('names that are equal after NFC have one key and keep their own display', () => {
  const composed = parseVirtualPath('/Inbox/caf\u00e9');
  const decomposed = parseVirtualPath('/Inbox/cafe\u0301');
  assert.notEqual(composed, decomposed);
  assert.equal(pathKey(composed), pathKey(decomposed));
  assert.ok(isWithin(parseVirtualPath('/Inbox/cafe\u0301/x'), composed));
});

test('knows name, parent and containment', () => {
  const path = parseVirtualPath('/Inbox/a/b.csv');
  assert.equal(nameOf(path), 'b.csv');
  assert.equal(nameOf(root), '/');
  assert.equal(parentOf(path), '/Inbox/a');
  assert.equal(parentOf(inbox), root);
  assert.equal(parentOf(root), root);
  assert.ok(isWithin(path, inbox) && isWithin(inbox, inbox) && isWithin(path, root));
  assert.ok(!isWithin(parseVirtualPath('/Inbox2/a'), inbox));
});

test('gives the path below the Inbox and refuses any other', () => {
  assert.equal(belowInbox(parseVirtualPath('/Inbox/a/b.csv')), 'a/b.csv');
  for (const other of [root, inbox, outbox, parseVirtualPath('/Inboxes/a')]) assert.throws(() => belowInbox(other), badName);
});

test('joins one name and resolves nothing in it', () => {
  assert.equal(joinPath(inbox, 'a'), '/Inbox/a');
  assert.equal(joinPath(root, 'a'), '/a');
  for (const name of ['..', '.', '', 'a/b', '/a']) assert.throws(() => joinPath(inbox, name), badName);
});

test('any text: the result is canonical, never escapes, and parsing it again changes nothing', () => {
  fc.assert(
    fc.property(hostileText, fc.boolean(), (text, bytes) => {
      const path = parsed(bytes ? Buffer.from(text) : text, inbox);
      if (path === undefined) return;
      assert.equal(parseVirtualPath(path), path);
      assert.equal(parseVirtualPath(Buffer.from(path)), path);
      assert.ok(path.startsWith('/') && (path === '/' || !path.endsWith('/')));
      for (const part of componentsOf(path)) assert.ok(part !== '' && part !== '.' && part !== '..' && !part.includes('/'));
      assert.equal(
        componentsOf(path).reduce<VirtualPath>((at, part) => joinPath(at, part), root),
        path,
      );
    }),
    { numRuns: 2000 },
  );
});

test('any bytes: either a checked path with exactly these characters or bad-name', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      const path = parsed(Buffer.from(bytes));
      if (path !== undefined) assert.ok(!path.includes('\ufffd') && path.isWellFormed());
    }),
    { numRuns: 2000 },
  );
});

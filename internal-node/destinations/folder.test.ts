/** Delivery into a folder: the conformance suite, and what is special about folders. */
import assert from 'node:assert/strict';
import { statSync, watch } from 'node:fs';
import { chmod, link, lstat, mkdir, mkdtemp, readdir, readlink, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { newItemId } from '../../shared/ids.ts';
import { destinationConformance, filesBelow } from '../../test/conformance/destination.ts';
import { eventually } from '../../test/fixtures/eventually.ts';
import type { Published } from '../destination.ts';
import { FolderDestination, type FolderOptions } from './folder.ts';

destinationConformance('a folder', async (folder) => ({
  destination: new FolderDestination({ name: 'files', folder, onExisting: 'number', makeFolders: 'all', fileMode: 0o640 }),
  visible: () => filesBelow(folder),
}));

interface Scene extends AsyncDisposable {
  readonly folder: string;
  readonly outside: string;
  readonly destination: FolderDestination;
  /** Makes a draft and publishes it as far as that goes. */
  deliver(content: string, ...components: string[]): Promise<Published>;
}

async function scene(options: Partial<FolderOptions> = {}): Promise<Scene> {
  const top = await mkdtemp(join(tmpdir(), 'sallyport-folder-'));
  const [folder, outside] = [join(top, 'in'), join(top, 'outside')];
  await mkdir(folder);
  await mkdir(outside);
  const destination = new FolderDestination({
    name: 'files',
    folder,
    onExisting: 'number',
    makeFolders: 'all',
    fileMode: 0o640,
    ...options,
  });
  const deliver = async (content: string, ...components: string[]) => {
    const item = newItemId();
    await writeFile(await destination.stage(item), content, { flag: 'wx', mode: 0o600 });
    const facts = await destination.keep(item);
    const file = await destination.plan({ partner: 'acme', components });
    const outcome = await destination.publish(item, facts, file, () => undefined);
    await destination.forget(item);
    return outcome;
  };
  return { folder, outside, destination, deliver, [Symbol.asyncDispose]: () => rm(top, { recursive: true, force: true }) };
}

const refused = { code: 'destination-unavailable' };

test('a component that is a link is refused and not followed', async () => {
  await using s = await scene();
  await symlink(s.outside, join(s.folder, 'acme'));
  await assert.rejects(s.deliver('x', 'a.csv'), refused);
  await rm(join(s.folder, 'acme'));
  await mkdir(join(s.folder, 'acme'));
  await symlink(s.outside, join(s.folder, 'acme', 'sub'));
  await assert.rejects(s.deliver('x', 'sub', 'a.csv'), refused);
  assert.deepEqual(await filesBelow(s.outside), {});
});

test('a link at the final name is neither followed nor replaced', async () => {
  await using s = await scene();
  await mkdir(join(s.folder, 'acme'));
  await symlink(join(s.outside, 'target'), join(s.folder, 'acme', 'a.csv'));
  assert.equal(await s.deliver('x', 'a.csv'), 'published');
  assert.deepEqual(await filesBelow(s.outside), {});
  assert.deepEqual(await filesBelow(s.folder), { 'acme/a (2).csv': 'x' });
  assert.equal(await readlink(join(s.folder, 'acme', 'a.csv')), join(s.outside, 'target'));
  await assert.rejects(s.destination.open('acme/a.csv'), { code: 'no-such-file' });
});

test('replaces when its policy says so, and not the target of a link', async () => {
  await using s = await scene({ onExisting: 'replace' });
  await s.deliver('old', 'a.csv');
  assert.equal(await s.deliver('new', 'a.csv'), 'replaced');
  assert.deepEqual(await filesBelow(s.folder), { 'acme/a.csv': 'new' });
  await writeFile(join(s.outside, 'target'), 'kept');
  await symlink(join(s.outside, 'target'), join(s.folder, 'acme', 'b.csv'));
  await s.deliver('own', 'b.csv');
  assert.ok((await lstat(join(s.folder, 'acme', 'b.csv'))).isFile());
  assert.deepEqual(await filesBelow(s.outside), { target: 'kept' });
});

test('waits when the name must be free and is not', async () => {
  await using s = await scene({ onExisting: 'fail' });
  await s.deliver('old', 'a.csv');
  await assert.rejects(s.deliver('new', 'a.csv'), refused);
  assert.deepEqual(await filesBelow(s.folder), { 'acme/a.csv': 'old' });
});

test('waits when a file has the name of a needed folder', async () => {
  await using s = await scene();
  await s.deliver('file', 'a');
  await assert.rejects(s.deliver('x', 'a', 'b'), refused);
});

test('a name that this draft has already counts as published', async () => {
  await using s = await scene();
  const item = newItemId();
  await writeFile(await s.destination.stage(item), 'x', { mode: 0o600 });
  const facts = await s.destination.keep(item);
  const file = await s.destination.plan({ partner: 'acme', components: ['a'] });
  await link(s.destination.draftPath(item), join(s.folder, file));
  assert.equal(await s.destination.publish(item, facts, file, () => undefined), 'published');
  assert.equal(await s.destination.standing(item, facts, file), 'published');
  await s.destination.forget(item);
  assert.deepEqual(await s.destination.drafts(), []);
});

test('delivered files have the mode of the configuration, folders 0750 at most', async () => {
  await using s = await scene({ fileMode: 0o604 });
  await s.deliver('x', 'sub', 'a');
  assert.equal((await stat(join(s.folder, 'acme', 'sub', 'a'))).mode & 0o777, 0o604);
  assert.equal(
    (await stat(join(s.folder, 'acme', 'sub'))).mode & 0o027,
    0o020 & (await stat(join(s.folder, 'acme', 'sub'))).mode,
  );
});

test('a missing folder is unavailable, and nothing is made in its place', async () => {
  await using s = await scene();
  await rename(s.folder, `${s.folder}-unmounted`);
  await assert.rejects(s.destination.stage(newItemId()), refused);
  await assert.rejects(s.destination.space(), refused);
  await assert.rejects(stat(s.folder), { code: 'ENOENT' });
});

test('a staging folder that is open to others, or lost its mark, is refused', async () => {
  await using s = await scene();
  const item = newItemId();
  await writeFile(await s.destination.stage(item), 'x', { mode: 0o600 });
  const staging = join(s.folder, '.sallyport-staging');
  await chmod(staging, 0o755);
  await assert.rejects(s.destination.drafts(), refused);
  await chmod(staging, 0o700);
  await rm(join(staging, 'place'));
  await assert.rejects(s.destination.drafts(), refused);
  await assert.rejects(s.destination.keep(item), refused);
});

test('a folder that takes no files is unavailable', async () => {
  // Not even root can make files there.
  const destination = new FolderDestination({
    name: 'files',
    folder: '/proc',
    onExisting: 'number',
    makeFolders: 'all',
    fileMode: 0o640,
  });
  await assert.rejects(destination.stage(newItemId()), refused);
  await assert.rejects(destination.plan({ partner: 'acme', components: ['a'] }), refused);
});

test('drafts are named after item ids only', async () => {
  await using s = await scene();
  await assert.rejects(s.destination.stage('../x'), { code: 'internal' });
  assert.throws(() => s.destination.draftPath('place'), { code: 'internal' });
});

test('many deliveries at the same time share the staging folder, and leave nothing open', async () => {
  await using s = await scene();
  await s.deliver('first', 'first');
  const before = (await readdir('/proc/self/fd')).length;
  const names = Array.from({ length: 200 }, (_, n) => `n${n}`);
  await Promise.all(names.map((name) => s.deliver(name, name)));
  assert.equal((await readdir('/proc/self/fd')).length, before);
  const expected = Object.fromEntries(names.map((name) => [`acme/${name}`, name]));
  assert.deepEqual(await filesBelow(s.folder), { ...expected, 'acme/first': 'first' });
  assert.deepEqual(await s.destination.drafts(), []);
});

test('a draft that is no file is not published', async () => {
  await using s = await scene();
  const item = newItemId();
  await symlink(join(s.outside, 'target'), await s.destination.stage(item));
  await assert.rejects(s.destination.keep(item), refused);
});

test('where files are replaced, a crash before the step leaves a draft and one behind it a published file', async () => {
  await using s = await scene({ onExisting: 'replace' });
  await s.deliver('old', 'a');
  const item = newItemId();
  await writeFile(await s.destination.stage(item), 'new', { mode: 0o600 });
  const facts = await s.destination.keep(item);
  const draft = s.destination.draftPath(item);
  await link(draft, `${draft}.done`);
  assert.equal(await s.destination.standing(item, facts, 'acme/a'), 'draft');
  assert.deepEqual(await filesBelow(s.folder), { 'acme/a': 'old' });
  await link(draft, `${draft}.done`);
  await rename(draft, join(s.folder, 'acme', 'a'));
  assert.equal(await s.destination.standing(item, facts, 'acme/a'), 'published');
  await s.destination.forget(item);
  assert.deepEqual(await filesBelow(s.folder), { 'acme/a': 'new' });
  assert.deepEqual(await s.destination.drafts(), []);
});

test('a published file is known as such after its taker removed it, and its folder', async () => {
  for (const onExisting of ['number', 'replace'] as const) {
    await using s = await scene({ onExisting });
    const item = newItemId();
    await writeFile(await s.destination.stage(item), 'x', { mode: 0o600 });
    const facts = await s.destination.keep(item);
    const file = await s.destination.plan({ partner: 'acme', components: ['sub', 'a'] });
    await s.destination.publish(item, facts, file, () => undefined);
    await rm(join(s.folder, 'acme'), { recursive: true });
    assert.equal(await s.destination.standing(item, facts, file), 'published');
  }
});

test('a disk that vanishes under a running node is waited for; nothing is written in its place', async () => {
  await using s = await scene();
  await s.deliver('before', 'a');
  const away = `${s.folder}-away`;
  await rename(s.folder, away);
  await mkdir(s.folder); // the empty place where it was mounted
  await assert.rejects(s.deliver('meanwhile', 'b'), refused);
  assert.deepEqual(await readdir(s.folder), []);
  assert.deepEqual(await s.destination.drafts(), []);
  await rm(s.folder, { recursive: true });
  await rename(away, s.folder);
  await s.deliver('after', 'c');
  assert.deepEqual(await filesBelow(s.folder), { 'acme/a': 'before', 'acme/c': 'after' });
});

test('FD-29: who watches the folder sees a file under its final name only, and whole', async () => {
  await using s = await scene();
  await mkdir(join(s.folder, 'acme'));
  const watcher = watch(join(s.folder, 'acme'));
  const seen = new Set<string>();
  watcher.on('change', (_kind, name) => seen.add(`${String(name)} ${statSync(join(s.folder, 'acme', String(name))).size}`));
  const content = 'x'.repeat(1_000_000);
  assert.equal(await s.deliver(content, 'x.bin'), 'published');
  await eventually('the watcher sees it', () => seen.size > 0);
  watcher.close();
  assert.deepEqual([...seen], [`x.bin ${content.length}`]);
});

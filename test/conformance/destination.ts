/** What every destination must do. Each implementation runs this with a way to make one on an empty folder. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Destination, DraftFacts } from '../../internal-node/destination.ts';
import { newItemId } from '../../shared/ids.ts';

export interface DestinationUnderTest {
  readonly destination: Destination;
  /** What consumers see: path → content. */
  visible(): Promise<Record<string, string>>;
}

type Make = (folder: string) => Promise<DestinationUnderTest>;
const allowed = () => undefined;

const checking =
  (name: string, make: Make) =>
  (title: string, body: (under: DestinationUnderTest) => Promise<void>): void => {
    test(`${name}: ${title}`, async () => {
      const folder = await mkdtemp(join(tmpdir(), 'sallyport-destination-'));
      try {
        await body(await make(folder));
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    });
  };

/** What holds for drafts, wherever they end. @param make On an empty folder. */
export function draftConformance(name: string, make: Make): void {
  const check = checking(name, make);

  check('shows nothing before the file is published, then all of it at once', async ({ destination, visible }) => {
    const { item, facts } = await draft(destination, 'content');
    const file = await destination.plan({ partner: 'acme', components: ['a', 'b.csv'] });
    assert.deepEqual(await visible(), {});
    assert.deepEqual(await destination.drafts(), [item]);
    assert.equal(await destination.publish(item, facts, file, allowed), 'published');
    assert.deepEqual(await visible(), { 'acme/a/b.csv': 'content' });
    await destination.forget(item);
    assert.deepEqual(await destination.drafts(), []);
  });

  check('tells a draft from a published one, and from one that somebody removed', async ({ destination }) => {
    const { item, facts } = await draft(destination, 'content');
    const file = await destination.plan({ partner: 'acme', components: ['x'] });
    assert.equal(await destination.standing(item, facts, file), 'draft');
    await destination.publish(item, facts, file, allowed);
    for (let look = 0; look < 2; look += 1) assert.equal(await destination.standing(item, facts, file), 'published');
    const elsewhere = { ...facts, place: 'another' };
    await assert.rejects(destination.standing(item, elsewhere, file), { code: 'destination-unavailable' });
    await destination.forget(item);

    const removed = await draft(destination, 'content');
    await rm(destination.draftPath(removed.item));
    assert.equal(await destination.standing(removed.item, removed.facts, file), 'missing');
  });

  check('publishes no draft but the one that was kept', async ({ destination, visible }) => {
    const { item, facts } = await draft(destination, 'content');
    const file = await destination.plan({ partner: 'acme', components: ['x'] });
    await writeFile(`${destination.draftPath(item)}-other`, 'half of anoth', { mode: 0o600 });
    await rename(`${destination.draftPath(item)}-other`, destination.draftPath(item));
    await assert.rejects(destination.publish(item, facts, file, allowed), { code: 'destination-unavailable' });
    assert.equal(await destination.standing(item, facts, file), 'missing');
    assert.deepEqual(await visible(), {});
  });

  check('does nothing when the last check says no', async ({ destination, visible }) => {
    const { item, facts } = await draft(destination, 'content');
    const file = await destination.plan({ partner: 'acme', components: ['x'] });
    const refuse = () => {
      throw new Error('the lease is over');
    };
    await assert.rejects(destination.publish(item, facts, file, refuse));
    assert.deepEqual(await visible(), {});
    assert.equal(await destination.standing(item, facts, file), 'draft');
    assert.equal(await destination.publish(item, facts, file, allowed), 'published');
  });

  check('begins a draft anew and discards one', async ({ destination }) => {
    const { item } = await draft(destination, 'old');
    await writeFile(await destination.stage(item), 'new', { flag: 'wx' });
    assert.equal(await readFile(destination.draftPath(item), 'utf8'), 'new');
    await destination.discard(item);
    await destination.discard(item);
    assert.deepEqual(await destination.drafts(), []);
  });

  check('refuses components that are no plain names', async ({ destination, visible }) => {
    for (const bad of ['..', '.', '', 'a/b', 'a\0b']) {
      await assert.rejects(destination.plan({ partner: 'acme', components: [bad, 'x'] }));
    }
    assert.deepEqual(await visible(), {});
  });

  check('knows its free space', async ({ destination }) => {
    const { freeBytes, totalBytes } = await destination.space();
    assert.ok(freeBytes >= 0 && totalBytes > 0 && freeBytes <= totalBytes);
  });
}

/** Of destinations that keep files. @param make On an empty folder; an existing file must lead to a numbered name. */
export function destinationConformance(name: string, make: Make): void {
  draftConformance(name, make);
  const check = checking(name, make);

  check('keeps an existing file, also one that came after the plan', async ({ destination, visible }) => {
    const target = { partner: 'acme', components: ['x.csv'] };
    const [one, two, three] = [await draft(destination, '1'), await draft(destination, '2'), await draft(destination, '3')];
    const publish = async ({ item, facts }: Draft, file: string) => await destination.publish(item, facts, file, allowed);
    const file = await destination.plan(target);
    assert.equal(await publish(one, file), 'published');
    assert.equal(await publish(two, file), 'taken');
    assert.deepEqual(await visible(), { 'acme/x.csv': '1' });
    assert.equal(await publish(two, await destination.plan(target)), 'published');
    assert.equal(await publish(three, await destination.plan(target)), 'published');
    assert.deepEqual(await visible(), { 'acme/x.csv': '1', 'acme/x (2).csv': '2', 'acme/x (3).csv': '3' });
  });

  check('opens what it delivered, and only that', async ({ destination }) => {
    const { item, facts } = await draft(destination, 'content');
    const file = await destination.plan({ partner: 'acme', components: ['x'] });
    await destination.publish(item, facts, file, allowed);
    await using handle = await destination.open(file);
    assert.equal(await handle.readFile('utf8'), 'content');
    await assert.rejects(destination.open('acme/none'), { code: 'no-such-file' });
  });
}

interface Draft {
  readonly item: string;
  readonly facts: DraftFacts;
}

async function draft(destination: Destination, content: string): Promise<Draft> {
  const item = newItemId();
  await writeFile(await destination.stage(item), content, { mode: 0o600, flag: 'wx' });
  return { item, facts: await destination.keep(item) };
}

/** Visible files below a folder; what begins with `.sallyport` is ours and hidden. */
export async function filesBelow(folder: string): Promise<Record<string, string>> {
  await mkdir(folder, { recursive: true });
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1));
  const shown = paths.filter((path) => !path.split('/').some((part) => part.startsWith('.sallyport')));
  return Object.fromEntries(
    await Promise.all(shown.map(async (path) => [path, await readFile(join(folder, path), 'utf8')] as const)),
  );
}

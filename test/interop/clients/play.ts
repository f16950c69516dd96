/** One client in one case: its names, its local files, and what must be true afterwards. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually } from '../../../scripts/site/walk.ts';
import { type Client, type GivenUp, joined, type Outcome, type Step } from './client.ts';
import type { RawPartner } from './raw-partner.ts';
import { type DoorWishes, type LocalFile, type Stage, sha256Of } from './stage.ts';

export class Play {
  readonly stage: Stage;
  readonly client: Client;
  readonly #prefix: string;
  readonly #folder: string;

  private constructor(stage: Stage, client: Client, prefix: string, folder: string) {
    this.stage = stage;
    this.client = client;
    this.#prefix = prefix;
    this.#folder = folder;
  }

  static async prepare(stage: Stage, client: Client, caseId: string): Promise<Play> {
    const folder = await mkdtemp(join(await stage.folder('local'), `${client.id}-${caseId}-`));
    return new Play(stage, client, `${client.id}-${caseId}-`, folder);
  }

  /** A name that no other client or case uses. */
  name(text: string): string {
    return `${this.#prefix}${text}`;
  }

  inbox(text: string): string {
    return `/Inbox/${this.name(text)}`;
  }

  /** In the folder whose files stay in the DMZ. */
  held(text: string): string {
    return `/Inbox/held/${this.name(text)}`;
  }

  localPath(name: string): string {
    return join(this.#folder, name);
  }

  /** A new local file of random bytes. */
  async file(name: string, size: number): Promise<LocalFile> {
    return this.fileOf(name, randomBytes(size));
  }

  async fileOf(name: string, bytes: Buffer): Promise<LocalFile> {
    const path = this.localPath(name);
    await writeFile(path, bytes);
    return { path, size: bytes.length, sha256: await sha256Of(path) };
  }

  /** Runs the client. */
  async run(steps: readonly Step[], wishes: DoorWishes = {}): Promise<Outcome> {
    return this.client.run(await this.stage.door(this.client, wishes), steps);
  }

  /** Runs the client, which must be content. */
  async succeed(steps: readonly Step[], wishes: DoorWishes = {}): Promise<Outcome> {
    const outcome = await this.run(steps, wishes);
    assert.ok(outcome.ok, `the client failed: ${outcome.output.trim()}`);
    return outcome;
  }

  /** Runs the client, which must fail and say why. */
  async fail(steps: readonly Step[], wishes: DoorWishes = {}): Promise<Outcome> {
    const outcome = await this.run(steps, wishes);
    assert.ok(!outcome.ok, `the client succeeded: ${outcome.output.trim()}`);
    assert.notEqual(outcome.output.trim(), '', 'the client said nothing');
    return outcome;
  }

  /** The file is inside with these bytes, and both nodes know that it is. @param as Path below the Inbox, as delivered. */
  async arrives(path: string, file: LocalFile, as = path.replace('/Inbox/', '')): Promise<void> {
    const inside = await this.stage.delivered(as);
    assert.equal(inside.size, file.size, 'size inside');
    assert.equal(inside.sha256, file.sha256, 'digest inside');
    const events = await this.stage.traced(path, 'item.confirmed');
    assert.ok(events.includes('item.delivered'), events.join());
  }

  async fetched(path: string, file: LocalFile): Promise<void> {
    assert.equal((await stat(path)).size, file.size, 'size fetched');
    assert.equal(await sha256Of(path), file.sha256, 'digest fetched');
  }

  /** Waits until the inside knows of so many versions of a file that wait in the DMZ. */
  async isHeld(path: string, count = 1): Promise<void> {
    const known = async () => (await this.stage.items(path)).filter(({ state }) => state === 'held').length >= count || undefined;
    await eventually(`${count} versions of ${path} are held`, known);
  }

  /** SHA-256 of the versions of a file that wait in the DMZ, oldest first; staff pull them by this. */
  async heldVersions(path: string, count = 1): Promise<string[]> {
    await this.isHeld(path, count);
    return this.stage.pullHeld(path);
  }

  /** Several uploads at once. */
  async together(steps: readonly Step[]): Promise<void> {
    const { client, stage } = this;
    const outcome = client.together
      ? await client.together(await stage.door(client, {}), steps)
      : joined(await Promise.all(steps.map((step) => this.run([step]))));
    assert.ok(outcome.ok, `the client failed: ${outcome.output.trim()}`);
  }

  /** Begins an upload with the client, which is given up. */
  async giveUp(upload: GivenUp): Promise<void> {
    await this.client.giveUp?.(await this.stage.door(this.client, {}), upload);
  }

  /** Uploads a folder with all that is in it. */
  async mirror(local: string, remote: string): Promise<void> {
    const outcome = await this.client.mirror?.(await this.stage.door(this.client, {}), local, remote);
    assert.ok(outcome?.ok, `the client failed: ${outcome?.output.trim()}`);
  }

  /** An upload of somebody who was cut off after these bytes. */
  async leavePartial(path: string, bytes: Buffer): Promise<void> {
    const raw = await this.stage.raw();
    await raw.begin(path, bytes);
    await raw[Symbol.asyncDispose]();
    await this.stage.sessionsAreOver();
  }

  /** Takes away what waits in the DMZ. @throws when more than that is left of the case. */
  async finish(): Promise<void> {
    await this.stage.pullHeld(this.held(''));
    await this.stage.nothingLeft();
    await rm(this.#folder, { recursive: true });
  }

  /** After a failure: takes away whatever there is, so that the next case is not blamed for it. */
  async sweep(): Promise<void> {
    await this.stage.pullHeld(this.held(''));
    await using raw = await this.stage.raw();
    for (const folder of ['/Inbox', '/Inbox/held']) {
      const own = (await raw.list(folder)).filter((name) => name.startsWith(this.#prefix));
      for (const name of own) await sweepAway(raw, `${folder}/${name}`);
    }
    await rm(this.#folder, { recursive: true });
  }
}

async function sweepAway(raw: RawPartner, path: string): Promise<void> {
  const within = await raw.list(path).catch(() => undefined);
  if (!within) return raw.remove(path).catch(() => undefined);
  for (const name of within.filter((name) => name !== '.' && name !== '..')) await sweepAway(raw, `${path}/${name}`);
  await raw.removeFolder(path).catch(() => undefined);
}

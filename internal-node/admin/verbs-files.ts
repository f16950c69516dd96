/** `ls`, `pull`, `push` and `trace`: what staff do with files, over the admin socket of the running node. */
import { createReadStream } from 'node:fs';
import { lstat, stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { confirm, isInteractive } from '../../shared/admin/ask.ts';
import type { Program, VerbContext } from '../../shared/admin/cli.ts';
import type { AdminClient } from '../../shared/admin/client.ts';
import { formatTime } from '../../shared/admin/output.ts';
import { systemClock } from '../../shared/clock.ts';
import { formatDuration, formatSize } from '../../shared/config/units.ts';
import { SallyportError } from '../../shared/errors.ts';
import { printable } from '../../shared/log.ts';
import { deliveryComponents } from '../../shared/paths/delivery-name.ts';
import { loadMainSettings } from '../config.ts';
import { nodeClient } from '../node-client.ts';
import type { Listing, PushedItem, TraceAnswer } from './api.ts';
import { parsePartnerPath } from './partner-path.ts';
import { pullHeaders } from './routes.ts';
import { saveFile } from './save-file.ts';
import { printTrace } from './trace-text.ts';

/** The admin socket of the node of a configuration file. */
export async function nodeOf(context: Pick<VerbContext, 'configFile' | 'signal' | 'env'>): Promise<AdminClient> {
  const { admin } = await loadMainSettings(context.configFile);
  return nodeClient(context, admin.socket);
}

export function addFileVerbs(program: Program): void {
  addList(program);
  addPull(program);
  addPush(program);
  addTrace(program);
}

interface ListOptions {
  readonly new?: boolean;
  readonly limit: string;
}

function addList(program: Program): void {
  program.verb<ListOptions>(
    {
      usage: 'ls [where]',
      summary: 'list files of partners, newest first: PARTNER[/Inbox|/Outbox][/folder]',
      examples: ['ls --new', 'ls acme/Inbox/2026', 'ls globex/Outbox --json'],
    },
    (command) =>
      command
        .option('--new', 'only what nobody inside has taken and no partner has fetched yet')
        .option('--limit <count>', 'at most so many', '1000'),
    async (context, options, [where]) => {
      const place = where === undefined ? undefined : parsePartnerPath(where);
      const listing = await (await nodeOf(context)).get<Listing>(['v1', 'items'], {
        partner: place?.partner,
        box: place?.box,
        folder: place?.below.replace(/\/$/, ''),
        new: options.new ? 'true' : undefined,
        limit: options.limit,
      });
      const { output } = context;
      if (output.json) return output.document(listing);
      const rows = listing.items.map((item) => [
        `${item.partner}${item.path}`,
        output.isTerminal ? formatSize(item.size) : String(item.size),
        output.isTerminal ? formatTime(item.atMs) : new Date(item.atMs).toISOString(),
        item.duplicateOf === undefined ? item.state : `${item.state}, sent again`,
        output.isTerminal ? item.item.slice(0, 8) : item.item,
      ]);
      if (rows.length === 0) output.note('nothing there');
      else output.table(['NAME', 'SIZE', 'ARRIVED (UTC)', 'STATE', 'ITEM'], rows);
      if (listing.more) output.note(`there are more; show them with --limit ${Number(options.limit) * 10}`);
    },
  );
}

function addPull(program: Program): void {
  program.verb<{ readonly force?: boolean }>(
    {
      usage: 'pull <ref> [to]',
      summary: 'take an item: an id, a prefix of one, a trace, or PARTNER/Inbox/PATH; to a file or folder',
      examples: ['pull acme/Inbox/INV_0231.csv', 'pull 7qk2m4xd /srv/work/ --force'],
    },
    (command) => command.option('-f, --force', 'replace an existing file without asking'),
    async (context, { force = false }, [ref = '', to = '.']) => {
      const { output } = context;
      const node = await nodeOf(context);
      const { headers, content } = await node.download(['v1', 'content'], { ref });
      const name = safeName(decodeURIComponent(headers[pullHeaders.name] ?? ''));
      const target = await targetFile(to, name);
      const overwrite = await mayOverwrite(context, target, force);
      const size = Number(headers[pullHeaders.size]);
      const sha256 = headers[pullHeaders.sha256] ?? '';
      await saveFile(target, content, { size, sha256 }, overwrite);
      // Only now: the bytes are checked and on disk.
      await node.post(['v1', 'pulls', headers[pullHeaders.ticket] ?? '', 'commit']);
      const path = decodeURIComponent(headers[pullHeaders.path] ?? '');
      if (output.json) return output.document({ item: headers[pullHeaders.item], path, file: target, size, sha256 });
      output.line(`${printable(path, 1024)} → ${target}   ${formatSize(size)}   sha256 ${sha256}`);
    },
  );
}

/** The name comes from a partner: it must not lead out of the folder or hide. */
const safeName = (name: string): string => deliveryComponents(basename(name)).at(-1) ?? 'item';

async function targetFile(to: string, name: string): Promise<string> {
  const isFolder =
    to.endsWith('/') ||
    (await stat(to).then(
      (found) => found.isDirectory(),
      () => false,
    ));
  return isFolder ? join(resolve(to), name) : resolve(to);
}

async function mayOverwrite(context: VerbContext, target: string, force: boolean): Promise<boolean> {
  const found = await lstat(target).catch(() => undefined);
  if (!found) return false;
  if (found.isDirectory()) throw new SallyportError('already-exists', `${target} is a folder`);
  if (force) return true;
  if (isInteractive(context) && (await confirm(context, `${target} exists. Replace it?`))) return true;
  throw new SallyportError('already-exists', `${target} exists already`, {
    next: 'name another file, or replace it with --force',
  });
}

function addPush(program: Program): void {
  program.verb(
    {
      usage: 'push <file> <to>',
      summary: 'offer a file to a partner: PARTNER[/Outbox][/NAME]',
      examples: ['push stmt.pdf globex', 'push stmt.pdf globex/Outbox/2026/statement.pdf'],
    },
    () => {},
    async (context, _options, [file = '', to = '']) => {
      const { output } = context;
      const { partner, box, below } = parsePartnerPath(to);
      if (box === 'Inbox')
        throw new SallyportError('usage', 'files are offered in the Outbox; only the partner writes to the Inbox');
      const path = below === '' || below.endsWith('/') ? `${below}${basename(file)}` : below;
      const found = await stat(file).catch((cause: unknown) => {
        throw new SallyportError('no-such-file', `${file} cannot be read`, { next: 'check the name' }, { cause });
      });
      if (!found.isFile()) throw new SallyportError('usage', `${file} is not a file`);
      const node = await nodeOf(context);
      const sent = await node.put<PushedItem>(
        ['v1', 'outbox'],
        { partner, path },
        createReadStream(file, { highWaterMark: 256 * 1024 }),
      );
      const { answer } = sent;
      if (answer.sha256 !== sent.sha256)
        throw new SallyportError('content-mismatch', 'the node took other bytes than were sent; withdraw the item');
      if (output.json) return output.document(answer);
      const expires = formatDuration(Math.max(0, answer.expiresAtMs - systemClock.nowMs()));
      output.line(
        `${partner} sees ${printable(answer.path, 1024)}   ${formatSize(answer.size)}   expires in ${expires}   item ${answer.item.slice(0, 8)}`,
      );
    },
  );
}

function addTrace(program: Program): void {
  program.verb(
    {
      usage: 'trace <ref>',
      summary: 'what happened to an item or in a session, on both nodes: an id, a prefix of one, or PARTNER/Inbox/PATH',
      examples: ['trace acme/Inbox/INV_0231.csv', 'trace 7qk2m4xd --json'],
    },
    () => {},
    async (context, _options, [ref = '']) => {
      if (!ref.includes('/') && ref.length < 4)
        throw new SallyportError('usage', 'a prefix of an id has at least four characters');
      const answer = await (await nodeOf(context)).get<TraceAnswer>(['v1', 'trace'], { ref });
      if (context.output.json) return context.output.document(answer);
      printTrace(answer, context.output);
    },
  );
}

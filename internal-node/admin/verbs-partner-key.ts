/** `partner key add`, `list` and `remove`: the SSH keys of a partner, in the configuration file where he stands. */
import { dirname, join } from 'node:path';
import type { Program, VerbContext } from '../../shared/admin/cli.ts';
import { SallyportError } from '../../shared/errors.ts';
import { type InternalSettings, loadInternalSettings } from '../config.ts';
import type { RegisteredKey } from '../ssh-public-key.ts';
import { publicKeyLines } from './key-texts.ts';
import { addKeys, removeKey, unknownPartner } from './partner-change.ts';
import { readSmallFile } from './read-small-file.ts';

/** @param reload Tells a running node. @returns whether one runs. */
export function addPartnerKeyVerbs(
  program: Program,
  partners: ReturnType<Program['group']>,
  reload: (settings: InternalSettings, context: VerbContext) => Promise<boolean>,
): void {
  const group = program.group('key', 'the SSH keys of a partner', partners);
  program.verb<{ readonly key: string; readonly name?: string; readonly verify?: boolean }>(
    {
      usage: 'add <partner>',
      summary: 'add SSH keys of a partner, and tell the running node',
      examples: ['partner key add acme --key laptop.pub', 'partner key add acme --key - --name "batch server" < key.pub'],
    },
    (command) =>
      command
        .requiredOption('-k, --key <file>', 'file with public keys (OpenSSH, RFC 4716, PuTTY), - for standard input')
        .option('--name <text>', 'what the key is called, instead of what its file says')
        .option('--verify', 'of a FIDO device: it must have asked for a PIN or finger; a touch is not enough'),
    async (context, { key: file, name: keyName, verify = false }, [partner = '']) => {
      const { settings, entry } = await load(context.configFile, partner);
      const lines = publicKeyLines(await readSmallFile(file, context)).map((line) => renamed(line, keyName));
      const existing = entry.keys.map(({ fingerprint }) => fingerprint);
      const added = await addKeys(entry.file, partner, { lines, verify, existing });
      const running = await reload(settings, context);
      if (context.output.json) return context.output.document({ partner, keys: added, running });
      for (const print of added) {
        context.output.line(`+ key ${print} of ${partner}`);
        for (const other of holdersOf(settings, print)) context.output.note(`The same key is registered for ${other}, too.`);
      }
      context.output.line(running ? 'The running node has taken note.' : 'The node does not run; it takes note when it starts.');
    },
    group,
  );
  program.verb(
    {
      usage: 'list <partner>',
      summary: 'list the SSH keys of a partner',
      examples: ['partner key list acme', 'partner key list acme --json'],
    },
    () => {},
    async ({ output, configFile }, _options, [partner = '']) => {
      const { entry } = await load(configFile, partner);
      const keys = entry.keys.map(({ fingerprint, type, comment, added, verify }) => ({
        ...{ fingerprint, type, name: comment, added: added ?? null, verify },
      }));
      if (output.json) return output.document({ partner, keys });
      if (keys.length === 0) return output.note(`${partner} has no keys: sallyport partner key add ${partner} --key FILE`);
      const rows = keys.map(({ fingerprint, type, name, added }) => [fingerprint, type, added ?? '', name]);
      output.table(['FINGERPRINT', 'TYPE', 'ADDED', 'NAME'], rows);
    },
    group,
  );
  program.verb(
    {
      usage: 'remove <partner> <fingerprint>',
      summary: 'take an SSH key from a partner; his live sessions end',
      examples: ['partner key remove acme SHA256:kKzGg8', 'partner key remove acme laptop --json'],
    },
    () => {},
    async (context, _options, [partner = '', wanted = '']) => {
      const { output, configFile } = context;
      const { settings, entry } = await load(configFile, partner);
      const key = chosen(entry.keys, wanted, partner);
      await removeKey(entry.file, partner, entry.keys.indexOf(key));
      const running = await reload(settings, context);
      if (output.json) return output.document({ partner, removed: key.fingerprint, running });
      output.line(
        `- key ${key.fingerprint} of ${partner}; his live sessions ${running ? 'have ended' : 'end when the node starts'}.`,
      );
    },
    group,
  );
}

interface Entry {
  readonly file: string;
  readonly keys: readonly RegisteredKey[];
}

async function load(configFile: string, partner: string): Promise<{ settings: InternalSettings; entry: Entry }> {
  const settings = await loadInternalSettings(configFile);
  const found = settings.partners[partner];
  if (!found) throw unknownPartner(partner, Object.keys(settings.partners));
  const [label = ''] = (settings.partnerSources.get(partner) ?? '').split(/:\d+$/);
  return { settings, entry: { file: join(dirname(settings.file), label), keys: found.keys } };
}

const holdersOf = ({ partners }: InternalSettings, print: string): readonly string[] =>
  Object.entries(partners).flatMap(([name, { keys }]) => (keys.some(({ fingerprint }) => fingerprint === print) ? [name] : []));

function renamed(line: string, name: string | undefined): string {
  if (name === undefined) return line;
  if (name.length > 256 || /[^\x20-\x7e\u00a0-\uffff]/.test(name))
    throw new SallyportError('usage', '--name: at most 256 printable characters');
  const [type, blob] = line.split(/[ \t]+/);
  return `${type} ${blob} ${name}`.trim();
}

/** By the beginning of its fingerprint, with or without `SHA256:`, or by its whole name. */
function chosen(keys: readonly RegisteredKey[], wanted: string, partner: string): RegisteredKey {
  const print = wanted.startsWith('SHA256:') ? wanted : `SHA256:${wanted}`;
  const found = keys.filter(
    ({ fingerprint, comment }) => (wanted.length >= 4 && fingerprint.startsWith(print)) || comment === wanted,
  );
  const [only] = found;
  if (only && found.length === 1) return only;
  const next = `sallyport partner key list ${partner} shows them`;
  if (only) throw new SallyportError('usage', `several keys of ${partner} are called so: give more of the fingerprint`, { next });
  throw new SallyportError('no-such-file', `${partner} has no key "${wanted}"`, { next });
}

/** `partner sheet`: what a partner needs to connect, to be sent to him. */
import type { Program } from '../../shared/admin/cli.ts';
import { SallyportError } from '../../shared/errors.ts';
import type { DoorFacts } from '../../shared/tunnel/messages.ts';
import { loadInternalSettings } from '../config.ts';
import { nodeClient } from '../node-client.ts';
import { sheetMarkdown, sheetOf, sheetText } from '../partner-sheet.ts';
import { unknownPartner } from './partner-change.ts';

interface SheetOptions {
  readonly host?: string;
  readonly format: string;
}

export function addSheetVerb(program: Program, group: ReturnType<Program['group']>): void {
  program.verb<SheetOptions>(
    {
      usage: 'sheet <name>',
      summary: 'what a partner needs to connect: addresses, fingerprints, folders; nothing secret',
      examples: ['partner sheet acme --host sftp.example.com', 'partner sheet acme --format md > acme.md'],
    },
    (command) =>
      command
        .option('--host <name>', 'name under which the partner reaches the DMZ node; default: policy.host')
        .option('--format <format>', 'text, md or json', 'text'),
    async (context, { host, format }, [name = '']) => {
      const { configFile, output } = context;
      if (!['text', 'md', 'json'].includes(format)) throw new SallyportError('usage', '--format is text, md or json');
      const settings = await loadInternalSettings(configFile);
      if (!Object.hasOwn(settings.partners, name)) throw unknownPartner(name, Object.keys(settings.partners));
      const reached = host ?? settings.policy.host;
      if (reached === undefined) {
        throw new SallyportError('usage', 'under which name do partners reach the DMZ node? --host NAME, or policy.host');
      }
      const { doors } = await nodeClient(context, settings.admin.socket).get<{ doors: DoorFacts | null }>(['v1', 'doors']);
      if (!doors) throw new SallyportError('tunnel-down', 'the DMZ node cannot be asked for its ports and fingerprints');
      const sheet = sheetOf(settings, name, reached, doors);
      if (output.json || format === 'json') return output.document(sheet);
      output.line(format === 'md' ? sheetMarkdown(sheet) : sheetText(sheet));
    },
    group,
  );
}

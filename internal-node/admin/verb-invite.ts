/** `partner invite`: a code with which a partner sets his password himself, at his first login over SFTP. */
import type { Program } from '../../shared/admin/cli.ts';
import { parseDuration, UnitError } from '../../shared/config/units.ts';
import { SallyportError } from '../../shared/errors.ts';
import { loadMainSettings } from '../config.ts';
import { nodeClient } from '../node-client.ts';

interface InviteOptions {
  readonly valid?: string;
  readonly withdraw?: boolean;
}

export function addInviteVerb(program: Program, group: ReturnType<Program['group']>): void {
  program.verb<InviteOptions>(
    {
      usage: 'invite <name>',
      summary: 'make a code, good once, with which a partner sets his password at his next login over SFTP',
      examples: ['partner invite acme', 'partner invite acme --valid 12h'],
    },
    (command) =>
      command
        .option('--valid <duration>', 'how long the code is good; default: authentication.passwords.invitation')
        .option('--withdraw', 'the code that was made before is void'),
    async (context, { valid, withdraw }, [name = '']) => {
      const { configFile, output } = context;
      const { admin } = await loadMainSettings(configFile);
      const client = nodeClient(context, admin.socket);
      const at = ['v1', 'partners', name, 'invitation'] as const;
      if (withdraw) {
        await client.post([...at, 'withdraw']);
        if (output.json) output.document({ partner: name, invited: false });
        else output.line(`- ${name}: the code is void`);
        return;
      }
      const validMs = valid === undefined ? undefined : durationOf(valid);
      const { code, expiresAtMs } = await client.post<{ code: string; expiresAtMs: number }>(at, { validMs });
      const expires = new Date(expiresAtMs).toISOString();
      if (output.json) return output.document({ partner: name, code, expires });
      output.line(`+ ${name}: ${code}`);
      output.line(`  good once, until ${expires}. It is not shown again: tell it to him on a way of its own.`);
      output.line(`  He types it as his password at a login over SFTP (sftp ${name}@…) and is asked for a new one, twice.`);
    },
    group,
  );
}

function durationOf(text: string): number {
  try {
    return parseDuration(text);
  } catch (error) {
    if (error instanceof UnitError) throw new SallyportError('usage', `--valid: ${error.message}`);
    throw error;
  }
}

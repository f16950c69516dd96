/**
 * `partner totp`: sets up the second factor of a partner. The QR code is shown once, and nothing is valid before a code from the
 * app has come back.
 */
import { renderUnicodeCompact } from 'uqr';
import { askSecret, isInteractive } from '../../shared/admin/ask.ts';
import type { Program, VerbContext } from '../../shared/admin/cli.ts';
import { SallyportError } from '../../shared/errors.ts';
import { loadMainSettings } from '../config.ts';
import { nodeClient } from '../node-client.ts';

interface TotpOptions {
  readonly remove?: boolean;
}

const longestLine = 64;

export function addTotpVerb(program: Program, group: ReturnType<Program['group']>): void {
  program.verb<TotpOptions>(
    {
      usage: 'totp <name>',
      summary: 'set up one-time codes for a partner: shows a QR code, then asks for a code from the app',
      examples: ['partner totp acme', 'partner totp acme --remove'],
    },
    (command) => command.option('--remove', 'the password alone is enough again'),
    async (context, { remove }, [name = '']) => {
      const { admin } = await loadMainSettings(context.configFile);
      const client = nodeClient(context, admin.socket);
      const at = ['v1', 'partners', name, 'totp'] as const;
      if (remove) {
        await client.post([...at, 'remove']);
        if (context.output.json) context.output.document({ partner: name, totp: false });
        else context.output.line(`- ${name}: the password is enough again`);
        return;
      }
      if (context.output.json) throw new SallyportError('usage', 'setting up a second factor is a dialogue: leave out --json');
      const { uri } = await client.post<{ uri: string }>(at);
      const { output } = context;
      output.line(renderUnicodeCompact(uri, { border: 2 }));
      output.line(`Scan it with the authenticator app of ${name}, or give it this: ${uri}`);
      const { recoveryCodes } = await client.post<{ recoveryCodes: readonly string[] }>([...at, 'confirm'], {
        code: await codeFrom(context),
      });
      output.line(`+ ${name}: a code goes with the password now, right behind it or where it is asked for.`);
      output.line('Recovery codes, each good once instead of a code. They are not shown again:');
      for (const code of recoveryCodes) output.line(`  ${code}`);
    },
    group,
  );
}

/** Typed at the terminal; otherwise the first line of standard input. */
async function codeFrom(context: VerbContext): Promise<string> {
  if (isInteractive(context)) return (await askSecret(context, 'Code that the app shows: ', '')).reveal();
  let text = '';
  for await (const chunk of context.input) {
    text += String(chunk);
    if (text.includes('\n')) break;
    if (text.length > longestLine) throw new SallyportError('usage', 'standard input holds more than a code');
  }
  return text.split('\n', 1)[0]?.trim() ?? '';
}

/** `join`: introduces this node to a DMZ node with the token of an invitation, and has it dial there from then on. */
import { askSecret, isInteractive } from '../../shared/admin/ask.ts';
import type { Program, VerbContext } from '../../shared/admin/cli.ts';
import { type Address, formatAddress } from '../../shared/config/units.ts';
import { type Invitation, readInvitation } from '../../shared/pki/invitation.ts';
import { loadNodeKeys, type NodeKeys } from '../../shared/pki/node-keys.ts';
import { loadMainSettings } from '../config.ts';
import { checkedAddress, setDmz } from './dmz-setting.ts';
import { readSmallFile } from './read-small-file.ts';

export interface JoinDeps {
  /** Shows the invitation to the DMZ node at an address. @returns what it calls itself. */
  readonly enrol: (
    invitation: Invitation,
    options: { readonly address: Address; readonly keys: NodeKeys; readonly classicalKeyExchange: boolean },
    signal: AbortSignal,
  ) => Promise<{ readonly node: string; readonly group: string }>;
}

const attemptMs = 30_000;

export function addJoinVerb(program: Program, deps: JoinDeps): void {
  program.verb<{ readonly tokenFile?: string }>(
    {
      usage: 'join <address>',
      summary: 'introduce this node to a DMZ node with the token that `sallyport-dmz invite` printed there',
      examples: ['join edge1.example.com:8443', 'join 203.0.113.10:8443 --token-file /run/secrets/invitation'],
    },
    (command) =>
      command.option(
        '--token-file <file>',
        'file with the token, - for standard input; otherwise it is asked for, or read from a pipe',
      ),
    async (context, { tokenFile }, [typed = '']) => {
      const { output, configFile, signal } = context;
      const address = checkedAddress(typed);
      const { keys: folder, tunnel } = await loadMainSettings(configFile);
      const keys = await loadNodeKeys(folder, 'internal');
      const invitation = readInvitation(await tokenOf(context, tokenFile));
      const { classicalKeyExchange } = tunnel;
      const limit = AbortSignal.any([signal, AbortSignal.timeout(attemptMs)]);
      const { node, group } = await deps.enrol(invitation, { address, keys, classicalKeyExchange }, limit);
      const changed = await setDmz(configFile, { address: formatAddress(address), fingerprint: invitation.dmz });
      const facts = { node, address: formatAddress(address), dmz: invitation.dmz, fingerprint: keys.fingerprint, group, changed };
      if (output.json) return output.document(facts);
      output.line(`The DMZ node ${node} proved to be ${invitation.dmz}`);
      output.line(`and admits this node from now on: ${keys.fingerprint}`);
      output.note(`Next: sallyport serve --config ${configFile}   (restart it when it runs)`);
    },
  );
}

async function tokenOf(context: VerbContext, file: string | undefined): Promise<string> {
  if (file === undefined && isInteractive(context)) {
    return (await askSecret(context, 'Token of the invitation: ', 'use --token-file FILE (or -)')).reveal();
  }
  return await readSmallFile(file ?? '-', context);
}

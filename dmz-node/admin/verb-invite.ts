/** `invite`: a token with which one internal node introduces itself. */
import { hostname } from 'node:os';
import type { Program } from '../../shared/admin/cli.ts';
import { AdminClient } from '../../shared/admin/client.ts';
import { formatTime } from '../../shared/admin/output.ts';
import { formatAddress, formatDuration, parseDuration, UnitError } from '../../shared/config/units.ts';
import { SallyportError } from '../../shared/errors.ts';
import { loadDmzConfig } from '../config.ts';
import type { DmzInvitation, DmzInvitations } from './api.ts';

interface InviteOptions {
  readonly ttl: string;
  readonly for: string;
  readonly list?: true;
  readonly withdraw?: string;
}

const longestMs = 7 * 86_400_000;

export function addInviteVerb(program: Program): void {
  program.verb<InviteOptions>(
    {
      usage: 'invite',
      summary: 'make a token with which an internal node introduces itself; it works once and for a short time',
      examples: ['invite --for inner1', 'invite --ttl 1h --json', 'invite --list', 'invite --withdraw 3f2a9c01b7de'],
    },
    (command) =>
      command
        .option('--ttl <duration>', 'how long it can be used, at most 7d', '15m')
        .option('--for <label>', 'for whom it is; shown in the audit trail', '')
        .option('--list', 'show those that can still be used')
        .option('--withdraw <id>', 'make one useless'),
    async ({ output, configFile, signal }, options) => {
      const { admin, tunnel } = await loadDmzConfig(configFile);
      const client = new AdminClient({ socket: admin.socket, signal });
      if (options.list) {
        const { invitations } = await client.get<DmzInvitations>(['v1', 'invitations']);
        if (output.json) return output.document({ invitations });
        if (invitations.length === 0) return output.note('no invitation is open');
        const rows = invitations.map(({ id, label, expiresAtMs }) => [id, label, formatTime(expiresAtMs)]);
        return output.table(['ID', 'FOR', 'UNTIL (UTC)'], rows);
      }
      if (options.withdraw !== undefined) {
        const { withdrawn } = await client.post<{ withdrawn: boolean }>(['v1', 'invitations', 'withdraw'], {
          id: options.withdraw,
        });
        if (!withdrawn) throw new SallyportError('no-such-file', `there is no open invitation ${options.withdraw}`);
        return output.json ? output.document({ withdrawn }) : output.line(`- ${options.withdraw} can no longer be used`);
      }
      const ttlMs = checkedTtl(options.ttl);
      const { token, id, expiresAtMs } = await client.post<DmzInvitation>(['v1', 'invitations'], { ttlMs, label: options.for });
      const { host, port } = tunnel.listen;
      const address = formatAddress({ host: ['0.0.0.0', '::'].includes(host) ? hostname() : host, port });
      if (output.json) return output.document({ token, id, address, expiresAtMs });
      output.note(`On the internal host, within ${formatDuration(ttlMs)} (this node must be reachable as ${address}):`);
      output.note(`  sallyport join ${address}`);
      output.note('It asks for the token. Type or pipe it, never as an argument. It works once and is shown only now:');
      output.line(token);
    },
  );
}

function checkedTtl(text: string): number {
  try {
    const ttlMs = parseDuration(text);
    if (ttlMs < 1000 || ttlMs > longestMs) throw new UnitError('expected something from 1s to 7d');
    return ttlMs;
  } catch (error) {
    if (error instanceof UnitError) throw new SallyportError('usage', `--ttl: ${error.message}`);
    throw error;
  }
}

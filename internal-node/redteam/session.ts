/** One run of the red team: takes the place of the staging DMZ node, waits for the internal node, plays the scripts. */
import { join } from 'node:path';
import type { AdminClient } from '../../shared/admin/client.ts';
import { asSallyportError, SallyportError } from '../../shared/errors.ts';
import { newSessionId, newTraceId } from '../../shared/ids.ts';
import { loadNodeKeys } from '../../shared/pki/node-keys.ts';
import type { AuthCheck } from '../../shared/tunnel/messages.ts';
import type { InternalConfig } from '../config.ts';
import { Observer, type SeenStatus } from './observer.ts';
import { notTried, scripts, type Tried, tryScript } from './run.ts';
import { Stage } from './stage.ts';
import { TakenOverDmz } from './taken-over-dmz.ts';

export interface RedteamArgs {
  readonly config: Pick<InternalConfig, 'state' | 'dmz' | 'destinations'>;
  /** How the node is asked. */
  readonly client: AdminClient;
  /** Keys folder of the DMZ node whose place is taken. */
  readonly dmzKeys: string;
  readonly partner: string;
  readonly password: string;
  /** Rows to try; undefined: all. */
  readonly rows: readonly string[] | undefined;
  readonly report: (tried: Tried) => void;
}

export interface RedteamResult {
  readonly all: readonly Tried[];
  readonly notTried: Readonly<Record<string, string>>;
}

/** @throws SallyportError when the attacks cannot even begin. */
export async function redteam(args: RedteamArgs, signal: AbortSignal): Promise<RedteamResult> {
  const { config, client, rows, report } = args;
  const chosen = scripts.filter(({ row }) => rows === undefined || rows.includes(row));
  if (chosen.length === 0) throw new SallyportError('usage', `no script is of ${rows?.join(', ')}`);
  const status = await client.get<SeenStatus>(['v1', 'status']);
  if (status.tunnel.up) {
    throw new SallyportError(
      'already-running',
      'the staging node is connected to its DMZ node; stop that one, its place is taken here',
    );
  }
  await using edge = await takePlace(args);
  const all: Tried[] = [];
  const stage = await Stage.open({
    edge,
    seen: new Observer(
      { status: () => client.get<SeenStatus>(['v1', 'status']) },
      { auditFolder: join(config.state, 'audit'), folders: config.destinations.map(({ folder }) => folder) },
    ),
    login: () => loginOf(args),
    offer: async (name, content) => {
      await client.put(['v1', 'outbox'], { partner: args.partner, path: name }, once(content));
    },
  });
  for (const script of chosen) {
    signal.throwIfAborted();
    const tried = await tryScript(script, stage);
    all.push(tried);
    report(tried);
  }
  return { all, notTried: rows === undefined ? notTried : {} };
}

async function takePlace({ config, dmzKeys }: RedteamArgs): Promise<TakenOverDmz> {
  const keys = await loadNodeKeys(dmzKeys, 'dmz');
  const { host, port } = config.dmz.address;
  return await TakenOverDmz.start(keys, port, host).catch((cause: unknown) => {
    const detail = `the place of the DMZ node, ${host}:${port}, cannot be taken here: ${asSallyportError(cause).message}`;
    throw new SallyportError(
      'usage',
      detail,
      { next: 'let the staging node dial an address of this host at which nothing listens' },
      { cause },
    );
  });
}

const loginOf = ({ partner, password }: RedteamArgs): AuthCheck => ({
  session: newSessionId(),
  trace: newTraceId(),
  user: partner,
  peer: '192.0.2.1',
  protocol: 'sftp',
  method: 'password',
  password,
});

async function* once(content: Buffer): AsyncIterable<Buffer> {
  yield content;
}

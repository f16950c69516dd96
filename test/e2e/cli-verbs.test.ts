/** The commands as a person or a script runs them: exit codes, output, help. No node runs; the admin API is a double. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { adminLine } from '../../internal-node/admin/admin-line.ts';
import type { InternalAdminApi, InternalStatus, ListArgs, ListedItem, TracedEvent } from '../../internal-node/admin/api.ts';
import { StaffDoor } from '../../internal-node/admin/staff-door.ts';
import { systemClock } from '../../shared/clock.ts';
import { SallyportError } from '../../shared/errors.ts';
import { silentLogger } from '../../shared/log.ts';

const root = new URL('../..', import.meta.url).pathname;

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly error: string;
}

function run(command: 'internal' | 'dmz', args: readonly string[], input = ''): Promise<Ran> {
  return new Promise((resolve) => {
    const main = join(root, `${command}-node/main.ts`);
    // The commands are many and the program is the same: compiled once.
    const env = { ...process.env, NODE_COMPILE_CACHE: join(folder, 'compiled') };
    const child = execFile(process.execPath, [main, ...args], { env }, (error, out, err) => {
      resolve({ code: error ? Number(error.code) : 0, out, error: err });
    });
    child.stdin?.end(input);
  });
}

const key = (byte: number): string => {
  const blob = Buffer.concat([
    Buffer.from([0, 0, 0, 11]),
    Buffer.from('ssh-ed25519'),
    Buffer.from([0, 0, 0, 32]),
    Buffer.alloc(32, byte),
  ]);
  return `ssh-ed25519 ${blob.toString('base64')} someone\n`;
};

let folder: string;
let inner: string;
let edge: string;
let innerPrint: string;
let edgePrint: string;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-cli-'));
  inner = join(folder, 'in');
  edge = join(folder, 'edge');
  const internal = JSON.parse((await run('internal', ['init', '--dir', inner, '--name', 'inner1', '--json'])).out) as {
    fingerprint: string;
  };
  innerPrint = internal.fingerprint;
  const dmz = await run('dmz', ['init', '--dir', edge, '--name', 'edge1', '--internal', innerPrint, '--json']);
  edgePrint = (JSON.parse(dmz.out) as { fingerprint: string }).fingerprint;
});
after(() => rm(folder, { recursive: true, force: true }));

test('two nodes are introduced to each other by the commands that init prints', async () => {
  const again = await run('internal', ['init', '--dir', inner]);
  assert.equal(again.code, 7);
  assert.match(again.error, /exists already; nothing was changed/);

  const unknown = await run('internal', ['config', 'check', '-c', inner]);
  assert.equal(unknown.code, 2);
  assert.match(unknown.error, /sallyport connect HOST:PORT --dmz SPD-/);

  const typo = `${edgePrint.slice(0, -1)}${edgePrint.endsWith('A') ? 'B' : 'A'}`;
  const mistyped = await run('internal', ['connect', 'edge:8443', '--dmz', typo, '-c', inner]);
  assert.equal(mistyped.code, 2);
  assert.match(mistyped.error, /typing error in group 9/);
  assert.equal((await run('internal', ['connect', 'edge', '--dmz', edgePrint, '-c', inner])).code, 2);

  const file = join(inner, 'sallyport.yaml');
  const before = await readFile(file, 'utf8');
  assert.equal((await run('internal', ['connect', 'edge:8443', '--dmz', edgePrint, '-c', inner])).code, 0);
  const connected = await readFile(file, 'utf8');
  const added = connected.split('\n').filter((line) => !before.split('\n').includes(line));
  assert.deepEqual(added, ['dmz:', '  address: edge:8443', `  fingerprint: ${edgePrint}`]);
  for (const line of before.split('\n')) assert.ok(connected.includes(line), `${line} is gone`);

  const same = await run('internal', ['connect', 'edge:8443', '--dmz', edgePrint.toLowerCase(), '-c', inner, '--json']);
  assert.deepEqual(JSON.parse(same.out), { address: 'edge:8443', fingerprint: edgePrint, changed: false });

  const checks = await Promise.all([
    run('internal', ['config', 'check', '-c', inner]),
    run('dmz', ['config', 'check', '-c', edge]),
  ]);
  assert.deepEqual(
    checks.map(({ code }) => code),
    [0, 0],
  );
  const prints = await Promise.all([run('internal', ['fingerprint', '-c', inner]), run('dmz', ['fingerprint', '-c', edge])]);
  assert.deepEqual(
    prints.map(({ out }) => out.trim()),
    [innerPrint, edgePrint],
  );
});

test('a key that others can read is refused by name (F28)', async () => {
  const file = join(edge, 'state/keys/tunnel.key');
  await chmod(file, 0o644);
  const checked = await run('dmz', ['config', 'check', '-c', edge]);
  await chmod(file, 0o600);
  assert.equal(checked.code, 2);
  assert.ok(checked.error.includes(file) && checked.error.includes('0644'), checked.error);
});

test('F71: serve does not start with a host key that is missing, open to others, or not the one that partners know', async () => {
  const file = join(edge, 'state/keys/ssh_host_rsa');
  const [good, other] = await Promise.all([readFile(file), readFile(join(edge, 'state/keys/ssh_host_ecdsa'))]);
  const serve = (): ReturnType<typeof run> => run('dmz', ['serve', '-c', edge]);
  await chmod(file, 0o640);
  const open = await serve();
  await rm(file);
  const missing = await serve();
  await writeFile(file, other, { mode: 0o600 });
  const mismatch = await serve();
  await writeFile(file, good);
  assert.deepEqual([open.code, missing.code, mismatch.code], [2, 2, 2]);
  assert.ok(open.error.includes(`${file} has mode 0640, others can read it; run: chmod 0600 ${file}`), open.error);
  assert.ok(missing.error.includes(`${file} cannot be read`), missing.error);
  assert.ok(mismatch.error.includes(`${file}.pub is not the public half of ${file}`), mismatch.error);
  assert.equal((await run('dmz', ['config', 'check', '-c', edge])).code, 0);
});

test('serve does not start on a wrong configuration and says where it is wrong', async () => {
  const file = join(folder, 'wrong.yaml');
  await writeFile(file, 'version: 1\nnam: x\n');
  const served = await run('dmz', ['serve', '--config', file]);
  assert.equal(served.code, 2);
  assert.ok(served.error.includes(`${file}:2:1 nam: unknown key - did you mean "name"?`), served.error);
});

test('partners are added by key and password, and a second time refused', async () => {
  const keyFile = join(folder, 'k.pub');
  await writeFile(keyFile, key(1));
  const added = await run(
    'internal',
    ['partner', 'add', 'globex', '--key', keyFile, '--password-file', '-', '-c', inner],
    'correct horse\n',
  );
  assert.equal(added.code, 0, added.error);
  const text = await readFile(join(inner, 'conf.d/partners.yaml'), 'utf8');
  assert.match(text, /\$argon2id\$/);
  assert.ok(!text.includes('correct horse'));
  assert.equal((await run('internal', ['partner', 'add', 'globex', '--key', keyFile, '-c', inner])).code, 7);
  assert.equal((await run('internal', ['partner', 'add', 'other', '--password', '-c', inner])).code, 2);
  assert.equal((await run('internal', ['partner', 'add', 'other', '-c', inner])).code, 2);
  const listed = await run('internal', ['partner', 'list', '-c', inner]);
  assert.equal(listed.out, 'globex\tkey, password\t0\tconf.d/partners.yaml:3\n');
});

test('AC-18: a weak, short or former password is refused; only hashes are kept', async () => {
  const set = (password: string) =>
    run('internal', ['partner', 'password', 'globex', '--password-file', '-', '-c', inner], `${password}\n`);
  const [first, second] = ['lampe-regal-tiger-wolke', 'kX9#vQ2!pLm7'];
  for (const password of [first, second]) assert.equal((await set(password)).code, 0);
  for (const password of ['short', 'globexglobex', first, second, 'correct horse']) {
    const { code, error } = await set(password);
    assert.equal(code, 2, error);
    assert.ok(!error.includes(password) || password === 'short', error);
  }
  const text = await readFile(join(inner, 'conf.d/partners.yaml'), 'utf8');
  for (const password of [first, second, 'correct horse']) assert.ok(!text.includes(password));
  assert.equal(text.match(/\$argon2id\$/g)?.length, 3);
  assert.equal((await run('internal', ['partner', 'password', 'nobody', '--password-file', '-', '-c', inner], first)).code, 6);
  const weak = ['partner', 'add', 'weak', '--password-file', '-', '-c', inner];
  assert.equal((await run('internal', weak, 'passwordpassword\n')).code, 2);
});

test('usage errors are code 2, no node is 3, and --json always prints one document', async () => {
  const slips = [['statsu'], ['pull'], ['ls', '--nwe'], ['help', 'nothing'], []];
  const codes = await Promise.all(slips.map(async (args) => (await run('internal', args)).code));
  assert.deepEqual(codes, [2, 2, 2, 2, 2]);
  const wrong = await run('internal', ['statsu', '--json']);
  assert.equal((JSON.parse(wrong.out) as { error: { code: string } }).error.code, 'usage');
  const down = await run('internal', ['status', '-c', inner, '--json']);
  assert.equal(down.code, 3);
  assert.equal((JSON.parse(down.out) as { error: { code: string } }).error.code, 'not-running');
  assert.match(down.error, /next: start the node: sallyport serve/);
  assert.equal((await run('dmz', ['status', '-c', edge])).code, 3);
});

test('the help of a verb begins with two examples, and the exit codes are told', async () => {
  const verbs = {
    internal: ['init', 'connect', 'serve', 'status', 'partner add', 'ls', 'pull', 'trace'],
    dmz: ['init', 'serve'],
  };
  const asked = (['internal', 'dmz'] as const).flatMap((command) => verbs[command].map((verb) => [command, verb] as const));
  const check = async ([command, verb]: readonly ['internal' | 'dmz', string]): Promise<void> => {
    const { code, out } = await run(command, [...verb.split(' '), '--help']);
    assert.equal(code, 0);
    assert.match(out, new RegExp(`^Examples:\n {2}\\$ sallyport(-dmz)? ${verb}.*\n {2}\\$ sallyport(-dmz)? ${verb}`), verb);
    assert.match(out, /--json/);
  };
  await Promise.all(asked.map(check));
  assert.match((await run('internal', ['help', 'exit-codes'])).out, /^3\tthe other node/m);
});

// The running node, as a double

const content = 'amount;42\n';
const sha256 = createHash('sha256').update(content).digest('hex');
const item: ListedItem = {
  item: 'a'.repeat(26),
  trace: 't'.repeat(26),
  partner: 'globex',
  box: 'Inbox',
  path: '/Inbox/inv\u001b[31m.csv',
  size: 10,
  atMs: Date.UTC(2026, 10, 21, 9, 12, 4),
  state: 'held',
};
const events: readonly TracedEvent[] = [
  {
    seq: 7,
    id: 'SP-1404',
    name: 'item.completed',
    atMs: item.atMs,
    node: 'edge1',
    side: 'dmz',
    partner: 'globex',
    item: item.item,
    trace: item.trace,
    fields: { path: '/Inbox/a.csv', size: 10, sha256 },
  },
  {
    seq: 3,
    id: 'SP-1606',
    name: 'item.quarantined',
    atMs: item.atMs + 1000,
    node: 'inner1',
    side: 'inside',
    item: item.item,
    trace: item.trace,
    fields: { reason: 'the bytes differ' },
  },
];
const status = {
  node: 'inner1',
  version: '0.1.0',
  fingerprint: 'SPI-…',
  pid: 0,
  configuration: [],
  startedAtMs: 0,
  suspect: null,
  tunnel: {
    up: false,
    peer: null,
    address: 'edge:8443',
    sinceMs: null,
    group: null,
    classicalAdmitted: false,
    lastFailure: 'connection refused',
    refusedBy: null,
    clockSkewMs: null,
  },
  certificates: { ownEndsAtMs: 1, peerEndsAtMs: null, endingSoon: false, phase: 'stable', told: true },
  policy: null,
  configRefused: null,
  configUnconfirmedUntilMs: null,
  partners: { configured: 1, connected: [] },
  items: { waiting: 0, held: 1, unrouted: 0, quarantined: 0, offered: 0, oldestWaitingMs: null },
  stopped: [],
  lastFailure: null,
  confinement: { filtered: true, noNewPrivileges: true, connect: 'admitted', listen: 'denied' },
  dmz: null,
} satisfies InternalStatus;

const rotation = { phase: 'stable', fingerprint: 'SPI-…', other: null, told: true } as const;

async function* once(text: string): AsyncIterable<Buffer> {
  yield Buffer.from(text);
}

async function withNode(check: (seen: { calls: unknown[]; sent: string }) => Promise<void>, bytes = content): Promise<void> {
  const seen = { calls: [] as unknown[], sent: '' };
  const unused = async (): Promise<never> => {
    throw new SallyportError('unsupported', 'not in this double');
  };
  const api: InternalAdminApi = {
    staff: {
      required: false,
      byToken: () => undefined,
      logIn: async () => Promise.reject(new SallyportError('login-rejected', 'nobody is of staff here')),
      logOut: () => {},
      acted: async () => {},
    },
    exposed: unused,
    certificates: { list: () => ({ rotation, certificates: [], admitted: [], refused: [] }), rotate: unused, revoke: unused },
    status: async () => status,
    list: async (args: ListArgs) => {
      seen.calls.push(args);
      return { items: [item], more: false };
    },
    openItem: async (ref) => {
      if (ref === 'gone') throw new SallyportError('no-such-file', 'nothing fits gone');
      const commit = async () => void seen.calls.push('commit');
      const release = async () => void seen.calls.push('release');
      return {
        item: item.item,
        name: 'a.csv',
        path: 'globex/Inbox/a.csv',
        size: 10,
        sha256,
        content: once(bytes),
        commit,
        release,
      };
    },
    push: async (partner, path, source) => {
      seen.sent = '';
      for await (const chunk of source) seen.sent += chunk.toString();
      seen.calls.push([partner, path]);
      const digest = createHash('sha256').update(seen.sent).digest('hex');
      return {
        item: item.item,
        trace: item.trace,
        partner,
        path: `/Outbox/${path}`,
        size: seen.sent.length,
        sha256: digest,
        expiresAtMs: Date.now() + 86_400_000,
      };
    },
    trace: async (ref) => ({ ref, events }),
    partners: async () => [{ name: 'globex', source: '', login: '', sessions: 2, disabled: false }],
    history: async () => ({ items: [], more: false }),
    apply: async (folder, confirmMs) => {
      seen.calls.push(['apply', folder, confirmMs]);
      return { policy: 3, confirmUntilMs: confirmMs };
    },
    confirmConfig: async () => true,
    rollBackConfig: async () => false,
    tryLogin: async ({ user, password }) => {
      seen.calls.push([user, password]);
      const known = password === 'right';
      const step = { method: 'own', outcome: known ? 'accept' : 'reject', detail: 'the password is right', ms: 3 };
      return { steps: [step], accepted: known ? user : null, refused: known ? null : 'wrong password' };
    },
    beginTotp: async () => 'otpauth://totp/Sallyport:globex?secret=GEZDGNBVGY3TQOJQ&issuer=Sallyport',
    confirmTotp: async (_partner, code) => {
      if (code !== '123456') throw new SallyportError('login-rejected', 'the code is not right');
      return ['aaaaa-bbbbb'];
    },
    invite: async () => ({ code: 'aaaaa-bbbbb-ccccc-ddddd', expiresAtMs: 1_800_000_000_000 }),
    withdrawInvitation: async (partner) => void seen.calls.push(['withdraw', partner]),
    doors: async () => null,
    removeTotp: async (partner) => void seen.calls.push(['remove', partner]),
    network: async () => ({ node: 'edge1', listeners: [], active: null, plainFtp: null }),
    bans: async () => ({ bans: [{ source: '2001:db8:0:1::/64', secondsLeft: 62, reason: 'login-failed' }], total: 1 }),
    liftBan: async (source) => source.startsWith('2001:'),
    staffDoor: async () => {},
    forgetPartner: async (partner) => {
      seen.calls.push(['forget', partner]);
    },
    destinations: async () => [
      { name: 'inside', kind: 'folder', errors: 0, reason: null, stoppedAtMs: null },
      { name: 'scan', kind: 'program', errors: 3, reason: 'program-failed: exit 1', stoppedAtMs: 0 },
    ],
    resumeDestination: async (name) => {
      seen.calls.push(['resume', name]);
      return { resumed: true };
    },
    retry: async (ref) => {
      seen.calls.push(['retry', ref]);
      return { item: item.item };
    },
    recordProof: async ({ failing }) => {
      seen.calls.push(['proof', ...failing]);
    },
    reload: async () => {
      seen.calls.push('reload');
      return { partners: 2, rules: 1 };
    },
  };
  const socket = join(inner, 'state/admin/socket');
  const door = new StaffDoor({ clock: systemClock, log: silentLogger }, { socket, agentSocket: `${socket}.agent` });
  const line = adminLine({ api, log: silentLogger, clock: systemClock }, { socket: `${socket}.agent` });
  for (const part of [door, line]) await part.start();
  try {
    await check(seen);
  } finally {
    for (const part of [line, door]) await part.stop(AbortSignal.abort());
  }
}

test('auth test and bans tell in lines, and by their exit codes, what a script needs', async () => {
  await withNode(async ({ calls }) => {
    const right = await run('internal', ['auth', 'test', 'globex', '--password-file', '-', '-c', inner], 'right\n');
    assert.equal(right.code, 0, right.error);
    assert.equal(
      right.out,
      '1\town\taccept\t3 ms\tthe password is right\naccepted: globex would be logged in as partner globex\n',
    );
    const wrong = await run('internal', ['auth', 'test', 'globex', '--password-file', '-', '-c', inner], 'other\n');
    assert.equal(wrong.code, 4);
    assert.match(wrong.out, /\nrefused: globex: wrong password\n$/);
    assert.equal((await run('internal', ['bans', 'list', '-c', inner])).out, '2001:db8:0:1::/64\t62\tlogin-failed\n');
    assert.equal((await run('internal', ['bans', 'lift', '198.51.100.9', '-c', inner])).code, 6);
    assert.equal((await run('internal', ['bans', 'lift', 'edge.example.com', '-c', inner])).code, 2);
    assert.equal((await run('internal', ['partner', 'totp', 'globex', '-c', inner], '000000\n')).code, 4);
    assert.deepEqual(calls, [
      ['globex', 'right'],
      ['globex', 'other'],
    ]);
  });
});

test('status puts the trouble and its next step first', async () => {
  await withNode(async () => {
    const { code, out } = await run('internal', ['status', '-c', inner]);
    assert.equal(code, 0);
    assert.match(out, /^! the tunnel to edge:8443 has not been up yet: connection refused\n {2}next: /);
    assert.deepEqual(JSON.parse((await run('internal', ['status', '-c', inner, '--json'])).out), status);
  });
});

test('ls prints tab-separated lines when piped, with hostile names escaped', async () => {
  await withNode(async ({ calls }) => {
    const { out } = await run('internal', ['ls', 'globex/inbox/sub/', '--new', '-c', inner]);
    assert.equal(out, `globex/Inbox/inv\\u001b[31m.csv\t10\t2026-11-21T09:12:04.000Z\theld\t${item.item}\n`);
    assert.deepEqual(calls, [{ partner: 'globex', box: 'Inbox', folder: 'sub', onlyNew: true, limit: 1000 }]);
  });
});

test('pull saves verified bytes once and then tells the node; it never overwrites unasked', async () => {
  await withNode(async ({ calls }) => {
    const to = join(folder, 'work');
    await mkdir(to);
    const pulled = await run('internal', ['pull', 'globex/Inbox/a.csv', to, '-c', inner, '--json']);
    assert.equal(pulled.code, 0, pulled.error);
    assert.equal(await readFile(join(to, 'a.csv'), 'utf8'), content);
    assert.deepEqual(calls, ['commit']);
    const again = await run('internal', ['pull', 'globex/Inbox/a.csv', to, '-c', inner]);
    assert.equal(again.code, 7);
    assert.match(again.error, /--force/);
    assert.equal((await run('internal', ['pull', 'globex/Inbox/a.csv', to, '-c', inner, '--force'])).code, 0);
    assert.equal((await run('internal', ['pull', 'gone', to, '-c', inner])).code, 6);
    assert.deepEqual(await readdir(to), ['a.csv']);
  });
});

test('pull refuses bytes that are not the promised ones, and the item stays', async () => {
  await withNode(async ({ calls }) => {
    const to = join(folder, 'damaged');
    await mkdir(to);
    assert.equal((await run('internal', ['pull', 'x'.repeat(26), to, '-c', inner])).code, 1);
    assert.deepEqual([await readdir(to), calls], [[], []]);
  }, 'amount;43\n');
});

test('FD-34: destinations are listed with those that are stopped, one is resumed, and an item is tried again', async () => {
  await withNode(async ({ calls }) => {
    const listed = await run('internal', ['destination', 'list', '-c', inner]);
    assert.equal(listed.out, 'inside\tfolder\twell\t\nscan\tprogram\tstopped 1970-01-01 00:00:00 UTC\tprogram-failed: exit 1\n');
    assert.equal((await run('internal', ['destination', 'resume', 'scan', '-c', inner])).out, 'scan is tried again\n');
    assert.equal((await run('internal', ['retry', 'globex/Inbox/a b.csv', '-c', inner, '--json'])).code, 0);
    assert.deepEqual(calls, [
      ['resume', 'scan'],
      ['retry', 'globex/Inbox/a b.csv'],
    ]);
  });
});

test('push sends a file under the name that was asked for', async () => {
  await withNode(async (seen) => {
    const file = join(folder, 'stmt.pdf');
    await writeFile(file, 'statement');
    assert.equal((await run('internal', ['push', file, 'globex', '-c', inner])).code, 0);
    assert.equal((await run('internal', ['push', file, 'globex/Outbox/2026/s.pdf', '-c', inner])).code, 0);
    assert.deepEqual(seen.calls, [
      ['globex', 'stmt.pdf'],
      ['globex', '2026/s.pdf'],
    ]);
    assert.equal((await run('internal', ['push', file, 'globex/Inbox/x', '-c', inner])).code, 2);
    assert.equal((await run('internal', ['push', join(folder, 'none'), 'globex', '-c', inner])).code, 6);
  });
});

test('trace tells what happened on both nodes in order, and ends with cause and next step', async () => {
  await withNode(async () => {
    const { out } = await run('internal', ['trace', 'aaaa', '-c', inner]);
    const lines = out.trimEnd().split('\n');
    assert.match(lines[0] ?? '', /^partner globex {3}item a{26} {3}trace t{26}$/);
    assert.match(lines[2] ?? '', /09:12:04\.000 {2}dmz {5}SP-1404 .*10 B/);
    assert.match(lines[3] ?? '', /09:12:05\.000 {2}inside {2}SP-1606 /);
    assert.match(lines[4] ?? '', /^CAUSE .*the bytes differ/);
    assert.match(lines.at(-1) ?? '', /^NEXT /);
    assert.equal((await run('internal', ['trace', 'abc', '-c', inner])).code, 2);
  });
});

test('the running node is told of a new partner', async () => {
  await withNode(async ({ calls }) => {
    const added = await run('internal', ['partner', 'add', 'acme', '--key', '-', '-c', inner], key(2));
    assert.match(added.out, /The running node has taken note/);
    assert.deepEqual(calls, ['reload']);
  });
});

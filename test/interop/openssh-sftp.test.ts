/** OpenSSH's own client against the SFTP listener: what partners use most must simply work, and what is not offered must not. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { readHandshake } from '../../internal-node/auth/handshake-proof.ts';
import { MemoryView } from '../fixtures/memory-view.ts';
import { OpenSsh, run } from '../fixtures/openssh.ts';
import { openDoor, password, provesKey } from '../fixtures/sftp-door.ts';

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

async function doorWithKey(options: Parameters<typeof openDoor>[0]['options'] = {}) {
  const authorizedKeys: Buffer[] = [];
  const door = await openDoor({ view: new MemoryView(), authorizedKeys, options });
  const ssh = await OpenSsh.create(door.port);
  authorizedKeys.push(await ssh.makeKey('id'));
  const key = [`IdentityFile=${ssh.path('id')}`, 'IdentitiesOnly=yes', 'PreferredAuthentications=publickey'];
  return { door, ssh, key };
}

test('puts, lists, renames, fetches and removes files and folders', async () => {
  const { door, ssh, key } = await doorWithKey();
  await using _door = door;
  await using _ssh = ssh;
  await writeFile(ssh.path('a.csv'), 'hello');
  const ran = await ssh.sftp(
    [
      'mkdir /Inbox/new',
      'cd /Inbox/new',
      `put ${ssh.path('a.csv')}`,
      'ls -l',
      'rename a.csv b.csv',
      `get b.csv ${ssh.path('back.csv')}`,
      'rm b.csv',
      'cd /',
      'rmdir /Inbox/new',
      'ls',
    ].join('\n'),
    key,
  );
  assert.equal(ran.code, 0, ran.err);
  assert.match(ran.out, /-rw-r----- +(\S+ +){3}5 .* a\.csv/);
  assert.match(ran.out, /Inbox +Outbox/);
  assert.equal(await readFile(ssh.path('back.csv'), 'utf8'), 'hello');
  assert.deepEqual([...door.view.files.keys()], []);
  assert.deepEqual([...door.view.folders], ['/', '/Inbox', '/Outbox']);
});

test('carries files of awkward sizes unchanged in both directions', async () => {
  const { door, ssh, key } = await doorWithKey();
  await using _door = door;
  await using _ssh = ssh;
  const sizes = [0, 1, 32_767, 32_768, 65_535, 65_536, 65_537, 261_119, 261_120, 261_121, 1_000_003];
  const contents = sizes.map((size) => randomBytes(size));
  for (const [i, bytes] of contents.entries()) await writeFile(ssh.path(`f${i}`), bytes);
  const commands = sizes.flatMap((_size, i) => [
    `put ${ssh.path(`f${i}`)} /Inbox/f${i}`,
    `get /Inbox/f${i} ${ssh.path(`g${i}`)}`,
  ]);
  const ran = await ssh.sftp(commands.join('\n'), key);
  assert.equal(ran.code, 0, ran.err);
  for (const [i, bytes] of contents.entries()) {
    assert.equal(door.view.files.get(`/Inbox/f${i}`)?.bytes.length, sizes[i]);
    assert.equal(sha256(await readFile(ssh.path(`g${i}`))), sha256(bytes), `size ${sizes[i]}`);
  }
});

for (const cipher of ['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com', 'aes128-ctr', 'aes256-ctr']) {
  test(`F69: keeps every byte when the client changes keys in the middle, with ${cipher}`, async () => {
    const { door, ssh, key } = await doorWithKey();
    await using _door = door;
    await using _ssh = ssh;
    const bytes = randomBytes(20 * 1024 * 1024);
    await writeFile(ssh.path('big'), bytes);
    const commands = `put ${ssh.path('big')} /Inbox/big\nget /Inbox/big ${ssh.path('back')}`;
    const ran = await ssh.sftp(commands, [...key, 'RekeyLimit=1M', `Ciphers=${cipher}`]);
    assert.equal(ran.code, 0, ran.err);
    assert.equal(sha256(await readFile(ssh.path('back'))), sha256(bytes));
  });
}

test('F69: changes keys itself after a volume, without harm to a transfer', async () => {
  const { door, ssh, key } = await doorWithKey({ rekeyBytes: 3 * 1024 * 1024 });
  await using _door = door;
  await using _ssh = ssh;
  const bytes = randomBytes(20 * 1024 * 1024);
  await writeFile(ssh.path('big'), bytes);
  const commands = `put ${ssh.path('big')} /Inbox/big\nget /Inbox/big ${ssh.path('back')}`;
  const ran = await ssh.sftp(commands, [...key, 'LogLevel=DEBUG1']);
  assert.equal(ran.code, 0, ran.err);
  const exchanges = ran.err.match(/SSH2_MSG_NEWKEYS received/g)?.length ?? 0;
  assert.ok(exchanges >= 6, `only ${exchanges} key exchanges`);
  assert.equal(sha256(await readFile(ssh.path('back'))), sha256(bytes));
});

test('SF-10: resumes an interrupted upload where it stopped', async () => {
  const { door, ssh, key } = await doorWithKey();
  await using _door = door;
  await using _ssh = ssh;
  const bytes = randomBytes(300_000);
  await writeFile(ssh.path('big'), bytes);
  door.view.partials.set('/Inbox/big', Buffer.from(bytes.subarray(0, 100_000)));
  const ran = await ssh.sftp(`reput ${ssh.path('big')} /Inbox/big`, key);
  assert.equal(ran.code, 0, ran.err);
  assert.equal(sha256(door.view.files.get('/Inbox/big')?.bytes ?? Buffer.alloc(0)), sha256(bytes));
  assert.equal(door.view.receivedBytes, 200_000);
});

test('keeps the modification time that the client sends', async () => {
  const { door, ssh, key } = await doorWithKey();
  await using _door = door;
  await using _ssh = ssh;
  await run('touch', ['-d', '2020-02-02T02:02:02Z', ssh.path('old')]);
  const ran = await ssh.sftp(`put -p ${ssh.path('old')} /Inbox/old`, key);
  assert.equal(ran.code, 0, ran.err);
  assert.equal(door.view.files.get('/Inbox/old')?.modifiedAtMs, Date.parse('2020-02-02T02:02:02Z'));
});

test('answers failures with the code that the client understands, and goes on', async () => {
  const { door, ssh, key } = await doorWithKey();
  await using _door = door;
  await using _ssh = ssh;
  const ran = await ssh.sftp('-cd /nowhere\n-get /Inbox/none /dev/null\n-symlink /a /b\n-rmdir /Inbox/none\nls /', key);
  assert.equal(ran.code, 0, ran.err);
  assert.match(ran.err, /stat remote: No such file/);
  assert.match(ran.err, /none" not found/);
  assert.match(ran.err, /Operation unsupported/i);
  assert.match(ran.out, /Inbox/);
});

test('lists a folder of 1,000 entries', async () => {
  const { door, ssh, key } = await doorWithKey();
  await using _door = door;
  await using _ssh = ssh;
  for (let i = 0; i < 1000; i++)
    door.view.files.set(`/Inbox/${'n'.repeat(200)}${i}`, { bytes: Buffer.alloc(0), modifiedAtMs: 0 });
  const ran = await ssh.sftp('ls -1 /Inbox', key);
  assert.equal(ran.code, 0, ran.err);
  assert.equal(
    ran.out.match(/nnn/g) !== null &&
      ran.out
        .trim()
        .split('\n')
        .filter((line) => line.includes('nnn')).length,
    1000,
  );
});

for (const method of ['password', 'keyboard-interactive']) {
  test(`SF-19: shows the banner first, lets a right password in and a wrong one not, by ${method}`, async () => {
    await using door = await openDoor({ view: new MemoryView(), banner: 'Authorised partners only.' });
    await using ssh = await OpenSsh.create(door.port);
    const options = [`PreferredAuthentications=${method}`, 'PubkeyAuthentication=no', 'LogLevel=INFO'];
    const right = await ssh.sftp('ls /', options, await ssh.passwordEnvironment(password));
    assert.equal(right.code, 0, right.err);
    assert.match(right.err, /Authorised partners only\./);
    const wrong = await ssh.sftp('ls /', options, await ssh.passwordEnvironment('wrong'));
    assert.notEqual(wrong.code, 0);
    assert.match(wrong.err, /Permission denied/);
    assert.equal(door.events.filter((e) => e.name === 'session.ended').length, 1);
  });
}

for (const type of ['ed25519', 'rsa', 'ecdsa'] as const) {
  test(`passes on what an ${type} key has signed, so that it can be verified inside`, async () => {
    await using door = await openDoor({
      view: new MemoryView(),
      login: (attempt) => {
        if (attempt.method === 'key-probe') return { outcome: 'key-acceptable' };
        return attempt.method === 'key' && provesKey(attempt) ? 'accepted' : { outcome: 'rejected' };
      },
    });
    await using ssh = await OpenSsh.create(door.port);
    await ssh.makeKey('id', type);
    const ran = await ssh.sftp('ls /', [`IdentityFile=${ssh.path('id')}`, 'PreferredAuthentications=publickey']);
    assert.equal(ran.code, 0, ran.err);
    const expected = { ed25519: 'ssh-ed25519', rsa: 'rsa-sha2-512', ecdsa: 'ecdsa-sha2-nistp256' }[type];
    const used = door.attempts.map((attempt) => (attempt.method === 'key' ? attempt.algorithm : ''));
    assert.ok(used.includes(expected), used.join());
  });
}

test('asks for the password after the key when the inside wants both', async () => {
  await using door = await openDoor({
    view: new MemoryView(),
    login: (attempt) => {
      if (attempt.method === 'key-probe') return { outcome: 'key-acceptable' };
      if (attempt.method === 'key')
        return provesKey(attempt) ? { outcome: 'continue', methods: ['password'] } : { outcome: 'rejected' };
      const fits = attempt.method === 'password' && attempt.password.reveal() === password;
      return fits ? 'accepted' : { outcome: 'rejected' };
    },
  });
  await using ssh = await OpenSsh.create(door.port);
  await ssh.makeKey('id');
  const ran = await ssh.sftp('ls /', [`IdentityFile=${ssh.path('id')}`], await ssh.passwordEnvironment(password));
  assert.equal(ran.code, 0, ran.err);
  assert.deepEqual([...new Set(door.attempts.map((attempt) => attempt.method))], ['key-probe', 'key', 'password']);
});

for (const waits of [false, true]) {
  test(`the cookie of the inside is in the handshake that a key signs, ${waits ? 'also when it came late' : 'at once'}`, async () => {
    const cookie = randomBytes(16);
    const later = async (): Promise<Buffer> => {
      await new Promise((resolve) => setTimeout(resolve, 100));
      return cookie;
    };
    await using door = await openDoor({
      view: new MemoryView(),
      cookies: { take: () => (waits ? later() : cookie) },
      login: ({ method }) => (method === 'key' ? 'accepted' : { outcome: 'key-acceptable' }),
    });
    await using ssh = await OpenSsh.create(door.port);
    await ssh.makeKey('id');
    for (const exchange of ['curve25519-sha256', 'diffie-hellman-group16-sha512']) {
      const key = [`IdentityFile=${ssh.path('id')}`, 'PreferredAuthentications=publickey', `KexAlgorithms=${exchange}`];
      const ran = await ssh.sftp('ls /', key);
      assert.equal(ran.code, 0, ran.err);
      const login = door.attempts.at(-1);
      assert.ok(login?.method === 'key');
      const identifier = login.signed.subarray(4, 4 + login.signed.readUInt32BE());
      assert.deepEqual(readHandshake(login.transcript, identifier)?.cookie, cookie, exchange);
    }
  });
}

test('refuses SHA-1 signatures without asking anybody', async () => {
  const { door, ssh } = await doorWithKey();
  await using _door = door;
  await using _ssh = ssh;
  await ssh.makeKey('old', 'rsa');
  const ran = await ssh.sftp('ls /', [
    `IdentityFile=${ssh.path('old')}`,
    'PreferredAuthentications=publickey',
    'PubkeyAcceptedAlgorithms=ssh-rsa',
  ]);
  assert.notEqual(ran.code, 0);
  assert.deepEqual(door.attempts, []);
});

test('says that it is temporarily unavailable when nobody inside answers', async () => {
  await using door = await openDoor({ view: new MemoryView(), login: () => ({ outcome: 'unavailable' }) });
  await using ssh = await OpenSsh.create(door.port);
  const ran = await ssh.sftp('ls /', ['PreferredAuthentications=password'], await ssh.passwordEnvironment(password));
  assert.notEqual(ran.code, 0);
  assert.match(ran.err, /temporarily unavailable/);
});

test('F57: refuses commands, shells, forwarding and other subsystems, and the session lives on', async () => {
  const { door, ssh, key } = await doorWithKey();
  await using _door = door;
  await using _ssh = ssh;
  const base = [...ssh.options(key), '-p', String(door.port), 'acme@127.0.0.1'];
  const exec = await run('ssh', [...base, 'id']);
  assert.notEqual(exec.code, 0);
  assert.equal(exec.out, '');
  assert.match(exec.err, /^This server offers SFTP only: use an SFTP client, or scp without -O\.\s*$/);
  const shell = await run('ssh', ['-tt', ...base]);
  assert.notEqual(shell.code, 0);
  const subsystem = await run('ssh', [...base, '-s', 'netconf']);
  assert.notEqual(subsystem.code, 0);
  const forward = await run('ssh', ['-W', `127.0.0.1:${door.port}`, ...base]);
  assert.notEqual(forward.code, 0);
  const remote = await run('ssh', ['-N', '-R', '0:127.0.0.1:1', '-o', 'ExitOnForwardFailure=yes', ...base]);
  assert.notEqual(remote.code, 0);
  await writeFile(ssh.path('x'), 'x');
  const scp = await run('scp', ['-O', ...ssh.options(key), '-P', String(door.port), ssh.path('x'), 'acme@127.0.0.1:/Inbox/x']);
  assert.notEqual(scp.code, 0);
  assert.match(scp.err, /scp without -O/);
  assert.deepEqual([...door.view.files.keys()], []);
  assert.equal((await ssh.sftp('ls /', [...key, 'SendEnv=LANG'])).code, 0);
});

test('F70: offers no compression, no SHA-1, no group exchange and no version', async () => {
  const { door, ssh, key } = await doorWithKey();
  await using _door = door;
  await using _ssh = ssh;
  const zipped = await ssh.sftp('ls /', [...key, 'Compression=yes', 'LogLevel=DEBUG2']);
  assert.equal(zipped.code, 0, zipped.err);
  assert.match(zipped.err, /remote software version Sallyport\s*$/m);
  const offer = zipped.err.split('peer server KEXINIT proposal')[1]?.split('kex: algorithm')[0] ?? '';
  assert.match(offer, /compression ctos: none/);
  assert.doesNotMatch(offer, /sha1|group-exchange|group1-|ssh-rsa|ssh-dss|zlib|cbc|arcfour|3des/);
  assert.match(offer, /kex-strict-s-v00@openssh\.com/);
  assert.match(zipped.err, /kex_input_ext_info: server-sig-algs=<ssh-ed25519,[^>]*rsa-sha2-256>/);
});

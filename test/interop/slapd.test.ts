/** Users in OpenLDAP's slapd: every way to bind, what is read of an entry, TLS, and servers that do not do as they should. */
import assert from 'node:assert/strict';
import { chmod, writeFile } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { rootCertificates } from 'node:tls';
import { directoryBench } from '../fixtures/directory-bench.ts';
import { eventually } from '../fixtures/eventually.ts';
import { run } from '../fixtures/openssh.ts';
import { person, policy, Slapd, serviceName, servicePassword, suffix, totpUri, userPassword } from '../fixtures/slapd.ts';

let slapd: Slapd;
let service: { readonly name: string; readonly passwordFile: string };
before(async () => {
  slapd = await Slapd.start();
  const passwordFile = join(slapd.folder, 'service-password');
  await writeFile(passwordFile, `${servicePassword}\n`, { mode: 0o600 });
  service = { name: serviceName, passwordFile };
});
after(() => slapd[Symbol.asyncDispose]());

const partnersBase = `ou=partners,${suffix}`;
const plain = { reason: 'the server is on this host' };
const settings = (more: Readonly<Record<string, unknown>> = {}) => ({
  servers: [slapd.plainUrl],
  plain,
  bases: [partnersBase],
  ...more,
});
const outcomeOf = async (bench: ReturnType<typeof directoryBench>, user: string, password = userPassword) => {
  const answer = await bench.login(user, password);
  return answer.outcome === 'accept' ? `partner ${answer.partner}` : answer.outcome;
};
async function requests(count: number): Promise<string[]> {
  const seen: string[] = [];
  await eventually(
    `${count} requests`,
    () => {
      seen.push(...slapd.takeRequests());
      return seen.length >= count;
    },
    60_000,
  );
  return seen;
}

test('LD-01, LD-04: connect, bind with the name below the base, read the entry, close, and nothing else', async () => {
  await using bench = directoryBench(settings());
  slapd.takeRequests();
  assert.equal(await outcomeOf(bench, 'John'), 'partner john');
  const dn = `cn=John,${partnersBase}`;
  assert.deepEqual(await requests(5), ['ACCEPT', `BIND dn="${dn}"`, `SRCH base="${dn}"`, 'UNBIND', 'closed']);
});

test('LD-02, LD-03: a password of nothing or blanks is refused, and the server sees no connection', async () => {
  await using bench = directoryBench(settings());
  slapd.takeRequests();
  for (const password of ['', ' ', '" \t "'.slice(1, -1), '\u00a0'])
    assert.equal(await outcomeOf(bench, 'John', password), 'reject');
  assert.equal(await outcomeOf(bench, 'John'), 'partner john');
  assert.equal((await requests(5)).filter((line) => line === 'ACCEPT').length, 1);
});

test('LD-05: another attribute names the entry', async () => {
  const dn = `uid=by-uid,${partnersBase}`;
  const entry = { objectClass: ['inetOrgPerson'], uid: 'by-uid', cn: 'x', sn: 'x', userPassword };
  await slapd.as((client) => client.add(dn, entry));
  await using bench = directoryBench(settings({ usernameAttribute: 'uid' }));
  assert.equal(await outcomeOf(bench, 'by-uid'), 'partner by-uid');
});

test('LD-06, LD-07: a whole or a first part of a DN is completed and bounded to the bases', async () => {
  await using absolute = directoryBench(settings({ bind: 'absolute' }));
  assert.equal(await outcomeOf(absolute, `cn=jane, OU=det,${partnersBase}`), 'partner jane');
  assert.equal(await outcomeOf(absolute, `cn=mallory,ou=other,${suffix}`), 'reject');
  assert.equal(await outcomeOf(absolute, 'jane'), 'reject');
  await using relative = directoryBench(settings({ bind: 'relative' }));
  assert.equal(await outcomeOf(relative, 'cn=jane,ou=det'), 'partner jane');
  assert.equal(await outcomeOf(relative, `cn=mallory,ou=other,${suffix}`), 'reject');
});

test('LD-08, LD-09, LD-10, LD-11: a service account finds the entry by the name, with or without domain or suffix', async () => {
  await using byUid = directoryBench(settings({ service, bind: 'direct', usernameAttribute: 'uid' }));
  for (const typed of ['john.doe', 'EXAMPLE\\john.doe', 'JOHN.DOE', 'john.doe@ad.example.test']) {
    assert.equal(await outcomeOf(byUid, typed), 'partner john.doe', typed);
    assert.equal(await outcomeOf(byUid, typed, 'wrong'), 'reject');
  }
  const bySuffix = { service, bind: 'direct', usernameAttribute: 'mail', usernameSuffix: '@ad.example.test' };
  await using byMail = directoryBench(settings(bySuffix));
  assert.equal(await outcomeOf(byMail, 'john.doe'), 'partner john.doe');
  assert.equal(await outcomeOf(byMail, 'john.doe@ad.example.test'), 'partner john.doe');
});

test('LD-12, LD-15: a right password outside of the bases lets nobody in', async () => {
  await using bench = directoryBench(settings());
  assert.equal(await outcomeOf(bench, 'mallory'), 'reject');
  await using found = directoryBench(settings({ service, bind: 'direct', usernameAttribute: 'uid' }));
  assert.equal(await outcomeOf(found, 'mallory'), 'reject');
});

test('LD-13: an entry that does not satisfy the filter is refused', async () => {
  for (const more of [{}, { service }]) {
    await using bench = directoryBench(settings({ ...more, searchFilter: '(departmentNumber=sales)' }));
    assert.equal(await outcomeOf(bench, 'John'), 'partner john');
    assert.equal(await outcomeOf(bench, 'one'), 'reject');
  }
});

test('LD-14, LD-16: bases are tried in order, the first that takes the password ends it, and each error is told', async () => {
  const bases = [partnersBase, `ou=second,${suffix}`, `ou=missing,${suffix}`];
  await using bench = directoryBench(settings({ bases }));
  slapd.takeRequests();
  assert.equal(await outcomeOf(bench, 'John'), 'partner john');
  assert.equal((await requests(5)).filter((line) => line.startsWith('BIND')).length, 1);
  assert.equal(await outcomeOf(bench, 'zoe'), 'partner zoe');
  const answer = await bench.login('nobody-here', userPassword);
  assert.ok(answer.outcome === 'reject');
  for (const base of bases) assert.ok(answer.detail.includes(base), answer.detail);
});

test('LD-24, LD-25, LD-26, LD-27, LD-28, LD-29, LD-30, LD-31, LD-32, LD-33: groups by the first line that fits, exact, glob or expression, else those of everybody', async () => {
  const lines = [
    'everybody',
    'MEMBEROF, cn=*-apac-*, apac, asia, all',
    'departmentNumber, m/^sales-force-[1-3]$/, force',
    'departmentNumber, sales, never',
  ];
  await using bench = directoryBench(settings({ groupMapping: lines, bases: [partnersBase, `ou=second,${suffix}`] }));
  for (const [user, groups] of [
    ['John', ['apac', 'asia', 'all']],
    ['one', ['everybody']],
    ['zoe', ['everybody']],
  ] as const) {
    await bench.login(user, userPassword);
    assert.deepEqual(bench.partners.get(user.toLowerCase())?.groups, groups, user);
  }
  const byDepartment = { bases: [`ou=det,${partnersBase}`, partnersBase], groupMapping: lines.slice(2), baseGroups: [] };
  await using department = directoryBench(settings(byDepartment));
  await department.login('jane', userPassword);
  assert.deepEqual(department.partners.get('jane')?.groups, ['force']);
  await department.login('John', userPassword);
  assert.deepEqual(department.partners.get('john')?.groups, ['never'], 'exact values ignore case');
  const none = await department.login('one', userPassword);
  assert.equal(none.outcome === 'reject' && none.reason, 'not in the directory as it must be');
  await using based = directoryBench(settings({ ...byDepartment, baseGroups: ['base'] }));
  await based.login('one', userPassword);
  assert.deepEqual(based.partners.get('one')?.groups, ['base']);
});

test('LD-17, LD-19, LD-21, LD-22: the home is what the entry says; without one nobody comes in, unless none is asked for', async () => {
  const home = { attribute: 'street', template: 'teams/{street}' };
  for (const more of [{}, { service }]) {
    await using bench = directoryBench(settings({ ...more, home }));
    assert.equal(await outcomeOf(bench, 'John'), 'partner john');
    assert.equal(bench.partners.get('john')?.home, 'teams/AcmeCo/report');
    const none = await bench.login('one', userPassword);
    assert.equal(none.outcome === 'reject' && none.reason, 'not in the directory as it must be');
  }
  await using without = directoryBench(settings());
  assert.equal(await outcomeOf(without, 'one'), 'partner one');
  assert.equal(without.partners.get('one')?.home, undefined);
});

test('LD-34: groups that groups are members of count when they are asked for', async () => {
  const groupMapping = [{ attribute: 'memberOf', matches: `cn=world,ou=groups,${suffix}`, groups: ['world'] }];
  for (const more of [{}, { service }]) {
    await using nested = directoryBench(settings({ ...more, groupMapping, nestedGroups: true }));
    assert.equal(await outcomeOf(nested, 'John'), 'partner john');
    assert.deepEqual(nested.partners.get('john')?.groups, ['world']);
  }
  await using flat = directoryBench(settings({ groupMapping }));
  assert.equal(await outcomeOf(flat, 'John'), 'reject');
});

test('LD-39, LD-41: LDAPS and StartTLS with a wrong authority, name or key send no password', async () => {
  const stranger = join(slapd.folder, 'stranger.pem');
  await writeFile(stranger, rootCertificates[0] ?? '');
  const good = { authorities: slapd.authority };
  const cases: readonly (readonly [Readonly<Record<string, unknown>>, string])[] = [
    [good, 'partner john'],
    [{ keyPins: [slapd.keyPin] }, 'partner john'],
    [{}, 'failed'],
    [{ authorities: stranger }, 'failed'],
    [{ ...good, serverName: 'other.example.test' }, 'failed'],
    [{ ...good, keyPins: ['ab'.repeat(32)] }, 'failed'],
  ];
  for (const [trust, expected] of cases) {
    for (const way of [{ servers: [slapd.tlsUrl] }, { servers: [slapd.plainUrl], startTls: true }]) {
      await using bench = directoryBench({ bases: [partnersBase], ...way, ...trust });
      slapd.takeRequests();
      assert.equal(await outcomeOf(bench, 'John'), expected, JSON.stringify({ ...way, ...trust }));
      const asked = (await requests(expected === 'failed' ? 2 : 5)).filter((line) => line.startsWith('BIND'));
      assert.equal(asked.length, expected === 'failed' ? 0 : 1);
    }
  }
});

/** A server that accepts and behaves as `behave` says. */
async function double(behave: (socket: Socket) => void): Promise<AsyncDisposable & { readonly url: string }> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    behave(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  return {
    url: `ldap://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

test('LD-41: a server that declines StartTLS, or says more than yes, never sees a password', async () => {
  const yes = Buffer.from('300c02010178070a010004000400', 'hex');
  const answers: readonly Buffer[] = [
    Buffer.from('300c02010178070a013404000400', 'hex'),
    Buffer.concat([yes, yes]),
    Buffer.from('48545450', 'hex'),
  ];
  for (const answer of answers) {
    let heard = Buffer.alloc(0);
    await using server = await double((socket) =>
      socket.on('data', (chunk: Buffer) => {
        heard = Buffer.concat([heard, chunk]);
        socket.write(answer);
      }),
    );
    await using bench = directoryBench({ servers: [server.url], startTls: true, bases: [partnersBase], connectTimeout: '500ms' });
    assert.equal((await bench.login('John', userPassword)).outcome, 'failed');
    assert.equal(heard.includes(userPassword), false);
    assert.ok(heard.length <= 31, 'nothing but the request for TLS');
  }
});

test('LD-42: a silent server fails in time, the next one is asked, and then the silent one not again for a moment', async () => {
  await using silent = await double(() => undefined);
  const quick = { answerTimeout: '200ms', connectTimeout: '200ms', totalTimeout: '2s' };
  await using bench = directoryBench(settings({ servers: [silent.url], ...quick }));
  assert.equal((await bench.login('John', userPassword)).outcome, 'failed');
  assert.equal(bench.method.failing, true);
  await using refused = directoryBench(settings({ servers: ['ldap://127.0.0.1:1', slapd.plainUrl] }));
  assert.equal(await outcomeOf(refused, 'John'), 'partner john');
});

test('LD-44: names that are filters or DNs match nobody else', async () => {
  await using parent = directoryBench(settings());
  const hostile = [
    'John)(uid=*',
    '*',
    `jane,ou=det`,
    'John,ou=partners',
    'John+uid=john.doe',
    'John\\',
    '\\4aohn',
    '#4a6f686e',
    'Jo\0hn',
  ];
  for (const typed of hostile) assert.equal(await outcomeOf(parent, typed), 'reject', typed);
  assert.equal(await outcomeOf(parent, 'odd, name'), 'partner odd..name');
  await using search = directoryBench(settings({ service, bind: 'direct', usernameAttribute: 'uid' }));
  for (const typed of [...hostile, 'john*', 'a)(uid=*']) assert.equal(await outcomeOf(search, typed), 'reject', typed);
  assert.equal(await outcomeOf(search, 'odd(name)*'), 'partner odd.name..');
});

test('several entries for one name, a size limit of the server, and a referral let nobody in', async () => {
  await using search = directoryBench(settings({ service, bind: 'direct', usernameAttribute: 'uid' }));
  const several = await search.login('twin', userPassword);
  assert.equal(several.outcome === 'reject' && several.reason, 'not in the directory as it must be');
  const limited = { ...service, name: `cn=limited,ou=services,${suffix}` };
  await using few = directoryBench(settings({ service: limited, bind: 'direct', usernameAttribute: 'uid' }));
  assert.equal(await outcomeOf(few, 'twin'), 'reject');
  assert.equal(await outcomeOf(few, 'john.doe'), 'partner john.doe');
  await using referred = directoryBench(
    settings({ service, bases: [`ou=second,${suffix}`], bind: 'direct', usernameAttribute: 'uid' }),
  );
  const answer = await referred.login('who', userPassword);
  assert.match(answer.detail, /referrals, which are not followed/);
});

test('a service account is bound once for many logins, users each on a connection of their own', async () => {
  await using bench = directoryBench(settings({ service }));
  slapd.takeRequests();
  for (let i = 0; i < 3; i += 1) assert.equal(await outcomeOf(bench, 'John'), 'partner john');
  const seen = (await requests(1 + 1 + 3 * 6)).filter((line) => line.startsWith('BIND'));
  assert.deepEqual(seen.filter((line) => line.includes('svc')).length, 1);
  assert.equal(seen.length, 4);
  await chmod(service.passwordFile, 0o644);
  await using careless = directoryBench(settings({ service }));
  assert.equal((await careless.login('John', userPassword)).outcome, 'failed');
  await chmod(service.passwordFile, 0o600);
});

test('TO-01: without a second factor of ours, password and code go to the directory as they were typed', async () => {
  await using bench = directoryBench(settings());
  const joined = `cn=joined,${partnersBase}`;
  const entry = { objectClass: ['inetOrgPerson'], cn: 'joined', sn: 'x', userPassword: 'SecretPass123456' };
  await slapd.as((client) => client.add(joined, entry));
  assert.equal(await outcomeOf(bench, 'joined', 'SecretPass123456'), 'partner joined');
});

const totp = { attribute: 'carLicense' };

test('TO-02, TO-03, TO-05, TO-11: the code is cut off and checked with a secret that only the service account can read, once', async () => {
  await using bench = directoryBench(settings({ service, totp }));
  const code = await oathtool('now');
  const wrong = code === '000000' ? '000001' : '000000';
  const refused = await bench.login('John', `${userPassword}${wrong}`);
  assert.equal(refused.outcome === 'reject' && refused.reason, 'wrong code');
  assert.equal(await outcomeOf(bench, 'John', `${userPassword}${code}`), 'partner john');
  const again = await bench.login('john', `${userPassword}${code}`);
  assert.equal(again.outcome === 'reject' && again.reason, 'code used before');
  assert.equal(await outcomeOf(bench, 'John', `wrong${code}`), 'reject');
});

test('TO-04, TO-12: without a secret, without a code, or with nothing but a code nobody comes in', async () => {
  await using bench = directoryBench(settings({ service, totp }));
  const none = await bench.login('one', `${userPassword}123456`);
  assert.equal(none.outcome === 'reject' && none.reason, 'no second factor');
  slapd.takeRequests();
  for (const typed of ['123456', '12345', ' 123456', userPassword]) {
    const answer = await bench.login('John', typed);
    assert.equal(answer.outcome === 'reject' && answer.reason, 'code missing', typed);
  }
  assert.deepEqual(slapd.takeRequests(), []);
  await using asUser = directoryBench(settings({ totp }));
  const hidden = await asUser.login('John', `${userPassword}${await oathtool('now')}`);
  assert.equal(hidden.outcome === 'reject' && hidden.reason, 'no second factor', 'the user may not read it');
});

/** The code of RFC 6238's secret, by another implementation. */
async function oathtool(when: string): Promise<string> {
  const secret = new URL(totpUri).searchParams.get('secret') ?? '';
  const { code, out, err } = await run('oathtool', ['--totp', '--base32', '--now', when, '-'], {}, `${secret}\n`);
  assert.equal(code, 0, err);
  return out.trim();
}

test('an unknown user goes on to the next method only when a service account proves it and the configuration says so', async () => {
  await using next = directoryBench(settings({ service, unknownUser: 'next' }));
  assert.equal(await outcomeOf(next, 'stranger'), 'unknown');
  assert.equal(await outcomeOf(next, 'John', 'wrong'), 'reject');
  assert.throws(() => directoryBench(settings({ unknownUser: 'next' })), /service account/);
});

test('D8: a directory is asked less often about one user than it would lock him for', async () => {
  await using bench = directoryBench(settings({ failuresPerUser: 3 }));
  slapd.takeRequests();
  const typed = ['John', 'john', ' JOHN', 'Jöhn', 'john ', 'John'];
  for (const name of typed) assert.equal(await outcomeOf(bench, name, 'guess'), 'reject');
  const last = await bench.login('John', userPassword);
  assert.equal(last.outcome === 'reject' && last.reason, 'too many failures');
  assert.equal((await requests(3 * 4)).filter((line) => line.startsWith('BIND')).length, 3);
  assert.equal(await outcomeOf(bench, 'one'), 'partner one');
});

test('LD-40: a server is reached by its IPv6 address, and its certificate must name it', async () => {
  await using bench = directoryBench({ servers: [slapd.ipv6Url], authorities: slapd.authority, bases: [partnersBase] });
  assert.equal(await outcomeOf(bench, 'John'), 'partner john');
  await using byName = directoryBench({
    servers: [slapd.ipv6Url],
    authorities: slapd.authority,
    bases: [partnersBase],
    serverName: 'ldap.example.com',
  });
  const answer = await byName.login('John', userPassword);
  assert.equal(answer.outcome, 'failed');
});

test('LD-23: the e-mail address of the entry is kept when there is one, and none is needed', async () => {
  await using bench = directoryBench(settings({ emailAttribute: 'mail', bases: [partnersBase, `ou=det,${partnersBase}`] }));
  for (const [user, email] of [
    ['John', 'john.doe@ad.example.test'],
    ['jane', undefined],
  ] as const) {
    assert.equal(await outcomeOf(bench, user), `partner ${user.toLowerCase()}`);
    assert.equal(bench.partners.get(user.toLowerCase())?.email, email);
  }
});

test('locked, expired, in its grace, about to expire and to be changed are told apart by the password policy of the directory', async () => {
  const lasting = { pwdMaxAge: '864000', pwdExpireWarning: '863999' };
  const policies = {
    short: { pwdLockout: 'TRUE', pwdMaxFailure: '2' },
    expiring: lasting,
    expired: { pwdMaxAge: '1' },
    grace: { pwdMaxAge: '1', pwdGraceAuthNLimit: '3' },
    reset: { pwdMustChange: 'TRUE' },
  };
  await slapd.as(async (client) => {
    for (const [name, more] of Object.entries(policies)) {
      await client.add(`cn=${name},ou=policies,${suffix}`, policy(name, more));
      const its = { pwdPolicySubentry: `cn=${name},ou=policies,${suffix}`, ...(name === 'reset' ? { pwdReset: 'TRUE' } : {}) };
      await client.add(`cn=pp-${name},${partnersBase}`, person(`pp-${name}`, `pp-${name}`, its));
    }
  });
  await using bench = directoryBench(settings({ service, failuresPerUser: 100 }));
  const told = async (user: string, password = userPassword): Promise<string> => {
    const answer = await bench.login(`pp-${user}`, password);
    return answer.outcome === 'reject' ? `${answer.reason}: ${answer.detail}` : `${answer.outcome}: ${answer.detail}`;
  };
  // Two wrong ones lock; from then on the right one is refused, too.
  for (let i = 0; i < 2; i += 1) await told('short', 'wrong');
  assert.equal(await told('short'), 'locked by the directory: the account is locked (password policy, 1)');
  const expired = 'password must be changed: the password has expired (password policy, 0)';
  await eventually('a second has passed', async () => (await told('expired')) === expired);
  const soon = /^accept: .*the password expires in 10 days/;
  await eventually('the warning has begun', async () => soon.test(await told('expiring')));
  assert.match(await told('grace'), /^accept: .*the password has expired, 2 more logins are allowed with it/);
  assert.match(await told('reset'), /^password must be changed: the password must be changed first \(password policy, 2\)/);
});

test('LD-42: a server that answers byte by byte ends with the time for the whole login', async () => {
  const sockets = new Set<Socket>();
  const dripping = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    // The beginning of an answer that never ends.
    const timer = setInterval(() => socket.write(Buffer.from([0x30])), 50);
    socket.once('close', () => clearInterval(timer));
    socket.write(Buffer.from([0x30, 0x84, 0x00, 0x10, 0x00, 0x00]));
  });
  await new Promise<void>((resolve) => dripping.listen(0, '127.0.0.1', resolve));
  const { port } = dripping.address() as { port: number };
  try {
    const servers = [`ldap://127.0.0.1:${port}`];
    await using bench = directoryBench(settings({ servers, answerTimeout: '10s', totalTimeout: '1s' }));
    const answer = await bench.login('John', userPassword);
    assert.deepEqual([answer.outcome, answer.detail], ['failed', 'totalTimeout is over']);
  } finally {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => dripping.close(resolve));
  }
});

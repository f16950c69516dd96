/**
 * A real internal node against a DMZ node that was taken over (reliability.md §1.3): the node stays up, writes nothing
 * outside staging and destinations, opens no connection but the tunnel, alarms, and serves an honest link afterwards.
 *
 * The DMZ has all that a real one gets: the right keys, the policy, and live sessions of two partners.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { HostileData, HostileLink } from '../../internal-node/redteam/hostile-dmz.ts';
import { addressNames, forgedNames, mappedNames } from '../../internal-node/redteam/names.ts';
import type { DoubleItem } from '../../internal-node/redteam/sealed-item.ts';
import { collectedBytes } from '../../internal-node/redteam/taken-over-dmz.ts';
import { eventually } from '../../scripts/site/walk.ts';
import { newItemId, newSessionId, newTraceId } from '../../shared/ids.ts';
import { limits } from '../../shared/tunnel/messages.ts';
import { InsideStage } from './inside-stage.ts';
import { type Mark, unprintable } from './watched-node.ts';

let stage: InsideStage;

/** An attack with all that must hold after it. `alarms`: at least these were recorded. */
function attack(name: string, alarms: readonly string[], run: (mark: Mark) => Promise<void>): void {
  it(name, async () => {
    const mark = await stage.inside.mark();
    await run(mark);
    for (const alarm of alarms) await stage.inside.heard(mark, alarm);
    await stage.assertSound(mark);
  });
}

const mebibyte = 1024 * 1024;
const wire = (message: object): string => JSON.stringify(message);
const login = (user: string, over: object = {}) => {
  const common = { session: newSessionId(), trace: newTraceId(), user, peer: '192.0.2.1', protocol: 'sftp' };
  // Without a password: the memory of its hash would hide what an attack costs.
  return { ...common, method: 'key-probe', algorithm: 'ssh-ed25519', key: stage.acme.login.key, ...over };
};
const isOf = (item: DoubleItem) => (event: { readonly item?: string }) => event.item === item.description.id;

/** The message with which an item would be presented, as text to be spoilt. */
function readyText(link: HostileLink, item: DoubleItem, spoil: (text: string) => string): void {
  link.sendText(spoil(wire({ k: 'req', id: 900_000_000, m: 'item.ready', p: item.description, n: link.sent + 1 })));
}

describe('an internal node whose DMZ node was taken over', () => {
  before(async () => {
    stage = await InsideStage.start();
  });
  after(async () => {
    await stage?.[Symbol.asyncDispose]();
  });

  attack('D1: unknown messages, another version and the wrong order end the link', ['link.violation'], async (mark) => {
    await stage.eachIsCut(mark, {
      'an unknown request': (link) => link.sendMessage({ k: 'req', id: 900_000_000, m: 'tcp.open', p: { host: '192.0.2.7' } }),
      'a request that only the inside may make': (link) =>
        link.sendMessage({ k: 'req', id: 900_000_000, m: 'policy.put', p: { bundle: '{}', signature: '', certificate: '' } }),
      'a message that was sent before': (link) =>
        link.sendText(wire({ k: 'note', m: 'session.end', p: { token: stage.acme.token }, n: link.sent })),
    });
    stage.edge.wire.onHello = (honest) => ({ ...honest, protocol: 2 });
    stage.edge.wire.links.at(-1)?.ws.terminate();
    await stage.inside.heard(mark, 'link.violation', 4);
    stage.edge.wire.onHello = (honest, link) => {
      link.ask('auth.check', login('acme'));
      return honest;
    };
    await stage.inside.heard(mark, 'link.violation', 5);
    stage.edge.wire.onHello = (honest) => honest;
    const unknown = await stage.makeHonest('/Inbox/x');
    assert.deepEqual(await stage.askKey(unknown, stage.acme.token), { error: 'key-refused' }, 'the session was not ended');
  });

  attack(
    'D5: where an item goes is decided inside, whatever the DMZ says',
    ['item.route-mismatch', 'key.refused'],
    async (mark) => {
      const { edge, acme, globex } = stage;
      const decisions = {
        'order-1.csv': { action: 'deliver', destination: 'vault' },
        'order-2.csv': { action: 'deliver', destination: '../../../escaped' },
        'order-3.csv': { action: 'delete' },
      };
      for (const [name, route] of Object.entries(decisions)) {
        const item = await stage.makeHonest(`/Inbox/${name}`);
        const answer = await edge.present(item, { decision: { route, rule: 'mine' } as never });
        assert.deepEqual(answer.decision, {
          route: { action: 'deliver', destination: 'inside' },
          rule: answer.decision && rule(answer),
        });
        await stage.expectDelivered(item, `acme/${name}`);
      }
      await stage.inside.heard(mark, 'item.route-mismatch', 3);

      // It puts an item into the Outbox of a partner for whom it is not.
      const csv = await stage.makeHonest('/Inbox/order-4.csv');
      const outbox = { route: { action: 'outbox', partner: 'globex' }, rule: 'mine' } as const;
      await edge.present(csv, { decision: outbox, state: 'offered' });
      assert.deepEqual(await stage.askKey(csv, globex.token), { error: 'key-refused' });
      await edge.present(csv);
      await stage.expectDelivered(csv, 'acme/order-4.csv');

      // It would rather have inside what a rule gives to another partner.
      const pdf = await stage.make('/Inbox/contract.pdf');
      const { decision } = await edge.present(pdf);
      assert.deepEqual((decision as typeof outbox).route, outbox.route);
      assert.deepEqual(await stage.askKey(pdf, acme.token), { error: 'key-refused' });
      assert.ok((await stage.askKey(pdf, globex.token)).keys, 'the one it is for may read it');
      assert.ok(!edge.read.includes(pdf.description.id), 'and the inside does not fetch it');
      assert.deepEqual(
        (await readdir(stage.vault)).filter((name) => name !== '.sallyport-staging'),
        [],
      );
    },
  );

  attack('D6: an item that no session of its partner can have sent is set aside', ['item.forged'], async (mark) => {
    const { edge, acme, globex } = stage;
    const over = await stage.login('acme');
    const link = await edge.link();
    link.sendMessage({ k: 'note', m: 'session.end', p: { token: over.token } });
    await sleep(1200); // the grace of this site
    const forged = [
      await stage.make('/Inbox/nobody.csv', { ...acme, proof: 'a'.repeat(64) }),
      await stage.make('/Inbox/other.csv', { ...acme, proof: globex.proof }),
      await stage.make('/Inbox/over.csv', over),
      await stage.make('/Inbox/stranger.csv', { ...acme, partner: 'mallory' }),
    ];
    for (const item of forged) {
      const { decision } = await edge.present(item);
      assert.deepEqual((decision as { route: object }).route, { action: 'hold' });
      await stage.inside.heard(mark, 'item.forged', 1, isOf(item));
      assert.deepEqual(await stage.askKey(item, acme.token), { error: 'key-refused' });
    }
    assert.deepEqual(await stage.askKey(forged[0] as DoubleItem, over.token), { error: 'session-unknown' });
    assertUnread(forged);
  });

  attack('D7: what was said before has no effect a second time', ['item.forged', 'auth.rejected'], async (mark) => {
    const { edge } = stage;
    const item = await stage.honestFile();
    const { id } = item.description;
    const reads = edge.read.length;
    const confirms = edge.confirmed.length;
    for (const over of [{}, { state: 'held' }, { path: '/Inbox/again.csv' }] as const) await edge.present(item, over);
    await eventually('it is confirmed again', async () => edge.confirmed.length > confirms || undefined);
    const other = await stage.make('/Inbox/again.csv');
    const conflict = { ...other, description: { ...other.description, id } };
    assert.deepEqual(await edge.present(conflict), { error: 'protocol-violation' });
    assert.deepEqual(await edge.present(conflict), { error: 'protocol-violation' });
    await stage.inside.heard(mark, 'item.forged', 1, isOf(item));
    await sleep(600); // two looks at the list
    assert.equal(edge.read.length, reads, 'nothing is fetched again');
    assert.equal(
      (await stage.inside.since(mark)).filter((event) => event.name === 'item.delivered' && isOf(item)(event)).length,
      1,
    );
    edge.items.delete(id);

    const fresh = { session: newSessionId(), trace: newTraceId() };
    const { login: recorded } = await stage.login('acme');
    const otherIdentifier = Buffer.from(recorded.signed, 'base64');
    otherIdentifier[8] = (otherIdentifier[8] ?? 0) ^ 1;
    const replays = {
      'the same message': recorded,
      'the same proof in a new session': { ...recorded, ...fresh },
      'the same proof for another user': { ...recorded, ...fresh, user: 'globex' },
      'another connection under the same signature': { ...recorded, ...fresh, signed: otherIdentifier.toString('base64') },
    };
    for (const [name, replay] of Object.entries(replays)) {
      assert.deepEqual(await edge.ask('auth.check', replay), { verdict: 'rejected' }, name);
    }
    const rejected = await stage.inside.heard(mark, 'auth.rejected', 4);
    assert.ok(rejected.some(({ reason }) => reason === 'SSH session identifier used before'));
  });

  attack('D15: bytes that are not the announced ones never get a name', ['item.quarantined'], async (mark) => {
    const { edge } = stage;
    const lies: Record<string, (sealed: Buffer) => Buffer> = {
      flip: (sealed) => flipped(sealed, sealed.length - 100),
      'flip-header': (sealed) => flipped(sealed, 60),
      truncate: (sealed) => sealed.subarray(0, -1),
      empty: () => Buffer.alloc(0),
      extend: (sealed) => Buffer.concat([sealed, Buffer.alloc(48 * mebibyte)]),
      twice: (sealed) => Buffer.concat([sealed, sealed]),
    };
    const items: DoubleItem[] = [];
    const lieOf = new Map<string, (sealed: Buffer) => Buffer>();
    for (const [name, lie] of Object.entries(lies)) {
      const item = await stage.make(`/Inbox/${name}.csv`);
      lieOf.set(item.description.id, lie);
      items.push(item);
    }
    // Another file of the same size, sealed as it should be, and announcements that are not true.
    const [announced, other] = [await stage.make('/Inbox/swap.csv'), await stage.make('/Inbox/swap.csv')];
    items.push({ ...announced, sealed: other.sealed });
    items.push(await lying('size', (size) => ({ size: size - 1, plain: size - 1 })));
    items.push(await lying('digest', (size) => ({ size, plain: size, sha256: 'b'.repeat(64) })));
    edge.tamper = (sealed, { id }) => lieOf.get(id)?.(sealed) ?? sealed;
    for (const item of items) assert.ok((await edge.present(item)).decision);
    for (const item of items) await stage.inside.heard(mark, 'item.quarantined', 1, isOf(item));
    edge.tamper = (sealed) => sealed;
    // Set aside is set aside: the right bytes come too late.
    const reads = edge.read.length;
    for (const item of items) await edge.present(item);
    await sleep(600);
    assert.equal(edge.read.length, reads);
    assert.ok((await stage.status()).items.quarantined >= items.length);
    for (const { description } of items) edge.items.delete(description.id);

    // The same on one stream with others: the bytes of one item for another, altered ones, more and fewer than announced.
    const together = await Promise.all(['x', 'y', 'z', 'long', 'short'].map((name) => stage.make(`/Inbox/${name}.csv`)));
    const [x, y, z, long, short] = together.map(({ sealed }) => sealed[0] ?? Buffer.alloc(0));
    if (!x || !y || !z || !long || !short) throw new Error('an item without bytes');
    const sent = [y, x, Buffer.from(z.map((byte) => byte ^ 1)), Buffer.concat([long, long]), short.subarray(1)];
    const order = together.map(({ description }) => description.id);
    const honest = edge.collect;
    edge.collect = (data, ids) => {
      data.sendJson({ k: 'ok' });
      data.sendBinary(
        collectedBytes(
          60_000,
          ids.map((id) => sent[order.indexOf(id)]),
        ),
      );
      data.sendJson({ k: 'end' });
    };
    for (const item of together) await edge.present(item);
    for (const item of together) await stage.inside.heard(mark, 'item.quarantined', 1, isOf(item));
    edge.collect = honest;
    for (const { description } of together) edge.items.delete(description.id);

    // Offered as one thing, listed as another before it is fetched.
    const first = await stage.make('/Inbox/changing.pdf');
    await edge.present(first);
    const second = await stage.make('/Inbox/changing.pdf');
    edge.list({ ...second, description: { ...second.description, id: first.description.id } });
    await stage.inside.heard(mark, 'item.forged', 1, isOf(first));
    edge.items.delete(first.description.id);
  });

  attack('D16: a flood of offers and a drip of bytes do not keep other partners out', [], async () => {
    const { edge, globex } = stage;
    const dripping = new Set<string>();
    const drips: NodeJS.Timeout[] = [];
    edge.serve = (data, { id }) => {
      if (!dripping.has(id)) return false;
      data.sendJson({ k: 'ok' });
      drips.push(setInterval(() => data.ws.readyState === 1 && data.sendBinary(Buffer.from([0])), 50).unref());
      return true;
    };
    // More than it fetches at the same time.
    const slow = await Promise.all(Array.from({ length: 40 }, (_, n) => stage.make(`/Inbox/drip-${n}.csv`)));
    for (const item of slow) {
      dripping.add(item.description.id);
      await edge.present(item);
    }
    const link = await edge.link();
    const [first] = slow;
    assert.ok(first);
    const flood = Array.from({ length: 250 }, () => {
      const description = { ...first.description, id: newItemId(), sessionProof: 'c'.repeat(64) };
      return link.ask('item.ready', description);
    });
    await stage.honestFile(globex); // the bytes drip on until they are told to stop
    await eventually('the flood is answered', async () => flood.every((id) => link.answerTo(id) !== undefined) || undefined);
    const refused = flood.filter((id) => JSON.stringify(link.answerTo(id)) === '{"error":"limit-reached"}');
    assert.ok(refused.length >= 100, `${refused.length} of 250 were more than it takes at once`);
    for (const drip of drips) clearInterval(drip);
    for (const { description } of slow) edge.items.delete(description.id);
    dripping.clear();
    for (const { ws } of edge.wire.dataSockets) ws.terminate();
    edge.serve = () => false;
  });

  attack('D20: nothing the DMZ says opens a connection or starts a program', ['link.violation'], async (mark) => {
    const { edge } = stage;
    for (const [path, file] of Object.entries(addressNames)) {
      const item = await stage.makeHonest(`/Inbox/${path}`);
      await edge.present(item, { decision: { route: { action: 'deliver', destination: '//192.0.2.7/share' }, rule: path } });
      await stage.expectDelivered(item, `acme/${file}`);
    }
    for (const user of [
      'http://192.0.2.7/',
      '\\\\192.0.2.7\\x',
      'cn=x,dc=intranet',
      'acme@intranet.example',
      '$(curl 192.0.2.7)',
    ]) {
      assert.deepEqual(await edge.ask('auth.check', login(user)), { verdict: 'rejected' });
    }
    await stage.eachIsCut(mark, {
      'a host name for an address': (link) => link.ask('auth.check', login('acme', { peer: 'intranet.example' })),
    });
    let redirects = 0;
    edge.wire.onUpgrade = (socket) => {
      redirects += 1;
      socket.end(
        'HTTP/1.1 301 Moved\r\nLocation: http://192.0.2.7/\r\nx-sallyport-check: \u001b[2J\r\nConnection: close\r\n\r\n',
      );
      return true;
    };
    edge.wire.links.at(-1)?.ws.terminate();
    await eventually('two redirects were answered', async () => redirects >= 2 || undefined);
    edge.wire.onUpgrade = () => false;
  });

  attack('D4: names that lead elsewhere are set aside, odd ones are made harmless', ['item.forged'], async (mark) => {
    const { edge } = stage;
    const tag = `escaped-${randomBytes(6).toString('hex')}`;
    const forged: DoubleItem[] = [];
    for (const [name, path] of Object.entries(forgedNames(tag))) {
      const [offered, listed] = [await stage.make(path), await stage.make(path)];
      const answer = await edge.present(offered);
      assert.deepEqual((answer.decision as { route: object } | undefined)?.route, { action: 'hold' }, name);
      edge.list(listed);
      forged.push(offered, listed);
    }
    const odd: [DoubleItem, string][] = [];
    for (const [path, file] of Object.entries(mappedNames)) odd.push([await stage.makeHonest(`/Inbox/${path}`), file]);
    for (const [item] of odd) edge.list(item);
    for (const [item, file] of odd) await stage.expectDelivered(item, `acme/${file}`);
    for (const item of forged) await stage.inside.heard(mark, 'item.forged', 1, isOf(item));
    assertUnread(forged);
    for (const folder of ['/', '/tmp']) assert.ok(!(await readdir(folder)).some((name) => name.includes(tag)), folder);
    for (const { description } of forged) edge.items.delete(description.id);
  });

  attack('D21: no text of the DMZ reaches a log, the audit trail or a terminal unescaped', ['item.forged'], async (mark) => {
    const { edge } = stage;
    const evil = '\u001b]0;x\u0007\u001b[2J\r\n\u009b2J\u202e\u2028FORGED';
    const item = await stage.makeHonest('/Inbox/told.csv');
    await edge.present(item, { decision: { route: { action: 'deliver', destination: evil }, rule: evil } });
    await stage.expectDelivered(item, 'acme/told.csv');
    const forged = await stage.make(`/Inbox/${evil}`);
    await edge.present(forged);
    await edge.ask('auth.check', login(evil));
    await edge.ask('auth.check', { ...stage.acme.login, user: evil, algorithm: evil });
    const context = { item: item.description.id, trace: item.description.trace, session: evil, partner: evil };
    await edge.tell(
      { name: 'login.failed', atMs: Date.now(), ...context, fields: { peer: evil, user: evil, method: evil, reason: evil } },
      { name: 'session.connected', atMs: 8.64e15, ...context, fields: { protocol: evil, peer: evil, client: evil } },
      { name: 'item.delivered', atMs: 8.64e15, item: forged.description.id, fields: { file: evil } },
      { name: 'store.suspect', atMs: Date.now(), item: evil, trace: evil, fields: { detail: evil } },
    );
    await stage.inside.heard(mark, 'store.suspect');
    edge.status = { ...edge.status, version: evil };
    const shown = {
      trace: await stage.inside.ask('trace', item.description.id),
      ls: await stage.inside.ask('ls'),
      status: await stage.inside.ask('status'),
      'trace --json': await stage.inside.ask('trace', item.description.id, '--json'),
      'ls --json': await stage.inside.ask('ls', '--json'),
    };
    edge.status = { ...edge.status, version: 'test' };
    const told = await stage.inside.ask('trace', forged.description.id);
    assert.match(told, /CAUSE {2}The DMZ presented an item/, 'its word does not stand for the truth');
    assert.doesNotMatch(told, /RESULT/);
    for (const [command, text] of Object.entries(shown)) {
      assert.ok(text.includes('FORGED'), `${command} shows it: ${text}`);
      const bad = text.split('\n').find((line) => unprintable.test(line.replaceAll('\t', '')) || line.startsWith('FORGED'));
      assert.equal(bad, undefined, command);
    }
    // A farewell, a version and a broken event, each with the same text.
    edge.wire.onHello = (honest) => ({ ...honest, version: evil, features: [evil.slice(0, 32)] });
    (await edge.link()).sendMessage({ k: 'note', m: 'link.bye', p: { reason: evil } });
    edge.wire.links.at(-1)?.ws.close(4000, evil);
    await stage.inside.heard(mark, 'link.down');
    await edge.tell({ name: evil, atMs: 1, fields: { [evil]: evil } });
    await stage.inside.heard(mark, 'link.violation');
    edge.untell();
    edge.wire.onHello = (honest) => honest;
    edge.wire.links.at(-1)?.ws.terminate();
  });

  attack('a list that does not rise is no list', ['link.violation'], async (mark) => {
    const item = await stage.make('/Inbox/again.csv', { ...stage.acme, proof: 'd'.repeat(64) });
    stage.edge.wire.answer('inbox.list', () => ({ items: [item.description, item.description], more: true }));
    await stage.inside.heard(mark, 'link.violation');
    stage.edge.restoreList();
  });

  attack('D2: frames and messages without measure end the link and cost no memory', ['link.violation'], async (mark) => {
    await stage.calm();
    const text = Buffer.from('{"k":"note",');
    await stage.eachIsCut(mark, {
      'a frame header of 4 GiB': (link) => link.sendFrame({ opcode: 1, payload: text, length: 4n * 1024n ** 3n }),
      'many fragments': (link) => {
        link.sendFrame({ fin: false, opcode: 1, payload: text });
        for (let n = 0; n < 20_000; n++) link.sendFrame({ fin: false, opcode: 0, payload: Buffer.from(' ') });
      },
      'a message that does not end': (link) => {
        link.sendFrame({ opcode: 1, payload: text, length: 2n ** 40n });
        for (let n = 0; n < 96; n++) link.sendBytes(Buffer.alloc(mebibyte, 0x20));
      },
    });
    // The same on a data socket, in place of the bytes of a file.
    const onData: Record<string, (data: HostileData) => void> = {
      'a data frame header of 4 GiB': (data) => data.sendFrame({ opcode: 2, payload: text, length: 4n * 1024n ** 3n }),
      'a text without end on a data socket': (data) => data.sendText(`{"k":"wait","x":"${'x'.repeat(200_000)}"}`),
    };
    for (const [name, act] of Object.entries(onData)) {
      const item = await stage.make('/Inbox/giant.csv');
      let done = false;
      stage.edge.serve = (data) => {
        if (done) return false;
        done = true;
        data.sendJson({ k: 'ok' });
        act(data);
        return true;
      };
      await stage.eachIsCut(mark, { [name]: () => void stage.edge.present(item).catch(() => undefined) });
      stage.edge.items.delete(item.description.id);
    }
    stage.edge.serve = () => false;
  });

  attack('D3: JSON that is deep, ambiguous or not what it seems has no effect', ['link.violation'], async (mark) => {
    await stage.calm();
    const items: DoubleItem[] = [];
    const spoilt: Record<string, (text: string) => string> = {
      'deep JSON': (text) => text.replace('"n":', `"x":${'['.repeat(20_000)}${']'.repeat(20_000)},"n":`),
      __proto__: (text) => text.replace('"p":{', '"p":{"__proto__":{"forged":null},'),
      'a duplicate key': (text) => text.replace('"partner":"acme"', '"partner":"globex","partner":"acme"'),
      'a size above 2^53': (text) => text.replace(/"size":\d+/, '"size":9007199254740993'),
      'a lone surrogate': (text) => text.replace('/Inbox/', '/Inbox/\\ud800'),
    };
    const scripts: Record<string, (link: HostileLink) => Promise<void>> = {};
    for (const [name, spoil] of Object.entries(spoilt)) {
      scripts[name] = async (link) => {
        const item = await stage.make('/Inbox/spoilt.csv');
        items.push(item);
        readyText(link, item, spoil);
      };
    }
    scripts['a path longer than any name can be'] = async (link) => {
      const item = await stage.make('/Inbox/long.csv');
      items.push(item);
      link.ask('item.ready', { ...item.description, path: `/Inbox/${'x'.repeat(limits.controlToInsideBytes - 4096)}` });
    };
    await stage.eachIsCut(mark, scripts);
    const known = await stage.inside.since(mark);
    for (const item of items) assert.ok(!known.some(isOf(item)), 'no partial effect');
  });
});

const rule = (answer: Readonly<Record<string, unknown>>): string => (answer.decision as { rule: string }).rule;

function assertUnread(items: readonly DoubleItem[]): void {
  const { read } = stage.edge;
  assert.deepEqual(
    items.map(({ description }) => description.id).filter((id) => read.includes(id)),
    [],
    'never fetched',
  );
}

function flipped(sealed: Buffer, at: number): Buffer {
  const copy = Buffer.from(sealed);
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
}

/** An item whose announcement differs from its sealed bytes. */
async function lying(
  name: string,
  lie: (size: number) => { readonly size: number; readonly plain: number; readonly sha256?: string },
): Promise<DoubleItem> {
  const item = await stage.make(`/Inbox/${name}.csv`);
  const { description } = item;
  const { size, plain, sha256 = description.sha256 } = lie(description.size);
  const segments = description.segments.map((segment) => ({ ...segment, plainBytes: plain, sha256 }));
  return { ...item, description: { ...description, size, sha256, segments } };
}

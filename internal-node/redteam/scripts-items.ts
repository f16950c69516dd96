/** Attacks with items: forged, replayed, altered, misdirected, badly named, too many, too large, withheld. */
import { randomBytes } from 'node:crypto';
import { newToken, tokenHash } from '../../shared/secret.ts';
import { addressNames, forgedNames, mappedNames } from './names.ts';
import { errorOf, routeOf, type Script } from './script.ts';
import type { DoubleItem } from './sealed-item.ts';
import { refuse, type Stage } from './stage.ts';
import { until } from './until.ts';

const isOf = (item: DoubleItem) => (event: { readonly item?: string }) => event.item === item.description.id;
const flood = 200;
/** Everything that could drive a terminal or forge a line (the rule of `printable`). */
const unprintable = /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/u;

/** Each must be set aside, with an alarm, and never be fetched. */
async function setAside(stage: Stage, items: readonly DoubleItem[]): Promise<void> {
  const mark = await stage.seen.mark();
  for (const item of items) {
    const answer = await stage.present(item);
    refuse(!['hold', 'none'].includes(routeOf(answer)), `${item.description.path} goes to: ${routeOf(answer)}`);
    await stage.seen.heard(mark, 'item.forged', isOf(item));
    refuse(errorOf(await stage.askKey(item, stage.session.token)) === '', `its key was given: ${item.description.path}`);
  }
  for (const item of items) {
    refuse(stage.edge.read.includes(item.description.id), `it was fetched: ${item.description.path}`);
    stage.edge.items.delete(item.description.id);
  }
}

export const itemScripts: readonly Script[] = [
  {
    row: 'D4',
    tries: 'names that lead out of the folder, and odd ones',
    async run(stage) {
      const forged: DoubleItem[] = [];
      for (const path of Object.values(forgedNames(`escaped-${randomBytes(4).toString('hex')}`)))
        forged.push(await stage.make(path));
      await setAside(stage, forged);
      const [odd, harmless] = Object.entries(mappedNames)[0] ?? ['', ''];
      const content = randomBytes(500);
      const item = await stage.edge.make(stage.session, `/Inbox/${odd}`, content);
      await stage.present(item);
      const path = await stage.arrived(item, harmless, content);
      return `${forged.length} set aside (item.forged); "${odd}" became ${path}`;
    },
  },
  {
    row: 'D5',
    tries: 'the DMZ node names another destination',
    async run(stage) {
      const mark = await stage.seen.mark();
      const content = randomBytes(500);
      const item = await stage.edge.make(stage.session, '/Inbox/misdirected.csv', content);
      const route = { action: 'deliver', destination: '../../escaped' } as const;
      const answer = await stage.present(item, { decision: { route, rule: 'mine' } });
      refuse(JSON.stringify(answer).includes('escaped'), 'the decision of the DMZ node was taken');
      await stage.seen.heard(mark, 'item.route-mismatch', isOf(item));
      await stage.arrived(item, '.csv', content);
      return 'it went where the rules of the inside say; item.route-mismatch';
    },
  },
  {
    row: 'D6',
    tries: 'items in the name of partners who are not connected',
    async run(stage) {
      const { session } = stage;
      const over = await stage.freshSession();
      const forged = [
        await stage.make('/Inbox/nobody.csv', { ...session, proof: 'a'.repeat(64) }),
        await stage.make('/Inbox/stranger.csv', { ...session, partner: 'nobody-of-that-name' }),
        await stage.make('/Inbox/other.csv', { ...over, proof: tokenHash(newToken()) }),
      ];
      await setAside(stage, forged);
      return `${forged.length} set aside: no session of the partner can have sent them`;
    },
  },
  {
    row: 'D7',
    tries: 'an item that was delivered and a login that was accepted, once more',
    async run(stage) {
      const content = randomBytes(700);
      const item = await stage.edge.make(stage.session, '/Inbox/once.csv', content);
      await stage.present(item);
      const path = await stage.arrived(item, 'once.csv', content);
      const reads = stage.edge.read.length;
      await stage.present(item);
      await stage.present(item, { path: '/Inbox/twice.csv' });
      const other = await stage.make('/Inbox/twice.csv');
      const conflict = { ...other, description: { ...other.description, id: item.description.id } };
      const answer = await stage.present(conflict);
      refuse(errorOf(answer) !== 'protocol-violation', `other contents under a known id: ${JSON.stringify(answer)}`);
      refuse(stage.edge.read.length !== reads, 'it was fetched a second time');
      stage.edge.items.delete(item.description.id);
      const { size, sha256, segments } = item.description;
      await setAside(stage, [{ sealed: item.sealed, description: { ...other.description, size, sha256, segments } }]);
      const names = [...(await stage.seen.delivered()).keys()].filter((name) => name.includes('once') || name.includes('twice'));
      refuse(names.length !== 1, `it was delivered more than once: ${names.join(', ')}`);
      const { login } = stage.session;
      if (login.method !== 'key') return `${path} stands once; other contents under its id: protocol-violation`;
      const again = await stage.edge.ask('auth.check', login);
      const verdict = String(again.verdict);
      // Its handshake may not be fresh any more.
      refuse(verdict !== 'rejected' && verdict !== 'unavailable', `a recorded login was answered with ${verdict}`);
      return `${path} stands once; the recorded login: ${verdict}`;
    },
  },
  {
    row: 'D12',
    tries: 'a login that the inside refused is treated as accepted',
    async run(stage) {
      const verdict = await stage.guess(stage.session.partner, `wrong ${randomBytes(6).toString('hex')}`);
      refuse(verdict.verdict === 'accepted', 'a wrong password was accepted');
      const token = newToken();
      const item = await stage.make('/Inbox/intruder.csv', { ...stage.session, token, proof: tokenHash(token) });
      await setAside(stage, [item]);
      const key = errorOf(await stage.askKey(item, token));
      refuse(key !== 'session-unknown', `a key for an invented session: ${key}`);
      return 'his upload: item.forged; a key for him: session-unknown';
    },
  },
  {
    row: 'D15',
    tries: 'bytes that are not the announced ones',
    async run(stage) {
      const mark = await stage.seen.mark();
      const items = [
        await stage.make('/Inbox/flipped.csv'),
        await stage.make('/Inbox/cut.csv'),
        await stage.make('/Inbox/long.csv'),
      ];
      const lies = [
        (sealed: Buffer) => Buffer.from(sealed.map((byte, at) => (at === sealed.length - 90 ? byte ^ 1 : byte))),
        (sealed: Buffer) => sealed.subarray(0, -1),
        (sealed: Buffer) => Buffer.concat([sealed, sealed]),
      ];
      const ids = items.map(({ description }) => description.id);
      stage.edge.tamper = (sealed, { id }) => lies[ids.indexOf(id)]?.(sealed) ?? sealed;
      try {
        for (const item of items) await stage.present(item);
        for (const item of items) await stage.seen.heard(mark, 'item.quarantined', isOf(item));
      } finally {
        stage.edge.tamper = (sealed) => sealed;
        for (const id of ids) stage.edge.items.delete(id);
      }
      return `${items.length} × item.quarantined; nothing of them has a name`;
    },
  },
  {
    row: 'D16',
    tries: `${flood} offers at once`,
    async run(stage) {
      const link = await stage.edge.link();
      const { description } = await stage.make('/Inbox/flood.csv');
      const id = (n: number): string =>
        description.id.slice(0, -2) + 'abcdefghijklmnopqrstuvwxyz'.charAt(n % 26) + 'abcdefghijklmnop'.charAt(Math.floor(n / 26));
      const asked = Array.from({ length: flood }, (_, n) =>
        link.ask('item.ready', { ...description, id: id(n), sessionProof: 'c'.repeat(64) }),
      );
      await until('the flood is answered', () => asked.every((one) => link.answerTo(one) !== undefined));
      const refused = asked.filter((one) => JSON.stringify(link.answerTo(one)).includes('limit-reached')).length;
      return `${refused} of ${flood} were more than it takes at once; an honest file arrives after it`;
    },
  },
  {
    row: 'D17',
    tries: 'an item larger than the disk of the inside',
    async run(stage) {
      const mark = await stage.seen.mark();
      const made = await stage.make('/Inbox/huge.bin');
      const size = 2 ** 50;
      // As many bytes as age would make of it: a tag for each chunk of 64 KiB.
      const sealedOf = (sealed: number, plain: number): number => sealed - plain + size + 16 * (size / 65_536 - 1);
      const segments = made.description.segments.map((one) => ({
        ...one,
        plainBytes: size,
        sealedBytes: sealedOf(one.sealedBytes, one.plainBytes),
      }));
      const item = { ...made, description: { ...made.description, size, segments } };
      await stage.present(item);
      const told = await stage.seen.heard(mark, ['item.delivery-failed', 'item.forged', 'item.quarantined'], isOf(item));
      refuse(stage.edge.read.includes(item.description.id), 'it began to fetch it');
      stage.edge.items.delete(item.description.id);
      return `${told[0]?.name}: ${String(told[0]?.reason ?? told[0]?.detail ?? '')}; no byte of it was fetched`;
    },
  },
  {
    row: 'D18',
    tries: 'an announced item is withheld',
    async run(stage) {
      const mark = await stage.seen.mark();
      const item = await stage.edge.make(stage.session, '/Inbox/lost.csv', randomBytes(400));
      await stage.edge.ask('item.ready', item.description);
      await stage.seen.heard(mark, 'item.gone', isOf(item));
      return 'it cannot be prevented; item.gone says that it was announced and is missing';
    },
  },
  {
    row: 'D20',
    tries: 'names and users that something careless takes for an address',
    async run(stage) {
      const [name = '', harmless = ''] = Object.entries(addressNames)[0] ?? [];
      const content = randomBytes(300);
      const item = await stage.edge.make(stage.session, `/Inbox/${name}`, content);
      await stage.present(item);
      await stage.arrived(item, harmless, content);
      for (const user of ['http://192.0.2.7/', '\\\\192.0.2.7\\x', 'cn=x,dc=intranet', '$(curl 192.0.2.7)']) {
        const { verdict } = await stage.guess(user, 'x');
        refuse(verdict === 'accepted', `"${user}" was accepted`);
      }
      return `"${name}" became ${harmless}; no such user is known`;
    },
  },
  {
    row: 'D21',
    tries: 'control characters and lines of a log in names',
    async run(stage) {
      const mark = await stage.seen.mark();
      const evil = '\u001b]0;x\u0007\u001b[2J\r\n\u009b2J\u202eFORGED';
      await setAside(stage, [await stage.make(`/Inbox/${evil}`)]);
      await stage.guess(evil, 'x');
      const raw = (await stage.seen.lines(mark)).find((line) => unprintable.test(line));
      refuse(raw !== undefined, 'the audit trail holds them as they are');
      return 'set aside (item.forged); the audit trail has them escaped';
    },
  },
  {
    row: 'D23',
    tries: 'times from before the past and after the future',
    async run(stage) {
      const paths: string[] = [];
      for (const completedAtMs of [0, 8.64e15]) {
        const content = randomBytes(300);
        const item = await stage.edge.make(stage.session, `/Inbox/time-${completedAtMs}.csv`, content);
        item.description = { ...item.description, completedAtMs };
        await stage.present(item);
        paths.push(await stage.arrived(item, '.csv', content));
      }
      return `delivered as ever: ${paths.join(', ')}`;
    },
  },
];

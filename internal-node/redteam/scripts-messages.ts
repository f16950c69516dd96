/** Attacks with the messages themselves: what is no message, comes in the wrong order, without measure, or from the wrong side. */
import { randomBytes } from 'node:crypto';
import { oddDescription } from './odd-messages.ts';
import { errorOf, type Script } from './script.ts';
import { Breach, refuse } from './stage.ts';
import { until } from './until.ts';

const mebibyte = 1024 * 1024;
const wire = (message: object): string => JSON.stringify(message);
/** Above every id that was used. */
const lastId = 900_000_000;
const storm = 2;

export const messageScripts: readonly Script[] = [
  {
    row: 'D1',
    tries: 'a message that does not exist, and one that was sent before',
    async run(stage) {
      const mark = await stage.seen.mark();
      return await stage.isCut(mark, (link) => {
        link.sendMessage({ k: 'req', id: lastId, m: 'tcp.open', p: { host: '192.0.2.7', port: 445 } });
        link.sendText(wire({ k: 'note', m: 'session.end', p: { token: stage.session.token }, n: link.sent }));
      });
    },
  },
  {
    row: 'D2',
    tries: 'a message without end, announced as 1 TiB',
    async run(stage) {
      const mark = await stage.seen.mark();
      return await stage.isCut(mark, (link) => {
        link.sendFrame({ opcode: 1, payload: Buffer.from('{"k":"note",'), length: 2n ** 40n });
        for (let n = 0; n < 16; n++) link.sendBytes(Buffer.alloc(mebibyte, 0x20));
      });
    },
  },
  {
    row: 'D3',
    tries: 'JSON that says the same key twice, once for each reader',
    async run(stage) {
      const mark = await stage.seen.mark();
      const item = await stage.make('/Inbox/spoilt.csv');
      const stopped = await stage.isCut(mark, (link) => link.sendText(oddDescription(item, link.sent + 1, lastId)));
      const known = (await stage.seen.since(mark)).some((event) => event.item === item.description.id);
      refuse(known, 'the item of a message that is none was taken');
      return stopped;
    },
  },
  {
    row: 'D22',
    tries: 'random bytes below the WebSocket layer',
    async run(stage) {
      const link = await stage.edge.link();
      link.sendBytes(randomBytes(64 * 1024));
      await until('the link is cut', () => link.ws.readyState === 3);
      return 'the link ended; the next one works';
    },
  },
  {
    row: 'D25',
    tries: 'the inside is to take a policy, another key and a new program',
    async run(stage) {
      const mark = await stage.seen.mark();
      const before = (await stage.seen.status()).certificates.phase;
      const identity = { statement: wire({ format: 1, role: 'dmz', number: 1, identities: [] }), signature: 'AAAA' };
      const answer = await stage.edge.ask('trust.put', identity);
      refuse(errorOf(answer) !== 'peer-refused', `a key that nobody signed was answered with ${wire(answer)}`);
      const stopped = await stage.isCut(mark, (link) => {
        link.sendMessage({ k: 'req', id: lastId, m: 'policy.put', p: { bundle: '{}', signature: '', certificate: '' } });
        link.sendMessage({ k: 'req', id: lastId + 1, m: 'program.update', p: { url: 'http://192.0.2.7/' } });
      });
      refuse((await stage.seen.status()).certificates.phase !== before, 'the keys of the inside were touched');
      return `an unsigned key: peer-refused; ${stopped}`;
    },
  },
  {
    row: 'D24',
    tries: `every link is cut as soon as it is up, ${storm} times`,
    async run(stage) {
      const { wire: server } = stage.edge;
      const began = performance.now();
      const first = server.links.length;
      for (let n = 0; n < storm; n++) {
        const link = await stage.edge.link();
        link.ws.terminate();
        await until('the link is gone', () => link.ws.readyState === 3);
      }
      await stage.edge.link();
      const dials = server.links.length - first;
      const seconds = (performance.now() - began) / 1000;
      // It dials after pauses that grow from a fifth of a second: more than this is no pause.
      if (dials > storm + 1 + 5 * seconds) throw new Breach(`it dialled ${dials} times within ${seconds.toFixed(1)} s`);
      return `it came back after growing pauses: ${dials} links`;
    },
  },
];

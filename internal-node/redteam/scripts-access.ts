/** Attacks on logins, on what partners are given to read, and on the record of it all. */
import { randomBytes } from 'node:crypto';
import { headerLength } from '../../shared/seal/header.ts';
import { errorOf, type Script } from './script.ts';
import { refuse, type Stage } from './stage.ts';
import type { Offered } from './taken-over-dmz.ts';
import { until } from './until.ts';

const spray = 200;

/** Something that staff offered to the partner. */
async function offered(stage: Stage): Promise<Offered> {
  const name = `for-partner-${randomBytes(4).toString('hex')}.txt`;
  await stage.offer(name, randomBytes(800));
  const found = (): Offered | undefined => stage.edge.offers.find(({ params }) => params.path.endsWith(name));
  await until(`${name} is offered`, () => found() !== undefined && (found()?.sealed().length ?? 0) > 800);
  const offer = found();
  if (!offer) throw new Error('the offer is gone again');
  return offer;
}

const headerOf = (sealed: Buffer): Buffer => sealed.subarray(0, headerLength(sealed));

export const accessScripts: readonly Script[] = [
  {
    row: 'D8',
    tries: `${spray} passwords of one partner from as many addresses`,
    async run(stage) {
      const mark = await stage.seen.mark();
      const guesses = Array.from({ length: spray }, (_, n) =>
        stage.guess(stage.session.partner, `guess ${n} ${randomBytes(4).toString('hex')}`, `198.51.100.${n % 250}`),
      );
      const verdicts = Object.groupBy(
        (await Promise.all(guesses)).map(({ verdict, error }) => String(verdict ?? error)),
        String,
      );
      refuse(verdicts.accepted !== undefined, 'a guess was accepted');
      const counted = Object.entries(verdicts).map(([verdict, all]) => `${all?.length} ${verdict}`);
      await stage.seen.heard(mark, 'auth.limited');
      return `${counted.join(', ')}; auth.limited`;
    },
  },
  {
    row: 'D9',
    tries: 'a user that exists and one that does not, to tell them apart',
    async run(stage) {
      const known = await stage.guess(stage.session.partner, 'wrong');
      const unknown = await stage.guess('nobody-of-that-name', 'wrong');
      refuse(JSON.stringify(known) !== JSON.stringify(unknown), `${JSON.stringify(known)} against ${JSON.stringify(unknown)}`);
      return `the same bytes for both: ${JSON.stringify(known)}`;
    },
  },
  {
    row: 'D11',
    tries: 'the partner is to be locked out by wrong passwords',
    async run(stage) {
      const { login } = stage.session;
      const { verdict } = await stage.edge.ask('auth.check', await stage.freshLogin());
      refuse(login.method === 'key' && verdict !== 'accepted', `his key was answered with ${String(verdict)}`);
      if (verdict === 'accepted') return `his ${login.method} is accepted in the middle of it`;
      return `his password: ${String(verdict)}, until the budget of his account has refilled; his sessions go on`;
    },
  },
  {
    row: 'D13',
    tries: 'an offered item altered, exchanged for another, or read by somebody else',
    async run(stage) {
      const [one, other] = [await offered(stage), await offered(stage)];
      const ask = (id: string, header: Buffer, token = stage.session.token) =>
        stage.edge.ask('key.release', { token, item: id, headers: [header.toString('base64')] });
      const good = await ask(one.params.id, headerOf(one.sealed()));
      refuse(good.keys === undefined, `the partner himself gets no key: ${errorOf(good)}`);
      const swapped = errorOf(await ask(one.params.id, headerOf(other.sealed())));
      const altered = Buffer.from(headerOf(one.sealed()));
      altered[altered.length - 10] = (altered[altered.length - 10] ?? 0) ^ 1;
      const changed = errorOf(await ask(one.params.id, altered));
      const invented = errorOf(await ask(one.params.id, headerOf(one.sealed()), 'A'.repeat(43)));
      refuse(swapped !== 'key-refused' || changed !== 'key-refused', `another header: ${swapped}, an altered one: ${changed}`);
      refuse(invented !== 'session-unknown', `without a session: ${invented}`);
      return 'another header and an altered one: key-refused; without a session: session-unknown';
    },
  },
  {
    row: 'D14',
    tries: 'a download that never happened is claimed',
    async run(stage) {
      const mark = await stage.seen.mark();
      const { params } = await offered(stage);
      const link = await stage.edge.link();
      const session = 'a'.repeat(26);
      const claim = (item: string): unknown =>
        link.sendMessage({ k: 'note', m: 'outbox.fetched', p: { item, partner: params.partner, session, atMs: 1 } });
      claim('b'.repeat(26));
      claim(params.id);
      const claims = await stage.seen.heard(mark, 'item.downloaded');
      refuse(
        claims.some(({ item }) => item !== params.id),
        'the download of an unknown item was recorded',
      );
      return 'it cannot be prevented; item.downloaded is recorded as a claim of the DMZ node, that of an unknown item not at all';
    },
  },
  {
    row: 'D19',
    tries: 'the DMZ node tells its past in another way',
    async run(stage) {
      const mark = await stage.seen.mark();
      await stage.edge.tell({ name: 'node.started', atMs: Date.now(), fields: { version: 'told once' } });
      await stage.seen.heard(mark, 'node.started', ({ version }) => version === 'told once');
      stage.edge.untell();
      stage.edge.wire.links.at(-1)?.ws.terminate();
      await stage.edge.link();
      await stage.seen.heard(mark, 'store.replaced');
      const kept = (await stage.seen.since(mark)).some(({ version }) => version === 'told once');
      refuse(!kept, 'what it had told is gone');
      return 'what it had told is kept; store.replaced';
    },
  },
];

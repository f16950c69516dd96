/** Commands about the session itself: who, how protected, what is offered (RFC 959, 2389, 2640, 4217, 7151). */
import { parseVirtualPath } from '../../../shared/paths/virtual-path.ts';
import { Refused, type Reply, reply } from '../control/replies.ts';
import { allFacts, type Fact } from '../listing.ts';
import { required, word } from './arguments.ts';
import type { CommandTable, Conversation } from './conversation.ts';

const refuseUnsecured = (conversation: Conversation): void => {
  if (!conversation.secured && !conversation.settings.plainFtp) throw new Refused(530, 'Use AUTH TLS first');
};

async function auth(conversation: Conversation, argument: Buffer): Promise<Reply | undefined> {
  const mechanism = word(argument).toUpperCase();
  if (!['TLS', 'TLS-C', 'SSL'].includes(mechanism)) return reply(504, 'Only AUTH TLS is offered');
  if (conversation.secured) return reply(503, 'The connection is secured already');
  if (conversation.loggedIn) return reply(503, 'Already logged in');
  await conversation.beginTls();
  return undefined;
}

async function user(conversation: Conversation, argument: Buffer): Promise<Reply> {
  refuseUnsecured(conversation);
  if (conversation.loggedIn) return reply(503, 'Already logged in; use REIN first');
  const name = argument.toString('utf8');
  if (name === '') return reply(501, 'A user name is needed');
  return conversation.identify(name);
}

function pass(conversation: Conversation, argument: Buffer): Reply | Promise<Reply> {
  refuseUnsecured(conversation);
  if (conversation.loggedIn) return reply(503, 'Already logged in');
  return conversation.logIn(argument.toString('utf8'));
}

/** TLS stays: RFC 4217 §6 would have it end, which no client expects and which would only weaken the connection. */
async function reinitialise(conversation: Conversation): Promise<Reply> {
  await conversation.reinitialise();
  return reply(220, 'Ready for a new user');
}

function pbsz(conversation: Conversation, argument: Buffer): Reply {
  if (!conversation.secured) return reply(503, 'Use AUTH TLS first');
  if (!/^\d{1,10}$/.test(word(argument))) return reply(501, 'A number is needed');
  conversation.state.bufferSizeAgreed = true;
  return reply(200, 'PBSZ=0');
}

function prot(conversation: Conversation, argument: Buffer): Reply {
  const level = word(argument).toUpperCase();
  if (!conversation.secured || !conversation.state.bufferSizeAgreed) return reply(503, 'Use PBSZ first');
  if (level === 'P') {
    conversation.protectData(true);
    return reply(200, 'Data connections are protected');
  }
  if (level === 'C') {
    if (!conversation.settings.plainFtp) return reply(534, 'Data connections must be protected');
    conversation.protectData(false);
    return reply(200, 'Data connections are not protected');
  }
  return ['S', 'E'].includes(level) ? reply(536, 'Only PROT P is offered') : reply(504, 'Only PROT P is offered');
}

function opts(conversation: Conversation, argument: Buffer): Reply {
  const [name = '', ...rest] = argument.toString('latin1').split(' ');
  const value = rest.join(' ').trim();
  switch (name.toUpperCase()) {
    case 'UTF8':
    case 'UTF-8':
      return value === '' || value.toUpperCase() === 'ON' ? reply(200, 'Names are UTF-8') : reply(504, 'Names are always UTF-8');
    case 'HASH':
      return ['', 'SHA-256'].includes(value.toUpperCase()) ? reply(200, 'SHA-256') : reply(501, 'Only SHA-256 is offered');
    case 'MLST': {
      const wanted = value.toLowerCase().split(';');
      const facts = allFacts.filter((fact) => wanted.includes(fact));
      conversation.state.facts = new Set<Fact>(facts);
      return reply(200, `MLST OPTS ${facts.map((fact) => `${fact};`).join('')}`.trim());
    }
    default:
      return reply(501, 'There is no such option');
  }
}

/** RFC 7151: one set of files for every name, but only for names that are ours. */
function host(conversation: Conversation, argument: Buffer): Reply {
  if (conversation.loggedIn) return reply(503, 'Already logged in');
  const name = word(required(argument)).replace(/^\[(.*)\]$/, '$1');
  return conversation.isHost(name) ? reply(220, 'Host accepted') : reply(504, 'There is no such host here');
}

const languages = (_: Conversation, argument: Buffer): Reply =>
  /^(en(-[a-z0-9]{1,8})*)?$/i.test(word(argument)) ? reply(200, 'Replies are in English') : reply(504, 'Only EN is offered');

function clientName(conversation: Conversation, argument: Buffer): Reply {
  conversation.setClient(required(argument).toString('utf8'));
  return reply(200, 'Noted');
}

async function quit(conversation: Conversation): Promise<undefined> {
  await conversation.leave(reply(221, 'Goodbye'));
  return undefined;
}

export const sessionCommands: CommandTable = {
  AUTH: {
    needs: 'nothing',
    syntax: 'TLS',
    about: 'Secure the connection',
    run: auth,
    feat: ({ secured }) => (secured ? [] : ['AUTH TLS']),
  },
  USER: { needs: 'nothing', syntax: '<name>', about: 'Name of the account', run: user },
  PASS: { needs: 'nothing', syntax: '<password>', about: 'Password of the account', run: pass },
  ACCT: { needs: 'nothing', syntax: '', about: 'Nothing: there are no further accounts', run: () => reply(202, 'Not needed') },
  REIN: { needs: 'login', syntax: '', about: 'Log out and begin anew', run: reinitialise },
  PBSZ: { needs: 'nothing', syntax: '0', about: 'Size of protected blocks', run: pbsz, feat: () => ['PBSZ'] },
  PROT: { needs: 'nothing', syntax: 'P', about: 'Protection of data connections', run: prot, feat: () => ['PROT'] },
  CCC: { needs: 'nothing', syntax: '', about: 'Refused', run: () => reply(534, 'The connection stays secured') },
  OPTS: { needs: 'nothing', syntax: '<option> [<value>]', about: 'Set an option of FEAT', run: opts, feat: () => ['UTF8'] },
  HOST: { needs: 'nothing', syntax: '<name>', about: 'Name by which this server was reached', run: host, feat: () => ['HOST'] },
  LANG: { needs: 'nothing', syntax: '[EN]', about: 'Language of replies', run: languages, feat: () => ['LANG EN*'] },
  CLNT: { needs: 'nothing', syntax: '<name>', about: 'Name of your program', run: clientName, feat: () => ['CLNT'] },
  QUIT: { needs: 'nothing', syntax: '', about: 'End the session', run: quit, duringTransfer: true },
};

export const startFolder = parseVirtualPath('/');

/** Commands about the session itself: who, how protected, what is offered (RFC 959, 2389, 4217). */
import { parseVirtualPath } from '../../../shared/paths/virtual-path.ts';
import { Refused, type Reply, reply } from '../control/replies.ts';
import { allFacts, type Fact } from '../listing.ts';
import { word } from './arguments.ts';
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

function user(conversation: Conversation, argument: Buffer): Reply {
  refuseUnsecured(conversation);
  if (conversation.loggedIn) return reply(503, 'Already logged in; use REIN first');
  const name = argument.toString('utf8');
  if (name === '') return reply(501, 'A user name is needed');
  conversation.setUser(name);
  return reply(331, 'Password required');
}

function pass(conversation: Conversation, argument: Buffer): Reply | Promise<Reply> {
  refuseUnsecured(conversation);
  if (conversation.loggedIn) return reply(503, 'Already logged in');
  return conversation.logIn(argument.toString('utf8'));
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
    conversation.state.protection = 'P';
    return reply(200, 'Data connections are protected');
  }
  if (level === 'C') {
    if (!conversation.settings.plainFtp) return reply(534, 'Data connections must be protected');
    conversation.state.protection = 'C';
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
      return value === '' || value.toUpperCase() === 'ON' ? reply(200, 'Names are UTF-8') : reply(501, 'Names are always UTF-8');
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

async function quit(conversation: Conversation): Promise<undefined> {
  await conversation.leave(reply(221, 'Goodbye'));
  return undefined;
}

export const sessionCommands: CommandTable = {
  AUTH: { needs: 'nothing', syntax: 'TLS', run: auth, feat: ({ secured }) => (secured ? [] : ['AUTH TLS']) },
  USER: { needs: 'nothing', syntax: 'name', run: user },
  PASS: { needs: 'nothing', syntax: 'password', run: pass },
  PBSZ: { needs: 'nothing', syntax: '0', run: pbsz, feat: () => ['PBSZ'] },
  PROT: { needs: 'nothing', syntax: 'P', run: prot, feat: () => ['PROT'] },
  OPTS: { needs: 'nothing', syntax: 'option [value]', run: opts, feat: () => ['UTF8'] },
  QUIT: { needs: 'nothing', syntax: '', run: quit, duringTransfer: true },
  NOOP: { needs: 'nothing', syntax: '', run: () => reply(200, 'OK'), duringTransfer: true },
  SYST: { needs: 'nothing', syntax: '', run: () => reply(215, 'UNIX Type: L8') },
};

export const startFolder = parseVirtualPath('/');

/** Every command of the FTPS door: a verb, what it needs before it, what it does. A new one is a row in one of these tables. */
import { type Reply, reply } from '../control/replies.ts';
import { word } from './arguments.ts';
import type { Command, CommandTable, Conversation } from './conversation.ts';
import { fileCommands } from './file-commands.ts';
import { folderCommands } from './folder-commands.ts';
import { sessionCommands } from './session-commands.ts';
import { transferCommands } from './transfer-commands.ts';

function feat(conversation: Conversation): Reply {
  const features = Object.values(commands).flatMap((command) => command.feat?.(conversation) ?? []);
  return reply(211, 'Extensions:', ...[...new Set(features)].sort(), 'End');
}

function help(_: Conversation, argument: Buffer): Reply {
  const verb = word(argument).toUpperCase();
  if (verb === '') {
    const verbs = Object.keys(commands).sort();
    const rows = Array.from({ length: Math.ceil(verbs.length / 8) }, (_, row) => verbs.slice(row * 8, row * 8 + 8).join(' '));
    return reply(214, 'Commands:', ...rows, 'End');
  }
  const command = commandOf(verb);
  return command ? reply(214, `${verb} ${command.syntax}`.trim()) : reply(502, 'There is no such command');
}

const commands: CommandTable = {
  ...sessionCommands,
  ...folderCommands,
  ...fileCommands,
  ...transferCommands,
  FEAT: { needs: 'nothing', syntax: '', run: feat },
  HELP: { needs: 'nothing', syntax: '[command]', run: help },
};

export const commandOf = (verb: string): Command | undefined => (Object.hasOwn(commands, verb) ? commands[verb] : undefined);

/** Every command of the FTPS door: a verb, what it needs before it, what it does. A new one is a row in one of these tables. */
import { type Reply, reply } from '../control/replies.ts';
import { isHarmless, isKept, register } from '../ftp-srv-seam.ts';
import type { CommandTable, Conversation } from './conversation.ts';
import { fileCommands } from './file-commands.ts';
import { folderCommands } from './folder-commands.ts';
import { sessionCommands } from './session-commands.ts';
import { transferCommands } from './transfer-commands.ts';

function feat(conversation: Conversation): Reply {
  const features = Object.values(commands).flatMap((command) => command.feat?.(conversation) ?? []);
  return reply(211, 'Extensions:', ...[...new Set(features)].sort(), 'End');
}

export const commands: CommandTable = {
  ...sessionCommands,
  ...folderCommands,
  ...fileCommands,
  ...transferCommands,
  FEAT: { needs: 'nothing', syntax: '', about: 'What is offered beyond RFC 959', run: feat },
};
register(commands);

/** Whether a command may be given while a transfer runs. */
export function mayInterrupt(verb: string): boolean {
  if (isKept(verb)) return isHarmless(verb);
  return Object.hasOwn(commands, verb) && commands[verb]?.duringTransfer === true;
}

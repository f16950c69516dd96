/** Names that a DMZ node can claim for an item. `tag` marks them, so that a trace of one on a disk can be found. */

/** No partner can have given these: the item is set aside, whichever session stands behind it. */
export const forgedNames = (tag: string): Readonly<Record<string, string>> => ({
  'up and out': `/Inbox/../../../../../../${tag}`,
  'up from a folder': `/Inbox/a/../../../../${tag}`,
  'up at the end': `/Inbox/${tag}/..`,
  'an absolute path': `/tmp/${tag}`,
  'an absolute path below the Inbox': `/Inbox//tmp/${tag}`,
  'the other box': `/Outbox/${tag}`,
  'a relative path': `Inbox/${tag}`,
  'a doubled root': `//Inbox/${tag}`,
  'a dot': `/Inbox/./${tag}`,
  'a trailing slash': `/Inbox/${tag}/`,
  'the Inbox itself': '/Inbox',
  'the root': '/',
  nothing: '',
  NUL: `/Inbox/${tag}\0.csv`,
  '300 bytes': `/Inbox/${'é'.repeat(150)}`,
  '40 folders': `/Inbox/${'d/'.repeat(40)}${tag}`,
  'a line feed': `/Inbox/${tag}\nFORGED LINE`,
  'an escape sequence': `/Inbox/${tag}\u001b[2J`,
  'an 8-bit escape sequence': `/Inbox/${tag}\u009b2J`,
  'bidi override': `/Inbox/${tag}\u202efdp.exe`,
  'a zero-width space': `/Inbox/${tag}\u200b.csv`,
  'a replacement character': `/Inbox/${tag}\ufffd.csv`,
  'the staging folder': `/Inbox/.sallyport-staging/${tag}`,
  'the staging folder in other letters': `/Inbox/.SALLYPORT-staging/${tag}`,
});

/** Odd but possible for a partner: delivered below his own folder, under a name that is harmless everywhere. */
export const mappedNames: Readonly<Record<string, string>> = {
  'C:\\Windows\\evil.dll': 'C__Windows_evil.dll',
  '\\\\?\\C:\\evil.txt': '____C__evil.txt',
  '..\\..\\evil.txt': '.._.._evil.txt',
  CON: '_CON',
  'nul.txt': '_nul.txt',
  'COM1.csv': '_COM1.csv',
  'trailing.': 'trailing',
  'blank.txt ': 'blank.txt',
  'data.txt::$DATA': 'data.txt__$DATA',
  'desktop.ini': '_desktop.ini',
  '-rf': '_-rf',
  '$(touch pwned);`id`|x.csv': '$(touch pwned);`id`_x.csv',
  '%2e%2e%2fescaped.csv': '%2e%2e%2fescaped.csv',
};

/** Names that something careless could take for an address. */
export const addressNames: Readonly<Record<string, string>> = {
  '\\\\intranet.example@80\\share\\x.csv': '__intranet.example@80_share_x.csv',
  '\\\\192.0.2.7\\c$\\x.csv': '__192.0.2.7_c$_x.csv',
  'http:\\\\192.0.2.7\\x.csv': 'http___192.0.2.7_x.csv',
  'http:192.0.2.7:80': 'http_192.0.2.7_80',
  'user@intranet.example:x.csv': 'user@intranet.example_x.csv',
  '169.254.169.254': '169.254.169.254',
  'ldap:intranet.example': 'ldap_intranet.example',
};

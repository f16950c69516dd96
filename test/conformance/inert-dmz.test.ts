/**
 * The DMZ node carries nothing that somebody who takes it over could use against others: no way to start a program, no template
 * engine, no code from text, no module named by data. Everything that it can load, down to the files of its packages, is in these
 * lists, each with its reason; one entry more or less fails.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { closureOf } from '../../scripts/closure/import-graph.ts';

const dmz = closureOf(['dmz-node/main.ts']);

/** Packages of the DMZ node, with what they are for and the built-in modules that they load. */
const packages: Readonly<Record<string, { readonly why: string; readonly builtins: readonly string[] }>> = {
  '@pinojs/redact': { why: 'pino: passwords out of the log', builtins: [] },
  asn1: { why: 'ssh2: reads key files', builtins: ['assert'] },
  'atomic-sleep': { why: 'pino: waits while it writes the last lines', builtins: [] },
  'bcrypt-pbkdf': { why: 'ssh2: key files with a passphrase', builtins: [] },
  bluebird: { why: 'ftp-srv: its promises', builtins: ['async_hooks'] },
  braces: { why: 'micromatch', builtins: [] },
  commander: {
    why: 'command line; a patch takes its way to start programs',
    builtins: ['events', 'fs', 'path', 'process', 'util'],
  },
  'cpu-features': { why: 'ssh2: which cipher is fast here', builtins: [] },
  'fill-range': { why: 'micromatch', builtins: ['util'] },
  'ftp-srv': {
    why: 'frame of the FTPS door; a patch takes its file system, data connections and all commands that we have',
    builtins: ['events', 'net', 'tls', 'url'],
  },
  'is-number': { why: 'micromatch', builtins: [] },
  lodash: { why: 'ftp-srv; its templates cannot run, because code from text is refused', builtins: ['util'] },
  micromatch: { why: 'globs of the configuration', builtins: ['util'] },
  'node-forge': { why: 'makes and reads certificates', builtins: ['crypto'] },
  'on-exit-leak-free': { why: 'pino: the last lines at the end', builtins: [] },
  picomatch: { why: 'micromatch', builtins: ['path'] },
  pino: {
    why: 'operational log; its threads for other outputs are not used',
    builtins: ['diagnostics_channel', 'events', 'fs', 'module', 'os', 'path', 'url', 'util', 'worker_threads'],
  },
  'pino-std-serializers': { why: 'pino: errors in the log', builtins: [] },
  'quick-format-unescaped': { why: 'pino', builtins: [] },
  re2js: { why: 'regular expressions of rules, in linear time', builtins: [] },
  'safe-stable-stringify': { why: 'pino', builtins: [] },
  'safer-buffer': { why: 'asn1', builtins: ['buffer'] },
  'sonic-boom': { why: 'pino: writes the lines', builtins: ['assert', 'events', 'fs', 'path', 'util'] },
  ssh2: {
    why: 'the SSH transport; its client half is loaded with it, and connects only through a socket that it is given',
    builtins: ['assert', 'buffer', 'crypto', 'events', 'fs', 'net', 'path', 'stream', 'util', 'zlib'],
  },
  'thread-stream': { why: 'pino: not used', builtins: ['assert', 'buffer', 'events', 'path', 'url', 'worker_threads'] },
  'to-regex-range': { why: 'micromatch', builtins: [] },
  tweetnacl: { why: 'bcrypt-pbkdf', builtins: ['crypto'] },
  uuid: { why: 'ftp-srv: numbers of connections', builtins: ['crypto'] },
  ws: {
    why: 'WebSockets of the tunnel; its client half is loaded with it and not used',
    builtins: ['buffer', 'crypto', 'events', 'http', 'https', 'net', 'querystring', 'stream', 'tls', 'url', 'util', 'zlib'],
  },
  yaml: { why: 'the configuration file', builtins: ['buffer', 'process'] },
  zod: { why: 'schemas of every message; where it may not make code it checks without', builtins: [] },
};

/** Built-in modules of our own files in the DMZ node. */
const builtins: Readonly<Record<string, string>> = {
  crypto: 'digests, keys, sealing',
  events: 'waiting for one',
  fs: 'files',
  'fs/promises': 'files',
  http: 'the admin socket, a Unix socket, and its client; the upgrade of the tunnel',
  https: 'the tunnel listener',
  module: 'loads ssh2 and ftp-srv by constant names, since they are CommonJS inside',
  net: 'doors, and the client of the admin socket',
  os: 'number of processors, name of the host for a certificate',
  path: 'paths of the configuration',
  'readline/promises': 'questions on a terminal, asked by commands',
  sqlite: 'the records',
  stream: 'questions on a terminal, asked by commands',
  'stream/promises': 'the client of the admin socket',
  'timers/promises': 'the clock',
  tls: 'tunnel and FTPS',
  url: 'where the launcher lies, for the service unit',
  util: 'types, text decoding, timing-safe helpers',
  v8: 'how much memory is in use',
  worker_threads: 'records and sealing',
};

/** Nobody may have these, for whatever reason. */
const never = ['child_process', 'cluster', 'inspector', 'repl', 'vm', 'wasi', 'dgram', 'dns', 'http2'];

/** Places that the text alone does not explain. */
const odd: Readonly<Record<string, string>> = {
  'shared/durable/database-worker.ts': 'the operations of the record store, a file that node.ts names',
  // Refused by the flag with which the node is started (--disallow-code-generation-from-strings); nothing here needs them.
  'node_modules/bluebird/js/release/util.js': 'behind a return',
  'node_modules/bluebird/js/release/promisify.js': 'makes methods; not called',
  'node_modules/bluebird/js/release/call_get.js': 'makes methods; not called',
  'node_modules/bluebird/js/release/join.js': 'makes methods; does without where it may not',
  'node_modules/lodash/lodash.js': 'templates, not called; and the global object, found otherwise before',
  'node_modules/ssh2/lib/protocol/node-fs-compat.js': 'a number for Node before 10.4',
};

test('the packages of the DMZ node are those of the list, and load no other built-in modules', () => {
  const found = Object.fromEntries([...dmz.packages].map(([folder, pack]) => [folder.replace(/^node_modules\//, ''), pack]));
  // An override may put another package under a name.
  assert.deepEqual(Object.keys(found).sort(), Object.keys(packages).sort(), 'do without it, or give its reason above');
  for (const [name, { builtins: used }] of Object.entries(found)) {
    assert.deepEqual([...used].sort(), packages[name]?.builtins, name);
  }
});

test('our own files in the DMZ node load the built-in modules of the list', () => {
  assert.deepEqual([...dmz.builtins.keys()].sort(), Object.keys(builtins).sort(), 'do without it, or give its reason above');
});

test('nothing in the DMZ node can start a program, run code in another context, or speak UDP', () => {
  const loaded = new Set([...dmz.builtins.keys(), ...[...dmz.packages.values()].flatMap(({ builtins: used }) => [...used])]);
  assert.deepEqual(
    never.filter((name) => loaded.has(name)),
    [],
  );
});

test('code from text and modules named by a variable stand only where the list says why', () => {
  assert.deepEqual([...new Set(dmz.oddities.map(({ file }) => file))].sort(), Object.keys(odd).sort());
});

test('what is asked for and not there are two accelerators that ws does without', () => {
  assert.deepEqual([...dmz.missing].sort(), ['bufferutil', 'utf-8-validate']);
});

test('the walk sees what is hidden deeper: the inside does start programs', () => {
  assert.ok(closureOf(['internal-node/main.ts']).builtins.has('child_process'));
});

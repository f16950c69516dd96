import assert from 'node:assert/strict';
import { test } from 'node:test';
import { unitFile } from './unit.ts';

const unit = (over: Partial<Parameters<typeof unitFile>[0]> = {}): string[] =>
  unitFile({
    description: 'a node',
    user: 'relay',
    command: ['/usr/bin/node', 'serve'],
    stopWithinMs: 10_500,
    writable: ['/var/lib/relay'],
    settings: [],
    ...over,
  }).split('\n');

test('words of the command line mean what they say: blanks, quotes, percent and dollar signs', () => {
  const command = ['/opt/a b/node', 'serve', '--config', '/etc/100%/$HOME/it"s', 'plain'];
  assert.ok(unit({ command }).includes('ExecStart="/opt/a b/node" serve --config "/etc/100%%/$$HOME/it\\"s" plain'));
});

test('only the outermost folders are named, since those in them need not be there yet', () => {
  const lines = unit({ writable: ['/var/lib/relay', '/var/lib/relay/admin', '/srv/in', '/var/lib/relay2', '/srv/in'] });
  assert.deepEqual(
    lines.filter((line) => line.startsWith('ReadWritePaths=')),
    ['ReadWritePaths=/var/lib/relay', 'ReadWritePaths=/srv/in', 'ReadWritePaths=/var/lib/relay2'],
  );
});

test('the node gets its drain before it is cut, and a wrong configuration is not tried again', () => {
  const lines = unit();
  assert.ok(lines.includes('TimeoutStopSec=11') && lines.includes('RestartPreventExitStatus=2'));
});

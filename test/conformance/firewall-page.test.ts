/** docs/firewall.md says what the commands do: its options exist, its settings load, its example is what is printed. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { parse } from 'yaml';
import { networkSchema } from '../../internal-node/config-network.ts';
import { explain, explanationText } from '../../shared/firewall/explain.ts';
import { formatNames } from '../../shared/firewall/render/formats.ts';
import { fixedPair } from '../fixtures/firewall/fixed-pair.ts';

const page = await readFile(new URL('../../docs/firewall.md', import.meta.url), 'utf8');

test('every format has its row, and no other', () => {
  const named = [...page.matchAll(/^\| ((?:`[a-z-]+`(?:, )?)+) \|/gm)].flatMap(([, cell = '']) =>
    [...cell.matchAll(/`([a-z-]+)`/g)].map(([, name]) => name),
  );
  assert.deepEqual([...named].sort(), [...formatNames].sort());
});

test('the settings are those that the schema takes', () => {
  const [, yaml = ''] = /```yaml\n([\s\S]*?)```/.exec(page) ?? [];
  const { network } = parse(yaml) as { network: unknown };
  assert.equal(networkSchema.parse(network).also[0]?.port.first, 22);
});

test('the answer of explain is the one that is shown', async () => {
  const [row] = explanationText(explain(await fixedPair(), '8443'))
    .join('\n')
    .split(/\n(?=port )/);
  assert.ok(page.includes(`$ sallyport firewall explain 8443\n${row}`), row);
});

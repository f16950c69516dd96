/**
 * Every format of the firewall rules, from one fixed configuration: as it was reviewed, and as its own tool reads it. Tools run in
 * network namespaces of their own; pf, firewalld, Terraform and the clouds have none here that works without their system, so
 * their reviewed files are all that holds them. `SALLYPORT_WRITE_RULES=1` writes the files anew, for review.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { compare, differenceText } from '../../shared/firewall/compare.ts';
import { places, type RuleBase } from '../../shared/firewall/flows.ts';
import { hostPolicy } from '../../shared/firewall/host-policy.ts';
import { readRuleset } from '../../shared/firewall/read-ruleset.ts';
import { renderAwsSg } from '../../shared/firewall/render/aws-sg.ts';
import { renderAzureNsg } from '../../shared/firewall/render/azure-nsg.ts';
import { allRules, fixedPair } from '../fixtures/firewall/fixed-pair.ts';

const run = promisify(execFile);
const kept = new URL('../fixtures/firewall/rules/', import.meta.url).pathname;

/** A command in a network namespace that is gone with it, and that shares no folder that it could change. */
const alone = (script: string): Promise<{ stdout: string; stderr: string }> =>
  run('unshare', ['--net', '--mount', 'bash', '-ec', script]);

/** The settings of ufw as copies: nothing that it does reaches the host. */
const ufwApart = (scratch: string): string =>
  ['/etc/ufw', '/etc/default']
    .map(
      (path) =>
        `cp -a ${path} ${scratch}${path.replaceAll('/', '-')}; mount --bind ${scratch}${path.replaceAll('/', '-')} ${path}`,
    )
    .join('; ');

describe('firewall rules in every format', () => {
  let base: RuleBase;
  let made: Readonly<Record<string, string>>;
  let folder: string;
  before(async () => {
    base = await fixedPair();
    made = allRules(base);
    folder = await mkdtemp(join(tmpdir(), 'sallyport-rules-'));
    for (const [name, text] of Object.entries(made)) await writeFile(join(folder, name), text);
    if (process.env.SALLYPORT_WRITE_RULES === '1') {
      await rm(kept, { recursive: true, force: true });
      await cp(folder, kept, { recursive: true });
    }
  });
  after(() => rm(folder, { recursive: true, force: true }));

  it('are the reviewed ones', async () => {
    assert.deepEqual((await readdir(kept)).sort(), Object.keys(made).sort());
    for (const [name, text] of Object.entries(made)) assert.equal(text, await readFile(join(kept, name), 'utf8'), name);
  });

  it('say of every accepting rule what it is for and which line it comes from', () => {
    for (const [name, text] of Object.entries(made)) {
      for (const purpose of ['SFTP of partners (dmz.yaml:8)', 'SSH of administrators (sallyport.yaml:23)']) {
        const [what = '', line = ''] = purpose.split(/ \(|\)/);
        const here =
          name.startsWith('all') || name.startsWith('hosts') || name.startsWith(what.startsWith('SFTP') ? 'dmz' : 'internal');
        if (here) assert.ok(text.includes(what) && text.includes(line), `${name}: ${purpose}`);
      }
    }
  });

  it('nft takes them, and what the kernel then has differs in nothing from what was wanted', async () => {
    for (const place of places) {
      const file = join(folder, `${place}.nft`);
      await run('nft', ['-c', '-f', file]);
      const { stdout } = await alone(`nft -f ${file}; nft -f ${file}; nft -j list ruleset`);
      assert.deepEqual(compare(hostPolicy(base, place), readRuleset(stdout)).map(differenceText), [], place);
    }
  });

  it('iptables-restore and ip6tables-restore take them, test them without a change, and save what was wanted', async () => {
    for (const place of places) {
      const file = join(folder, `${place}.iptables.sh`);
      const tested = await alone(`sh ${file} --test; iptables-save; ip6tables-save`);
      assert.ok(!/-A /.test(tested.stdout), `${place}: --test changes nothing`);
      const { stdout } = await alone(`sh ${file}; sh ${file}; iptables-save; ip6tables-save`);
      assert.deepEqual(compare(hostPolicy(base, place), readRuleset(stdout)).map(differenceText), [], place);
    }
  });

  it('ufw takes every form of line, and no comment holds a word that it would take for an interface', async () => {
    const lines = places.flatMap((place) =>
      (made[`${place}.ufw.sh`] ?? '').split('\n').filter((line) => line.startsWith('$UFW')),
    );
    assert.deepEqual(
      lines.filter((line) => / (in|out|on) /.test(line.split(' comment ')[1] ?? '')),
      [],
    );
    // Each call takes ufw half a second: one of each form will do.
    const forms = new Map(lines.map((line) => [(line.split(' comment ')[0] ?? '').replaceAll(/[0-9a-f.:/]{2,}|\d/g, 'N'), line]));
    const script = join(folder, 'forms.sh');
    await writeFile(script, [...forms.values()].join('\n'));
    const { stdout } = await alone(`${ufwApart(join(folder, 'apart'))}; UFW='ufw --dry-run'; . ${script}`);
    const rules = [...forms.values()].filter((line) => !line.includes(' default '));
    assert.ok(rules.length >= 6);
    assert.equal(stdout.split('### tuple ###').length - 1, rules.length);
  });

  it('security groups of AWS and Azure, read back, let through what was wanted and no more', () => {
    for (const place of ['dmz', 'internal'] as const) {
      const policy = hostPolicy(base, place);
      const aws = readRuleset(renderAwsSg([policy]));
      const azure = readRuleset(renderAzureNsg([policy]));
      for (const live of [aws, azure]) assert.deepEqual(compare(policy, live).map(differenceText), [], `${place} ${live.kind}`);
    }
  });
});

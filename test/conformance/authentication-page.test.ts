/** The examples of docs/authentication.md are what the programs take. Those of directories are played against slapd elsewhere. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parse } from 'yaml';
import { dmzConfigSchema } from '../../dmz-node/config.ts';
import { authenticationSchema } from '../../internal-node/config-authentication.ts';
import { partSchema } from '../../internal-node/config-schema.ts';
import { filesLike } from './sources.ts';

test('each example of docs/authentication.md is accepted', () => {
  const page = filesLike('docs/authentication.md')[0]?.text ?? '';
  const seen: string[] = [];
  for (const [, text = ''] of page.matchAll(/```yaml\n([\s\S]*?)```/g)) {
    const [comment = ''] = text.split('\n');
    const value = parse(text) as Record<string, unknown>;
    if (comment.startsWith('# dmz.yaml')) dmzConfigSchema.shape.limits.parse(value.limits);
    else if (comment.startsWith('# conf.d/')) partSchema.parse(value);
    else if (comment.includes('of a directory')) {
      const directory = { servers: ['ldaps://a'], bases: ['dc=a'], ...value };
      authenticationSchema.parse({ directories: { a: directory } });
    } else authenticationSchema.parse(value.authentication);
    seen.push(comment);
  }
  assert.ok(seen.length >= 7, seen.join('\n'));
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLogger } from '../../../shared/log.ts';
import { Secret } from '../../../shared/secret.ts';
import { ManualClock } from '../../../test/fixtures/manual-clock.ts';
import { RecordedEvents } from '../../../test/fixtures/recorded-events.ts';
import { authenticationSchema } from '../../config-authentication.ts';
import { StaffLogins } from './staff-logins.ts';

test('LD-35: without a filter of managers nobody is of staff, and the directory is not even asked', async () => {
  const events = new RecordedEvents();
  const { directories, staff } = authenticationSchema.parse({
    // Nothing listens there: to be asked would be another error.
    directories: { corporate: { servers: ['ldaps://127.0.0.1:9'], bases: ['dc=example'] } },
    staff: { directory: 'corporate' },
  });
  const directory = directories.corporate;
  assert.ok(directory && staff);
  const logins = new StaffLogins({
    settings: () => ({ staff, directory: { name: 'corporate', ...directory } }),
    codes: { objection: async () => undefined },
    events,
    clock: new ManualClock({ hasty: true }),
    log: silentLogger,
  });
  await assert.rejects(logins.logIn('john', new Secret('right'), new AbortController().signal), { code: 'login-rejected' });
  assert.equal(events.of('staff.refused').at(-1)?.fields.reason, 'authentication.staff has no managerFilter');
  assert.equal(logins.required, false);
  assert.equal(logins.byToken('made up'), undefined);
});

/** A slice of what `scripts/ftps-campaign` does at length. */
import { test } from 'node:test';
import { logins, transfers } from './ftps-soak.ts';

test('twenty logins in a row, and eight at a time, all succeed and leave nothing in the process', async () => {
  await logins(20, 1);
  await logins(20, 8);
});

test('a hundred transfers leave no port, socket or timer behind', () => transfers(100, 40));

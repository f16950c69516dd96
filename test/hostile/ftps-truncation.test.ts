/** F79: a slice of the truncation campaign; `scripts/ftps-campaign truncation` plays each a hundred times. */
import { after, before, describe, it } from 'node:test';
import { FtpsCacheDoor } from '../fixtures/ftps-cache-door.ts';
import { breakOff, endings, versions } from './ftps-truncation.ts';

let stage: FtpsCacheDoor;
before(async () => {
  stage = await FtpsCacheDoor.open();
});
after(async () => {
  await stage?.[Symbol.asyncDispose]();
});

/** Within the first record, some records, and more than is read ahead. */
const sizes = [10, 100_000, 3_500_000] as const;

for (const version of versions) {
  describe(`F79, FT-13: an upload over ${version} that ends with`, () => {
    for (const ending of endings) {
      it(`${ending} is kept as a partial, delivers nothing, and can be continued`, async () => {
        for (const sent of ending === 'a killed client' ? [400_000] : sizes) {
          const path = `/Inbox/${version}-${ending.replaceAll(' ', '-')}-${sent}.bin`;
          await breakOff(stage, { version, ending, path, size: sent + 5000, sent });
        }
      });
    }
  });
}

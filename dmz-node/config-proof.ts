/** What the DMZ host declares for `sallyport-dmz prove`: what else may listen on it, and why. */
import { z } from 'zod';
import { network } from '../shared/config/fields.ts';
import { address } from '../shared/config/units.ts';

export const proofSchema = z
  .strictObject({
    otherListeners: z
      .array(
        z.strictObject({
          address: address().describe('Address and port as the kernel lists them: 10.1.0.5:22, or 0.0.0.0:22 for all addresses.'),
          from: z.array(network()).min(1).max(100).describe('Networks from which the firewall lets it be reached.'),
          reason: z.string().min(10).max(200).describe('Why; shown in the report.'),
        }),
      )
      .max(50)
      .default([])
      .describe('Listeners of other programs on this host, such as the SSH server of its administrators.'),
  })
  .prefault({})
  .describe('What `sallyport-dmz prove` is to take as intended.');

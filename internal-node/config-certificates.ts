/** `authentication.clientCertificates` of the configuration: whom the inside believes that a TLS client certificate is a partner's. */
import { resolve } from 'node:path';
import { z } from 'zod';
import { path } from '../shared/config/fields.ts';

export const clientCertificatesSchema = z
  .strictObject({
    authorities: path().describe('PEM file of the authorities that issue them to partners.'),
    revocationLists: z
      .array(path())
      .min(1)
      .max(32)
      .optional()
      .describe('Files with a revocation list each, PEM or DER; one that is out of date refuses what its authority issued.'),
    partnerFrom: z
      .enum(['nothing', 'commonName'])
      .default('nothing')
      .describe('commonName: a certificate whose CN is the name of a partner, to the letter, is his.'),
  })
  .optional()
  .describe('FTPS partners with a certificate of these authorities; docs/authentication.md.');

export type ClientCertificates = z.output<typeof clientCertificatesSchema>;

/** With absolute paths. */
export const resolvedCertificates = (given: ClientCertificates, folder: string): ClientCertificates =>
  given && {
    ...given,
    authorities: resolve(folder, given.authorities),
    revocationLists: given.revocationLists?.map((file) => resolve(folder, file)),
  };

/** What `sallyport prove` asks for: how old evidence may be, and what a probe from the DMZ must have tried. */
import { z } from 'zod';
import { address, duration } from '../shared/config/units.ts';

export const proofSchema = z
  .strictObject({
    mustProbe: z
      .array(address())
      .max(1000)
      .default([])
      .describe('Addresses with port of the inside that a probe from the DMZ host must have tried: 10.20.1.5:445.'),
    probeAge: duration({ min: '1m', max: '366d' }).prefault('24h').describe('An older probe proves nothing.'),
    statementAge: duration({ min: '1m', max: '366d' })
      .prefault('1h')
      .describe('An older statement of the DMZ node proves nothing.'),
    reportAge: duration({ min: '1m', max: '3660d' }).prefault('31d').describe('An older report counts as stale.'),
    clockSkew: duration({ max: '1h' }).prefault('2m').describe('How far the clock of the DMZ host may be ahead.'),
  })
  .prefault({})
  .describe('What `sallyport prove` asks for.');

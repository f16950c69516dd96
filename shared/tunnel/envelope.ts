/** The four forms of a control message. `n` numbers the messages of one direction, `id` pairs an answer with its request. */
import { z } from 'zod';

const number = z.int().min(1);
const name = z.string().max(64);

export const envelopeSchema = z.discriminatedUnion('k', [
  z.strictObject({ k: z.literal('req'), n: number, id: number, m: name, p: z.unknown() }),
  z.strictObject({ k: z.literal('res'), n: number, id: number, r: z.unknown() }),
  z.strictObject({ k: z.literal('err'), n: number, id: number, c: name }),
  z.strictObject({ k: z.literal('note'), n: number, m: name, p: z.unknown() }),
]);
export type Envelope = z.infer<typeof envelopeSchema>;

type WithoutNumber<T> = T extends unknown ? Omit<T, 'n'> : never;
export type Outgoing = WithoutNumber<Envelope>;

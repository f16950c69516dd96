/** The admin socket's part about keys and certificates, the same on both nodes. */
import { z } from 'zod';
import type { CertificateDesk } from '../pki/certificate-desk.ts';
import type { AdminRoute } from './routes.ts';

export const steps = ['announce', 'switch', 'retire', 'back'] as const;
const stepBody = z.strictObject({ step: z.enum(steps), unheard: z.boolean().default(false) });
const revokeBody = z.strictObject({ fingerprint: z.string().max(128), reason: z.string().max(200) });

export const certificateRoutes = (desk: Pick<CertificateDesk, 'list' | 'rotate' | 'revoke'>): readonly AdminRoute[] => [
  { kind: 'json', method: 'GET', path: '/v1/certificates', answer: async () => desk.list() },
  {
    kind: 'json',
    method: 'POST',
    path: '/v1/certificates/rotate',
    body: stepBody,
    answer: (_request, body) => {
      const { step, unheard } = stepBody.parse(body);
      return desk.rotate(step, unheard);
    },
  },
  {
    kind: 'json',
    method: 'POST',
    path: '/v1/certificates/revoke',
    body: revokeBody,
    answer: (_request, body) => {
      const { fingerprint, reason } = body as z.infer<typeof revokeBody>;
      return desk.revoke(fingerprint, reason);
    },
  },
];

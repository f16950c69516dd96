/** When a certificate is to be renewed, and when somebody should know that it was not. */
import type { X509Certificate } from 'node:crypto';

const dayMs = 86_400_000;

export interface Life {
  readonly beganMs: number;
  readonly endsMs: number;
}

export const lifeOf = (certificate: X509Certificate): Life => ({
  beganMs: certificate.validFromDate.getTime(),
  endsMs: certificate.validToDate.getTime(),
});

/** When two thirds of it are over. */
export const renewalDueMs = ({ beganMs, endsMs }: Life): number => beganMs + ((endsMs - beganMs) * 2) / 3;

/** Whether so little is left, though renewing had its time, that a person should look: a sixth of it, and never more than 90 days. */
export const endsSoon = ({ beganMs, endsMs }: Life, nowMs: number): boolean =>
  nowMs >= endsMs - Math.min((endsMs - beganMs) / 6, 90 * dayMs);

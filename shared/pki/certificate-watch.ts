/** Tells, once a day at most, that the other node's certificate ends soon: renewing it there does not work. */
import type { X509Certificate } from 'node:crypto';
import type { Clock } from '../clock.ts';
import type { EventSink } from '../durable/database.ts';
import { event } from '../events/event.ts';
import { endsSoon, lifeOf } from './certificate-life.ts';

const dayMs = 86_400_000;

export class CertificateWatch {
  readonly #deps: { readonly events: EventSink; readonly clock: Clock };
  #toldMs = Number.NEGATIVE_INFINITY;

  constructor(deps: { readonly events: EventSink; readonly clock: Clock }) {
    this.#deps = deps;
  }

  look(whose: string, certificate: X509Certificate): void {
    const nowMs = this.#deps.clock.nowMs();
    const life = lifeOf(certificate);
    if (nowMs - this.#toldMs < dayMs || !endsSoon(life, nowMs)) return;
    this.#toldMs = nowMs;
    const record = event('certificate.ending', nowMs, {}, { whose, kind: 'tunnel', endsAtMs: life.endsMs });
    void this.#deps.events.emit([record]).catch(() => undefined);
  }
}

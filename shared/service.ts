/** Parts with a life: started in order, stopped in reverse, and what had started is stopped when one start fails. */
export interface Service {
  readonly name: string;
  start(): Promise<void>;
  /** Waits politely until `signal` fires, then cuts. Idempotent. */
  stop(signal: AbortSignal): Promise<void>;
}

export class ServiceStack {
  readonly #started: Service[] = [];

  async start(service: Service): Promise<void> {
    await service.start();
    this.#started.push(service);
  }

  /** Stops everything in reverse order; one that fails does not keep the others from stopping. */
  async stop(signal: AbortSignal, onError: (name: string, error: unknown) => void): Promise<void> {
    for (let service = this.#started.pop(); service; service = this.#started.pop()) {
      try {
        await service.stop(signal);
      } catch (error) {
        onError(service.name, error);
      }
    }
  }
}

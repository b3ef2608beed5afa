/** The events of one response, for those who come to read them while it is written, or after. */
import type { ResponseEvent } from './events.ts';

export class EventLog {
  readonly #events: ResponseEvent[] = [];
  readonly #readers = new Set<() => void>();
  #ended = false;

  add(event: ResponseEvent): void {
    this.#events.push(event);
    this.#wake();
  }

  /** No more come. */
  end(): void {
    this.#ended = true;
    this.#wake();
  }

  get length(): number {
    return this.#events.length;
  }

  /** Gives every event after that number to `take`, those that are still to come too; resolves after the last or when `signal` fires. */
  follow(after: number, signal: AbortSignal, take: (event: ResponseEvent) => void): Promise<void> {
    return new Promise((resolve) => {
      let next = after + 1;
      const read = () => {
        while (next < this.#events.length && !signal.aborted) take(this.#events[next++]!);
        if (this.#ended || signal.aborted) stop();
      };
      const stop = () => {
        this.#readers.delete(read);
        signal.removeEventListener('abort', stop);
        resolve();
      };
      this.#readers.add(read);
      signal.addEventListener('abort', stop);
      read();
    });
  }

  #wake(): void {
    for (const read of [...this.#readers]) read();
  }
}

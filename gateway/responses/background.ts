/** Responses that nobody waits for: they go on when their client leaves, and are read from the store. */
import { setMaxListeners } from 'node:events';
import { LRUCache } from 'lru-cache';
import type { Caller } from '../access/callers.ts';
import { ColophonError } from '../contract/index.ts';
import type { Services } from '../http/services.ts';
import { EventLog } from './event_log.ts';
import type { PreparedResponse } from './prepare.ts';
import { ResponseCancelled, runSent } from './run.ts';
import { type KeptResponse, keep } from './state.ts';

/** That run or wait at one time; each holds its events. */
const runningAtMost = 256;
const runningAtMostOfTenant = 64;
/** Events of those that have ended, kept for readers that are late. */
const lateEvents = 100_000;
const lateMs = 5 * 60_000;

interface Running {
  tenant: string;
  events: EventLog;
  control: AbortController;
  /** When it has ended and is stored. */
  ended: Promise<void>;
  deleted: boolean;
}

/** What a start finds of one that did not end before. */
interface Marker {
  id: string;
}

export class BackgroundResponses {
  readonly #services: Services;
  readonly #running = new Map<string, Running>();
  readonly #late = new LRUCache<string, EventLog>({
    maxSize: lateEvents,
    sizeCalculation: (log) => Math.max(log.length, 1),
    ttl: lateMs,
  });

  /** Fails those that an earlier process left unfinished. */
  constructor(services: Services) {
    this.#services = services;
    const { store } = services;
    for (const { tenant, body } of store.all<Marker>('background_response')) {
      const kept = store.get<KeptResponse>('response', tenant, body.id);
      if (kept) keep(services, tenant, { ...kept, response: { ...kept.response, ...interrupted } });
      store.delete('background_response', tenant, body.id);
    }
  }

  /** Begins one; it is stored as queued by the time this returns. Throws ColophonError where too many run. */
  start(caller: Caller, prepared: PreparedResponse): EventLog {
    this.#checkRoom(caller.tenant);
    const { store, answers, log } = this.#services;
    const { id } = prepared.response;
    const { tenant } = caller;
    const events = new EventLog();
    const control = new AbortController();
    setMaxListeners(0, control.signal);
    answers.add(control);
    store.put('background_response', tenant, id, { id } satisfies Marker);
    const run = runSent(this.#services, caller, prepared, control.signal, (event) => events.add(event));
    const running: Running = { tenant, events, control, deleted: false, ended: Promise.resolve() };
    running.ended = run
      .then(({ response: { status, model, usage } }) => {
        store.delete('background_response', tenant, id);
        if (running.deleted) store.delete('response', tenant, id);
        const tokens = { promptTokens: usage?.input_tokens, completionTokens: usage?.output_tokens };
        log.info({ response: id, tenant, model, finish: status, ...tokens }, 'background response');
      })
      // The store does not take its end; the next start finds it unfinished.
      .catch((error: unknown) =>
        log.error({ err: error, response: id }, 'A background response has broken off.'),
      )
      .finally(() => {
        if (!running.deleted) this.#late.set(id, events);
        answers.delete(control);
        this.#running.delete(id);
        events.end();
      });
    this.#running.set(id, running);
    return events;
  }

  /** Events of one that runs or has not ended long ago; undefined where they are gone. Whose it is, the caller has looked up. */
  events(id: string): EventLog | undefined {
    return this.#running.get(id)?.events ?? this.#late.get(id);
  }

  /** Ends one that runs; resolves when it is stored as cancelled. */
  async cancel(id: string): Promise<void> {
    const running = this.#running.get(id);
    running?.control.abort(new ResponseCancelled());
    await running?.ended;
  }

  /** Ends one that runs, and leaves nothing of it. */
  async delete(id: string): Promise<void> {
    const running = this.#running.get(id);
    if (running) running.deleted = true;
    await this.cancel(id);
    this.#late.delete(id);
  }

  /** When all have ended, by themselves or as the server's drain ends them. */
  async close(): Promise<void> {
    await Promise.all([...this.#running.values()].map(({ ended }) => ended));
  }

  #checkRoom(tenant: string): void {
    const own = [...this.#running.values()].filter((running) => running.tenant === tenant).length;
    if (this.#running.size < runningAtMost && own < runningAtMostOfTenant) return;
    throw new ColophonError(
      own < runningAtMostOfTenant
        ? `The server already runs ${this.#running.size} responses in the background. Try again when some have ended.`
        : `You already run ${own} responses in the background. Try again when some have ended, or cancel some.`,
      {
        type: 'rate_limit_error',
        param: 'background',
        code: 'too_many_background_responses',
        retryAfterSeconds: 5,
      },
    );
  }
}

const interrupted = {
  status: 'failed' as const,
  error: {
    code: 'server_error',
    message: 'The server stopped before it had finished this response. Ask again.',
  },
};

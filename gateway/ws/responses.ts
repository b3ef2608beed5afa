/**
 * Responses over a WebSocket: each event asks for one. Those of one lane (`stream_id`) run one after the other, lanes side by
 * side. What a socket was answered it can go on from, stored or not.
 */
import { type Static, Type } from 'typebox';
import { ColophonError } from '../contract/index.ts';
import { Cancelled } from '../http/choice.ts';
import { runLimited } from '../http/limited_choice.ts';
import { meterChoices } from '../http/metered.ts';
import type { ResponseObject } from '../responses/events.ts';
import { numbered } from '../responses/output.ts';
import { prepareResponse } from '../responses/prepare.ts';
import { type ResponseBody, responseBody } from '../responses/request.ts';
import { runSent } from '../responses/run.ts';
import { type FindResponse, type KeptResponse, keptBy } from '../responses/state.ts';
import { maybe } from '../schema/nullable.ts';
import { checked } from './checked.ts';
import type { ClientEvent, Connection, Protocol } from './connection.ts';
import { RecentResponses } from './recent_responses.ts';

const createResponse = Type.Object({
  ...responseBody.properties,
  type: Type.Literal('response.create'),
  stream_id: maybe(Type.String({ minLength: 1, maxLength: 256 })),
  generate: maybe(Type.Boolean()),
});

type Create = Static<typeof createResponse>;

/** Events that wait behind others of their lanes, of one socket. */
const mostWaiting = 64;

export async function serveResponses(connection: Connection): Promise<void> {
  connection.serve(new Responses(connection));
}

interface Asked {
  event: ClientEvent;
  create: Create;
}

class Responses implements Protocol {
  readonly #connection: Connection;
  readonly #recent = new RecentResponses();
  /** What waits in each lane that runs; the lane without a name is undefined. */
  readonly #lanes = new Map<string | undefined, Asked[]>();
  #waiting = 0;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  receive(event: ClientEvent): void {
    if (event.type !== 'response.create') throw unknownEvent(event.type);
    const create = checked(createResponse, event);
    if (create.background) {
      throw new ColophonError("'background' is not available over a WebSocket. Use POST /v1/responses.", {
        param: 'background',
        code: 'unsupported_parameter',
      });
    }
    const lane = create.stream_id ?? undefined;
    const waiting = this.#lanes.get(lane);
    if (!waiting) {
      void this.#runLane(lane, { event, create }, this.#connection.begin());
      return;
    }
    if (this.#waiting >= mostWaiting) {
      throw new ColophonError(
        `${mostWaiting} events wait on this socket already. Wait for their responses first.`,
        { type: 'rate_limit_error', code: 'too_many_events' },
      );
    }
    this.#waiting++;
    waiting.push({ event, create });
  }

  refuse(error: ColophonError, event: ClientEvent | undefined): void {
    const { type, code, message, param, status } = error;
    const lane = event?.stream_id;
    this.#connection.send({
      type: 'error',
      status,
      error: { type, code, message, param },
      ...(typeof lane === 'string' ? { stream_id: lane.slice(0, 256) } : {}),
    });
  }

  /** Runs what was asked in a lane until nothing waits there. */
  async #runLane(lane: string | undefined, first: Asked, begun: AbortController): Promise<void> {
    const waiting: Asked[] = [];
    this.#lanes.set(lane, waiting);
    let controller = begun;
    for (let next: Asked | undefined = first; next; ) {
      const usage = await this.#answer(next, controller.signal);
      next = this.#connection.open ? waiting.shift() : undefined;
      if (next) this.#waiting--;
      else this.#lanes.delete(lane);
      this.#connection.end(controller, usage);
      if (!next) return;
      try {
        controller = this.#connection.begin();
      } catch (error) {
        // The socket takes nothing more.
        this.refuse(this.#connection.shown(error), next.event);
        this.#waiting -= waiting.length;
        this.#lanes.delete(lane);
        return;
      }
    }
  }

  /** Answers one event, also with what goes wrong; never throws. */
  async #answer({ event, create }: Asked, signal: AbortSignal) {
    const { request } = this.#connection;
    const { stream_id, generate, type: _, ...body } = create;
    const emit = (sent: object) =>
      this.#connection.send(typeof stream_id === 'string' ? { ...sent, stream_id } : sent);
    request.outcome.model = body.model;
    const { services, caller } = this.#connection;
    try {
      await services.limits.takeRequest(caller);
      const ended =
        generate === false ? await this.#warmUp(body, signal, emit) : await this.#run(body, signal, emit);
      this.#recent.add(ended);
      const { usage } = ended.response;
      return {
        promptTokens: usage?.input_tokens ?? 0,
        completionTokens: usage?.output_tokens ?? 0,
      };
    } catch (thrown) {
      const error = signal.reason instanceof ColophonError ? signal.reason : thrown;
      // Its socket is closed.
      if (error instanceof Cancelled) return undefined;
      this.refuse(this.#connection.shown(error), event);
      return undefined;
    }
  }

  async #run(body: ResponseBody, signal: AbortSignal, emit: (event: object) => void): Promise<KeptResponse> {
    const { services, caller } = this.#connection;
    const prepared = await prepareResponse(services, caller, body, { find: this.#find });
    return runSent(services, caller, prepared, signal, emit);
  }

  /** Puts what a next response begins with into the prefix cache, and gives it an id to go on from. */
  async #warmUp(
    body: ResponseBody,
    signal: AbortSignal,
    emit: (event: object) => void,
  ): Promise<KeptResponse> {
    const { services, caller } = this.#connection;
    // A client may warm up with instructions and tools alone. The beginning of an empty message is that of any.
    const bare = !body.previous_response_id && (body.input ?? []).length === 0;
    const prepared = await prepareResponse(services, caller, bare ? { ...body, input: '' } : body, {
      find: this.#find,
    });
    const { structure: _, ...choice } = prepared.choice;
    const meter = services.metrics.generation(choice.adapter ? 'adapter' : 'base');
    const generate = { ...choice.generate, maxTokens: 1, minTokens: 0 };
    const only = { ...choice, generate, promptOnly: true };
    const metered = meterChoices(services, prepared.response.id, caller, prepared.served, [only]);
    const usage = await runLimited(services, caller, only, signal, meter, () => {}).finally(() =>
      metered?.end(),
    );
    const response: ResponseObject = {
      ...prepared.response,
      status: 'completed',
      completed_at: Math.floor(Date.now() / 1000),
      usage: {
        input_tokens: usage.promptTokens,
        input_tokens_details: { cached_tokens: usage.cachedTokens, cache_write_tokens: 0 },
        output_tokens: 0,
        output_tokens_details: { reasoning_tokens: 0 },
        total_tokens: usage.promptTokens,
      },
    };
    const event = numbered(emit);
    event('response.created', { response: prepared.response });
    event('response.in_progress', { response: prepared.response });
    event('response.completed', { response });
    return { response, input: bare ? [] : prepared.input };
  }

  /** What this socket was answered, then what its tenant has stored. */
  readonly #find: FindResponse = (id) => {
    const { services, caller } = this.#connection;
    return this.#recent.find(id) ?? keptBy(services.store, caller.tenant)(id);
  };
}

function unknownEvent(type: unknown): ColophonError {
  if (typeof type !== 'string') {
    return new ColophonError(`Missing required parameter: 'type', which must be "response.create".`, {
      param: 'type',
      code: 'missing_required_parameter',
    });
  }
  return new ColophonError(`Unknown event '${type.slice(0, 100)}'. Only response.create is known.`, {
    param: 'type',
    code: 'unknown_event',
  });
}

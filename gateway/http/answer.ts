/** One answer, plain or streamed: it ends when its client goes away or the server cannot wait. */
import { setMaxListeners } from 'node:events';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ColophonError } from '../contract/index.ts';
import { Cancelled, type ChoiceRequest, type ChoiceStep, type ChoiceUsage, runChoice } from './choice.ts';
import { clientOf } from './client.ts';
import { publicError } from './errors.ts';
import { EventStream } from './event_stream.ts';
import type { Metered } from './metered.ts';
import type { Services } from './services.ts';
import { type Usage, usageOf } from './usage.ts';

/** What the choices of a request are run with, and how their steps become a body or a stream. */
export interface Answer {
  choices: ChoiceRequest[];
  /** Choices for each prompt. */
  perPrompt: number;
  /** Takes one step of choice `index`; what it returns is sent where the answer streams. */
  step(index: number, step: ChoiceStep): string;
  /** After the last step: the rest of the stream, or the body. */
  end(usage: Usage): string;
}

/** Sends the answer. A failure before the first step is an ordinary error; after it, an error event in the stream. */
export function sendAnswer(
  services: Services,
  request: FastifyRequest,
  reply: FastifyReply,
  answer: Answer,
  stream: boolean,
  metered: Metered | undefined,
): Promise<FastifyReply> {
  const { limits } = services;
  const { outcome } = request;
  const prompts = promptTokens(answer);
  const run = async (used: (tokens: number) => void): Promise<FastifyReply> => {
    if (limits.limits(request.caller)) reply.headers(await limits.headers(request.caller));
    used(prompts);
    return serveClient(services, request, reply, { stream, metered }, async (client, write) => {
      try {
        const usages = await runTogether(services, answer, client, (index, step) => {
          outcome.firstTokenMs ??= Math.round(performance.now() - request.startedAt);
          outcome.completionTokens = (outcome.completionTokens ?? 0) + step.ids.length;
          if (step.finish) outcome.finish = step.finish;
          used(prompts + outcome.completionTokens);
          const data = answer.step(index, step);
          if (data !== '') write?.(data);
        });
        const usage = usageOf(usages, answer.perPrompt);
        outcome.promptTokens = usage.prompt_tokens;
        outcome.completionTokens = usage.completion_tokens;
        return answer.end(usage);
      } catch (error) {
        if (!(error instanceof Cancelled) && outcome.firstTokenMs === undefined) used(0);
        throw error;
      }
    });
  };
  return limits.spend(request.caller, tokensAtMost(answer), run);
}

/**
 * Runs what a client waits for; `client` is aborted when it goes away or the server cannot wait. `write` is there where
 * the answer streams; what `run` gives is the rest of the stream, or the body. `failed` words a failure of an open stream.
 * `metered` is told what left, and that nothing more does.
 */
export async function serveClient(
  services: Services,
  request: FastifyRequest,
  reply: FastifyReply,
  { stream, metered }: { stream: boolean; metered: Metered | undefined },
  run: (client: AbortController, write: ((events: string) => void) | undefined) => Promise<string>,
  failed = (error: ColophonError) => `data: ${JSON.stringify(error.toBody())}\n\n`,
): Promise<FastifyReply> {
  const { control: client, release } = clientOf(services, reply.raw);
  const events = stream
    ? new EventStream(request, reply, services.config.server.stalled_client_seconds)
    : undefined;
  if (metered) {
    reply.header('x-colophon-receipt', metered.id);
    const over = () => metered.end();
    if (reply.raw.destroyed) over();
    else reply.raw.once('finish', over).once('close', over);
  }
  try {
    const rest = await run(client, events && ((data) => events.write(data, metered?.take())));
    if (!events) {
      const handed = metered?.take();
      if (handed) reply.raw.prependOnceListener('finish', handed);
      return reply.type('application/json; charset=utf-8').send(rest);
    }
    events.write(rest, metered?.take());
    events.end();
  } catch (thrown) {
    const error = client.signal.reason instanceof ColophonError ? client.signal.reason : thrown;
    if (error instanceof Cancelled) {
      if (!reply.sent) reply.hijack();
      reply.raw.destroy();
      return reply;
    }
    if (!events?.opened) {
      reply.removeHeader('x-colophon-receipt');
      throw error;
    }
    const shown = publicError(error);
    if (shown.status >= 500) request.log.error({ err: error }, shown.message);
    request.outcome.error = shown;
    events.write(failed(shown));
    events.end();
  } finally {
    release();
  }
  return reply;
}

/** Of the prompts and of all that may be generated. */
function tokensAtMost(answer: Answer): number {
  let tokens = promptTokens(answer);
  for (const { generate, promptOnly } of answer.choices) tokens += promptOnly ? 0 : generate.maxTokens;
  return tokens;
}

function promptTokens({ choices, perPrompt }: Answer): number {
  let tokens = 0;
  for (let at = 0; at < choices.length; at += perPrompt) tokens += choices[at]!.generate.prompt.length;
  return tokens;
}

/** All choices at once; where one fails, the others are ended and its error is the request's. */
async function runTogether(
  services: Services,
  answer: Answer,
  client: AbortController,
  onStep: (index: number, step: ChoiceStep) => void,
): Promise<ChoiceUsage[]> {
  // Each choice listens; that many are no leak.
  if (answer.choices.length > 1) setMaxListeners(0, client.signal);
  const run = (choice: ChoiceRequest, index: number) => {
    const meter = services.metrics.generation(choice.adapter ? 'adapter' : 'base');
    return runChoice(choice, client.signal, meter, (step) => onStep(index, step));
  };
  if (answer.choices.length === 1) return [await run(answer.choices[0]!, 0)];
  let failure: { error: unknown } | undefined;
  const runs = answer.choices.map(async (choice, index) => {
    try {
      return await run(choice, index);
    } catch (error) {
      failure ??= { error };
      client.abort();
      throw error;
    }
  });
  const results = await Promise.allSettled(runs);
  if (failure) throw failure.error;
  return results.map((result) => (result as PromiseFulfilledResult<ChoiceUsage>).value);
}

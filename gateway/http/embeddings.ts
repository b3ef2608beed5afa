/** /v1/embeddings: the model's hidden states over each input, pooled and of length 1. */
import { setMaxListeners } from 'node:events';
import type { FastifyInstance } from 'fastify';
import { type Static, Type } from 'typebox';
import { generateAs } from '../access/callers.ts';
import { ColophonError, type Embedding, type EmbedRequest } from '../contract/index.ts';
import { maybe } from '../schema/nullable.ts';
import type { SpecialReading } from '../text/text_model.ts';
import type { Served } from './catalogue.ts';
import { clientOf } from './client.ts';
import { modelField, tokenId } from './fields.ts';
import { leastTokens } from './least_tokens.ts';
import { meterPrompts } from './metered.ts';
import { answers } from './openapi.ts';
import { takeRandomHex } from './random_bytes.ts';
import { embeddingsAnswer } from './response_schemas.ts';
import { checkTokenIds } from './sampling.ts';
import type { Services } from './services.ts';

const inputsAtMost = 2048;
/** Inputs of one request that the backend has at a time: they fill its steps, and leave its queue to others. */
const atOnce = 64;

const text = Type.String({ minLength: 1 });
const tokens = Type.Array(tokenId, { minItems: 1 });

export const embeddingBody = Type.Object({
  model: modelField,
  input: Type.Union(
    [
      text,
      Type.Array(text, { minItems: 1, maxItems: inputsAtMost }),
      tokens,
      Type.Array(tokens, { minItems: 1, maxItems: inputsAtMost }),
    ],
    { description: 'A text, token ids, or a list of either.' },
  ),
  encoding_format: maybe(
    Type.Union([Type.Literal('float'), Type.Literal('base64')], {
      description: 'base64: little-endian float32. Default float.',
    }),
  ),
  dimensions: maybe(
    Type.Integer({
      minimum: 1,
      description: 'Keep so many values of each, made length 1 again; default: all.',
    }),
  ),
  pooling: maybe(
    Type.Union([Type.Literal('mean'), Type.Literal('last')], {
      description: 'Mean over the tokens, or the last token alone. Default mean.',
    }),
  ),
  cache_salt: maybe(Type.String({ minLength: 1, maxLength: 1024 })),
  priority: maybe(Type.Integer({ minimum: -(2 ** 31), maximum: 2 ** 31 - 1 })),
  user: maybe(Type.String()),
});

type EmbeddingBody = Static<typeof embeddingBody>;

export function embeddingRoutes(app: FastifyInstance, services: Services): void {
  const special = services.config.text.special_tokens_in_content;
  app.post<{ Body: EmbeddingBody }>(
    '/v1/embeddings',
    {
      schema: {
        body: embeddingBody,
        summary: 'Vectors of texts',
        operationId: 'createEmbedding',
        tags: ['embeddings'],
        response: answers(embeddingsAnswer),
      },
    },
    async (request, reply) => {
      const { body } = request;
      request.outcome.model = body.model;
      const served = await services.catalogue.find(body.model);
      const shared = {
        model: body.model,
        pool: body.pooling ?? 'mean',
        ...generateAs(request.caller, body),
      } as const;
      if (!served.backend.embed) {
        throw new ColophonError(
          `The backend of '${body.model}' makes no embeddings; name a model of another backend.`,
          { param: 'model', code: 'unsupported' },
        );
      }
      const prompts = await readInputs(body, served, special);
      const { control: client, release } = clientOf(services, reply.raw);
      setMaxListeners(0, client.signal);
      const items: string[] = [];
      let promptTokens = 0;
      const id = `embd-${takeRandomHex(15)}`;
      const metered = meterPrompts(services, id, request.caller, served, prompts);
      try {
        const all = prompts.reduce((sum, prompt) => sum + prompt.length, 0);
        metered?.begin();
        await services.limits.spend(request.caller, all, (used) =>
          inTurns(prompts, atOnce, client, async (prompt, index) => {
            const { values, usage } = await embed(services, served, { ...shared, prompt }, client.signal);
            await metered?.record(index, [], usage.cachedTokens);
            metered?.finish(index, 'stop');
            promptTokens += usage.promptTokens;
            used(promptTokens);
            items[index] = itemJson(index, unit(values, body.dimensions ?? undefined), body.encoding_format);
          }),
        );
      } catch (error) {
        if (reply.raw.destroyed) return reply.hijack();
        throw error;
      } finally {
        release();
        metered?.end();
      }
      if (metered) reply.header('x-colophon-receipt', id);
      request.outcome.promptTokens = promptTokens;
      const usage = JSON.stringify({ prompt_tokens: promptTokens, total_tokens: promptTokens });
      return reply
        .type('application/json; charset=utf-8')
        .send(
          `{"object":"list","data":[${items.join(',')}],"model":${JSON.stringify(body.model)},"usage":${usage}}`,
        );
    },
  );
}

/** The token ids of each input. Each fits the model's context, or the request is refused. */
async function readInputs(
  { input }: EmbeddingBody,
  served: Served,
  special: SpecialReading,
): Promise<number[][]> {
  const single = typeof input === 'string' || typeof input[0] === 'number';
  const all = (single ? [input] : input) as Array<string | number[]>;
  const context = served.card.maxModelLength;
  const paramOf = (index: number) => (single ? 'input' : `input[${index}]`);
  const refuse = (index: number, count: string) => {
    const param = paramOf(index);
    throw new ColophonError(
      `This model's maximum context length is ${context} tokens. However, '${param}' has ${count}. Please split it.`,
      { param, code: 'context_length_exceeded' },
    );
  };
  all.forEach((item, index) => {
    if (typeof item !== 'string') return;
    const least = leastTokens(served.text, Buffer.byteLength(item));
    if (least > context) refuse(index, `at least ${least}`);
  });
  const texts = all.filter((item) => typeof item === 'string');
  const encoded = await served.encoder.encode(texts, { special, addBos: true });
  return all.map((item, index) => {
    // Inputs are all texts or all ids.
    const ids = typeof item === 'string' ? encoded[index]! : item;
    if (typeof item !== 'string') checkTokenIds(ids, served.text.vocabularySize, paramOf(index));
    if (ids.length > context) refuse(index, String(ids.length));
    return ids;
  });
}

/** Works on `most` items at a time; the first failure ends the others, and is what it throws. */
async function inTurns<Item>(
  items: readonly Item[],
  most: number,
  client: AbortController,
  work: (item: Item, index: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  let failure: { error: unknown } | undefined;
  const worker = async () => {
    while (next < items.length && !failure) {
      const index = next++;
      try {
        await work(items[index]!, index);
      } catch (error) {
        failure ??= { error };
        client.abort();
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(most, items.length) }, worker));
  if (failure) throw failure.error;
}

/** One input's state, counted. */
async function embed(
  { metrics }: Services,
  { backend, card }: Served,
  request: EmbedRequest,
  signal: AbortSignal,
): Promise<Embedding> {
  const meter = metrics.generation(card.parent === null ? 'base' : 'adapter');
  try {
    const embedding = await backend.embed!(request, signal);
    meter.finish('pooled', { ...embedding.usage, completionTokens: 0 });
    return embedding;
  } catch (error) {
    const usage = { promptTokens: request.prompt.length, cachedTokens: 0, completionTokens: 0 };
    meter.finish(signal.aborted ? 'cancelled' : 'error', usage);
    throw error;
  }
}

/** The first `dimensions` values, scaled to length 1. */
function unit(values: Float32Array, dimensions: number | undefined): Float32Array {
  if (dimensions !== undefined && dimensions > values.length) {
    throw new ColophonError(
      `Invalid 'dimensions': ${dimensions} is more than the ${values.length} that this model's embeddings have.`,
      { param: 'dimensions', code: 'invalid_value' },
    );
  }
  const kept = values.slice(0, dimensions);
  let sum = 0;
  for (const value of kept) sum += value * value;
  const length = Math.sqrt(sum);
  return length > 0 ? kept.map((value) => value / length) : kept;
}

function itemJson(index: number, values: Float32Array, format: EmbeddingBody['encoding_format']): string {
  const embedding =
    format === 'base64'
      ? `"${Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('base64')}"`
      : JSON.stringify(Array.from(values));
  return `{"object":"embedding","index":${index},"embedding":${embedding}}`;
}

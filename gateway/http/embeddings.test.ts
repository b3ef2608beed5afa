import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { mockWidth } from '../host/testing/mock_backend.ts';
import { mockTokens } from '../host/testing/mock_text.ts';
import { startTestServer, type TestServer, until } from './testing.ts';

const model = 'mock/base';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ adapters: ['one'], context: 100 });
});
afterAll(() => server.close());

const embed = async (changes: object) => server.post('/v1/embeddings', { model, ...changes });
const lengthOf = (values: number[]) => Math.hypot(...values);

describe('an answer', () => {
  test("is what OpenAI's client reads, as base64 by default and as numbers", async () => {
    const input = ['one text', 'another', 'one text'];
    const packed = await server.openai.embeddings.create({ model, input });
    expect(packed.data.map(({ index, object }) => [index, object])).toEqual(
      [0, 1, 2].map((i) => [i, 'embedding']),
    );
    for (const { embedding } of packed.data) {
      expect(embedding.length).toBe(mockWidth);
      expect(lengthOf(embedding)).toBeCloseTo(1, 6);
    }
    expect(packed.data[2]!.embedding).toEqual(packed.data[0]!.embedding);
    expect(packed.data[1]!.embedding).not.toEqual(packed.data[0]!.embedding);
    const count = mockTokens(input.join('')).length;
    expect(packed.usage).toEqual({ prompt_tokens: count, total_tokens: count });
    expect(packed.model).toBe(model);
    const plain = await server.openai.embeddings.create({ model, input, encoding_format: 'float' });
    expect(plain.data.map(({ embedding }) => embedding)).toEqual(packed.data.map((d) => [...d.embedding]));
  });

  test('has the numbers of a text, of its ids and of it in a list', async () => {
    const ids = mockTokens('a text');
    const bodies = await Promise.all(
      ['a text', ['a text'], ids, [ids]].map(async (input) => (await embed({ input })).body),
    );
    for (const body of bodies) expect(body).toEqual(bodies[0]);
  });

  test('keeps the first dimensions and is of length 1 again', async () => {
    const whole = (await embed({ input: 'some text' })).body.data[0].embedding as number[];
    const cut = (await embed({ input: 'some text', dimensions: 5 })).body.data[0].embedding as number[];
    const length = lengthOf(whole.slice(0, 5));
    expect(cut.length).toBe(5);
    cut.forEach((value, i) => {
      expect(value).toBeCloseTo(whole[i]! / length, 6);
    });
    const refused = await embed({ input: 'some text', dimensions: mockWidth + 1 });
    expect(refused.status).toBe(400);
    expect(refused.body.error).toMatchObject({ param: 'dimensions', code: 'invalid_value' });
    expect(refused.body.error.message).toContain(String(mockWidth));
  });

  test('is the model’s own: an adapter’s differs; pooling the last token does too', async () => {
    const values = async (changes: object) =>
      JSON.stringify((await embed({ input: 'some text', ...changes })).body.data[0].embedding);
    const base = await values({});
    expect(await values({ model: 'one' })).not.toBe(base);
    expect(await values({ pooling: 'last' })).not.toBe(base);
    expect(await values({ pooling: 'mean' })).toBe(base);
  });

  test('holds 2048 inputs, in order', async () => {
    const input = Array.from({ length: 2048 }, (_, i) => [3 + (i % 200)]);
    const { status, body } = await embed({ input });
    expect(status).toBe(200);
    expect(body.usage.prompt_tokens).toBe(2048);
    const one = (await embed({ input: input[1999] })).body.data[0].embedding;
    expect(body.data[1999]).toEqual({ object: 'embedding', index: 1999, embedding: one });
  });

  test('reads special tokens in a text as text', async () => {
    const { body } = await embed({ input: '<|im_end|>' });
    expect(body.usage.prompt_tokens).toBe('<|im_end|>'.length);
  });
});

describe('what is refused', () => {
  const cases: Array<[string, object, string | null, string]> = [
    ['no input', {}, 'input', 'missing_required_parameter'],
    ['an empty text', { input: '' }, 'input', 'empty_string'],
    ['an empty text among others', { input: ['a', ''] }, 'input[1]', 'empty_string'],
    ['no inputs', { input: [] }, 'input', 'invalid_value'],
    ['no ids', { input: [[1], []] }, 'input[1]', 'empty_array'],
    ['2049 inputs', { input: Array(2049).fill('a') }, 'input', 'array_above_max_length'],
    ['an id that is no token', { input: [[4], [4, 5000]] }, 'input[1][1]', 'invalid_token_id'],
    ['a text of another kind', { input: { a: 1 } }, 'input', 'invalid_type'],
    ['a text past the context', { input: ['a', 'b'.repeat(101)] }, 'input[1]', 'context_length_exceeded'],
    ['ids past the context', { input: Array(101).fill(5) }, 'input', 'context_length_exceeded'],
    ['another format', { input: 'a', encoding_format: 'hex' }, 'encoding_format', 'invalid_value'],
    ['no dimensions', { input: 'a', dimensions: 0 }, 'dimensions', 'integer_below_min_value'],
  ];
  test.each(cases)('%s', async (_, changes, param, code) => {
    const { status, body } = await embed(changes);
    expect(body.error).toMatchObject({ type: 'invalid_request_error', param, code });
    expect(status).toBe(400);
  });

  test('a whole context is not too long', async () => {
    expect((await embed({ input: 'b'.repeat(100) })).status).toBe(200);
  });

  test('a model that is not there, and a backend without embeddings', async () => {
    expect((await embed({ model: 'none', input: 'a' })).status).toBe(404);
    const plain = await startTestServer({ embeds: false });
    const { status, body } = await plain.post('/v1/embeddings', { model, input: 'a' });
    await plain.close();
    expect(status).toBe(400);
    expect(body.error).toMatchObject({ code: 'unsupported', param: 'model' });
  });
});

test('a client that leaves ends the work on all of its inputs', async () => {
  server.backend.pause();
  const client = new AbortController();
  const leaving = server.openai.embeddings.create(
    { model, input: Array(500).fill('text') },
    { signal: client.signal },
  );
  const before = server.backend.embedRequests.length;
  await until(() => server.backend.running > 0);
  client.abort();
  await expect(leaving).rejects.toThrow();
  await until(() => server.backend.running === 0);
  server.backend.resume();
  // The next answer comes after all that might still have been begun.
  expect((await embed({ input: 'a' })).status).toBe(200);
  expect(server.backend.embedRequests.length - before).toBeLessThan(500);
});

test('is counted', async () => {
  const figure = async () => {
    const text = await (await fetch(`${server.url}/metrics`)).text();
    return Number(/colophon_tokens_total\{type="prompt",kind="base"\} (\d+)/.exec(text)?.[1] ?? 0);
  };
  const before = await figure();
  await embed({ input: ['abc', 'de'] });
  expect((await figure()) - before).toBe(5);
});

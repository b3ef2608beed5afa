import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { mockEndToken, mockTokens } from '../host/testing/mock_text.ts';
import { eventsOf, startTestServer, type TestServer } from './testing.ts';

const model = 'mock/base';
const path = '/v1/completions';

let server: TestServer;
beforeAll(async () => {
  // It answers with the prompt in capitals, so that every choice can be told from the others.
  server = await startTestServer({
    reply: (request) =>
      Buffer.from(request.prompt.map((id) => id - 3))
        .toString('utf8')
        .toUpperCase(),
  });
});
afterAll(() => server.close());

const text = (answer: { body: { choices: Array<{ text: string }> } }) =>
  answer.body.choices.map((choice) => choice.text);

describe('a plain answer', () => {
  test('has exactly the fields of OpenAI', async () => {
    const { body } = await server.post(path, { model, prompt: 'one' });
    expect(body).toEqual({
      id: expect.stringMatching(/^cmpl-[0-9a-f]{30}$/),
      object: 'text_completion',
      created: expect.any(Number),
      model,
      choices: [{ index: 0, text: 'ONE', logprobs: null, finish_reason: 'stop' }],
      usage: expect.objectContaining({ prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 }),
      system_fingerprint: expect.any(String),
    });
  });

  test('comes through the openai client', async () => {
    const answer = await server.openai.completions.create({ model, prompt: 'client' });
    expect(answer.choices[0]!.text).toBe('CLIENT');
  });

  test('stops after 16 tokens unless told otherwise', async () => {
    const { body } = await server.post(path, { model, prompt: 'a sentence that is longer' });
    expect(body.choices[0]).toMatchObject({ text: 'A SENTENCE THAT ', finish_reason: 'length' });
    expect(body.usage.completion_tokens).toBe(16);
  });
});

describe('prompts', () => {
  test.each<[string, unknown, string[]]>([
    ['a string', 'ab', ['AB']],
    ['strings', ['ab', 'cd'], ['AB', 'CD']],
    ['ids', mockTokens('ab'), ['AB']],
    ['lists of ids', [mockTokens('ab'), mockTokens('cd')], ['AB', 'CD']],
  ])('%s', async (_name, prompt, expected) => {
    const answer = await server.post(path, { model, prompt });
    expect(text(answer)).toEqual(expected);
    expect(answer.body.usage.prompt_tokens).toBe(2 * expected.length);
  });

  test('several with n: choices are grouped by prompt, in order, plain and streamed', async () => {
    const request = { model, prompt: ['ab', 'cd', 'ef'], n: 2, return_token_ids: true };
    const { body } = await server.post(path, request);
    expect(body.choices.map((choice: { index: number }) => choice.index)).toEqual([0, 1, 2, 3, 4, 5]);
    expect(body.choices.map((choice: { text: string }) => choice.text)).toEqual([
      'AB',
      'AB',
      'CD',
      'CD',
      'EF',
      'EF',
    ]);
    expect(body.choices[3].prompt_token_ids).toEqual(mockTokens('cd'));
    expect(body.usage).toMatchObject({ prompt_tokens: 6, completion_tokens: 18 });

    const stream = await server.post(path, {
      ...request,
      stream: true,
      stream_options: { include_usage: true },
    });
    const { events, done } = eventsOf(stream.body);
    expect(done).toBe(true);
    const texts = Array(6).fill('');
    for (const event of events) for (const choice of event.choices) texts[choice.index] += choice.text;
    expect(texts).toEqual(['AB', 'AB', 'CD', 'CD', 'EF', 'EF']);
    expect(events.at(-1).usage).toMatchObject({ prompt_tokens: 6, completion_tokens: 18 });
    const firsts = [0, 1, 2, 3, 4, 5].map((index) =>
      events.find((event) => event.choices[0]?.index === index),
    );
    expect(firsts[4].choices[0].prompt_token_ids).toEqual(mockTokens('ef'));
  });

  test('special-token strings are special tokens here', async () => {
    const { body } = await server.post(path, { model, prompt: 'a<|im_end|>', return_token_ids: true });
    expect(body.choices[0].prompt_token_ids).toEqual([...mockTokens('a'), mockEndToken]);
  });
});

describe('a stream', () => {
  test('has exactly the chunks of OpenAI', async () => {
    const { body } = await server.post(path, { model, prompt: 'hé', stream: true });
    const { events, done } = eventsOf(body);
    expect(done).toBe(true);
    const chunk = (text: string, finish: string | null) => ({
      id: events[0].id,
      object: 'text_completion',
      created: events[0].created,
      model,
      system_fingerprint: events[0].system_fingerprint,
      choices: [{ index: 0, text, logprobs: null, finish_reason: finish }],
    });
    expect(events).toEqual([chunk('H', null), chunk('É', null), chunk('', 'stop')]);
  });
});

describe('echo', () => {
  test('has the log-probabilities of a prompt computed once for all its choices', async () => {
    server.backend.requests.length = 0;
    const request = { model, prompt: ['ab', 'cd'], n: 3, echo: true, logprobs: 1, prompt_logprobs: 1 };
    const { body } = await server.post(path, request);
    expect(server.backend.requests.map((one) => one.promptLogprobs)).toEqual([
      1,
      undefined,
      undefined,
      1,
      undefined,
      undefined,
    ]);
    const shown = body.choices.map(
      (choice: { logprobs: { token_logprobs: number[] }; prompt_logprobs: object }) => [
        choice.logprobs.token_logprobs.slice(0, 2),
        choice.prompt_logprobs,
      ],
    );
    expect(shown[1]).toEqual(shown[0]);
    expect(shown[2]).toEqual(shown[0]);
    expect(shown[4]).toEqual(shown[3]);
    expect(shown[3]).not.toEqual(shown[0]);
  });

  test('puts the prompt, as it was given, before the completion', async () => {
    expect(text(await server.post(path, { model, prompt: 'ab', echo: true }))).toEqual(['abAB']);
    expect(text(await server.post(path, { model, prompt: mockTokens('ab'), echo: true }))).toEqual(['abAB']);
    const stream = await server.post(path, { model, prompt: ['ab', 'cd'], echo: true, stream: true });
    const texts = ['', ''];
    for (const event of eventsOf(stream.body).events) texts[event.choices[0].index] += event.choices[0].text;
    expect(texts).toEqual(['abAB', 'cdCD']);
  });

  test('with max_tokens 0 gives the prompt alone and its log-probabilities', async () => {
    const { body } = await server.post(path, {
      model,
      prompt: 'abc',
      echo: true,
      max_tokens: 0,
      logprobs: 2,
    });
    const [choice] = body.choices;
    expect(choice).toMatchObject({ text: 'abc', finish_reason: 'length' });
    expect(choice.logprobs.tokens).toEqual(['a', 'b', 'c']);
    expect(choice.logprobs.token_logprobs[0]).toBeNull();
    expect(choice.logprobs.token_logprobs[1]).toBeLessThan(0);
    expect(choice.logprobs.top_logprobs[0]).toBeNull();
    expect(Object.keys(choice.logprobs.top_logprobs[1])).toContain('b');
    expect(choice.logprobs.text_offset).toEqual([0, 1, 2]);
    expect(body.usage).toMatchObject({ prompt_tokens: 3, completion_tokens: 0, total_tokens: 3 });
  });

  test('log-probabilities cover prompt and completion, with offsets into the text; streamed the same', async () => {
    const request = { model, prompt: 'é1', echo: true, logprobs: 1, max_tokens: 3 };
    const { body } = await server.post(path, request);
    const { logprobs } = body.choices[0];
    expect(body.choices[0].text).toBe('é1É1');
    // Offsets count characters; both bytes of é begin where it begins.
    expect(logprobs.text_offset).toEqual([0, 0, 1, 2, 2, 3]);
    expect(logprobs.token_logprobs.length).toBe(6);
    expect(logprobs.top_logprobs.length).toBe(6);

    const stream = await server.post(path, { ...request, stream: true });
    const joined = { tokens: [], token_logprobs: [], top_logprobs: [], text_offset: [] } as Record<
      string,
      unknown[]
    >;
    for (const event of eventsOf(stream.body).events) {
      for (const [key, values] of Object.entries(event.choices[0].logprobs ?? {}))
        joined[key]!.push(...(values as unknown[]));
    }
    expect(joined).toEqual(logprobs);
  });
});

describe('log-probabilities', () => {
  test('name each token, its own and the top ones', async () => {
    const { body } = await server.post(path, { model, prompt: 'ab', logprobs: 3 });
    const { logprobs } = body.choices[0];
    expect(logprobs.tokens).toEqual(['A', 'B', '<|im_end|>']);
    expect(logprobs.text_offset).toEqual([0, 1, 2]);
    for (const [index, top] of logprobs.top_logprobs.entries()) {
      expect(Object.keys(top).length).toBe(3);
      expect(top[logprobs.tokens[index]]).toBe(logprobs.token_logprobs[index]);
    }
  });

  test('0 gives the own ones alone', async () => {
    const { body } = await server.post(path, { model, prompt: 'ab', logprobs: 0, max_tokens: 1 });
    expect(body.choices[0].logprobs.top_logprobs).toEqual([{ A: expect.any(Number) }]);
  });

  test('return_tokens_as_token_ids names tokens by id', async () => {
    const { body } = await server.post(path, {
      model,
      prompt: 'ab',
      logprobs: 1,
      max_tokens: 1,
      return_tokens_as_token_ids: true,
    });
    const name = `token_id:${mockTokens('A')[0]}`;
    expect(body.choices[0].logprobs.tokens).toEqual([name]);
    expect(Object.keys(body.choices[0].logprobs.top_logprobs[0])).toEqual([name]);
  });

  test("prompt_logprobs have vLLM's shape", async () => {
    const { body } = await server.post(path, { model, prompt: 'ab', prompt_logprobs: 2, max_tokens: 1 });
    const [first, second] = body.choices[0].prompt_logprobs;
    expect(first).toBeNull();
    expect(second[String(mockTokens('b')[0])]).toEqual({
      logprob: expect.any(Number),
      rank: 1,
      decoded_token: 'b',
    });
    expect(Object.keys(second).length).toBe(2);
  });
});

describe('ending', () => {
  test.each<[string, object, string, string, unknown]>([
    ['a stop string', { stop: 'LL' }, 'HE', 'stop', 'LL'],
    ['stop strings, the first met', { stop: ['WORLD', 'L'] }, 'HE', 'stop', 'L'],
    ['a stop string in the output', { stop: 'LL', include_stop_str_in_output: true }, 'HELL', 'stop', 'LL'],
    ['a stop string that is only begun', { stop: 'WORLDS' }, 'HELLO WORLD', 'stop', undefined],
    ['a stop token', { stop_token_ids: [mockTokens('O')[0]] }, 'HELL', 'stop', mockTokens('O')[0]],
    [
      'a stop token in the output',
      { stop_token_ids: [mockTokens('O')[0]], include_stop_str_in_output: true },
      'HELLO',
      'stop',
      mockTokens('O')[0],
    ],
    ['a stop string before min_tokens', { stop: 'L', min_tokens: 4 }, 'HELLO WOR', 'stop', 'L'],
    ['max_tokens', { max_tokens: 3 }, 'HEL', 'length', undefined],
    ['ignore_eos goes on', { ignore_eos: true, max_tokens: 14 }, 'HELLO WORLD...', 'length', undefined],
  ])('%s', async (_name, fields, expected, finish, reason) => {
    const request = { model, prompt: 'hello world', max_tokens: 32, ...fields };
    const { body } = await server.post(path, request);
    expect(body.choices[0]).toMatchObject({ text: expected, finish_reason: finish });
    expect(body.choices[0].stop_reason).toEqual(reason);
    const { events } = eventsOf((await server.post(path, { ...request, stream: true })).body);
    expect(events.map((event) => event.choices[0].text).join('')).toBe(expected);
    expect(events.at(-1).choices[0]).toMatchObject({ finish_reason: finish });
    expect(events.at(-1).choices[0].stop_reason).toEqual(reason);
  });

  test('a stop string ends the generation: nothing runs on, and only what was made is counted', async () => {
    const { body } = await server.post(path, {
      model,
      prompt: 'hello world, this goes on for a while',
      max_tokens: 1000,
      ignore_eos: true,
      stop: 'LL',
      return_token_ids: true,
    });
    expect(body.usage.completion_tokens).toBe(4);
    expect(body.choices[0].token_ids).toEqual(mockTokens('HELL'));
    expect(server.backend.running).toBe(0);
  });

  test('special tokens are shown where asked', async () => {
    const { body } = await server.post(path, {
      model,
      prompt: 'ab',
      ignore_eos: true,
      max_tokens: 4,
      logit_bias: { [mockEndToken]: 100 },
      skip_special_tokens: false,
    });
    expect(body.choices[0].text).toBe('<|im_end|>'.repeat(4));
  });
});

test('what the request says reaches the backend', async () => {
  await server.post(path, {
    model,
    prompt: 'ab',
    max_tokens: 3,
    temperature: 0.5,
    top_p: 0.25,
    top_k: 7,
    min_p: 0.125,
    repetition_penalty: 1.5,
    presence_penalty: -1,
    frequency_penalty: 2,
    logit_bias: { 5: -100, 6: 1.5 },
    seed: -1,
    min_tokens: 2,
    cache_salt: 'salt',
    priority: -3,
    n: 2,
  });
  const [first, second] = server.backend.requests.slice(-2);
  expect(first).toEqual({
    model,
    prompt: mockTokens('ab'),
    maxTokens: 3,
    minTokens: 2,
    ignoreEnd: false,
    stopTokenIds: [],
    cacheSalt: 'salt',
    tenant: 'default',
    priority: -3,
    sampling: {
      temperature: 0.5,
      topP: 0.25,
      topK: 7,
      minP: 0.125,
      repetitionPenalty: 1.5,
      presencePenalty: -1,
      frequencyPenalty: 2,
      logitBias: [
        [5, -100],
        [6, 1.5],
      ],
      seed: 2n ** 64n - 1n,
    },
  });
  expect(second!.sampling.seed).toBe(0n); // the next of 64 bits
});

test('cached prompt tokens are counted, also where a stop string ends it', async () => {
  const request = { model, prompt: 'a prompt of more than sixteen tokens', cache_salt: 'cached' };
  expect((await server.post(path, request)).body.usage.prompt_tokens_details.cached_tokens).toBe(0);
  expect((await server.post(path, request)).body.usage.prompt_tokens_details.cached_tokens).toBe(32);
  const stopped = await server.post(path, { ...request, stop: 'P' });
  expect(stopped.body.usage.prompt_tokens_details.cached_tokens).toBe(32);
});

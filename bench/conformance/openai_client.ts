/** What OpenAI's own npm client does, route by route. */
import assert from 'node:assert/strict';
import OpenAI, { toFile } from 'openai';
import type { ServedModel } from './ai_sdk.ts';
import type { Case } from './suite.ts';

const weather = {
  type: 'function' as const,
  function: {
    name: 'get_weather',
    description: 'The weather of a city.',
    parameters: {
      type: 'object',
      properties: { city: { type: 'string', enum: ['Paris', 'Rome'] } },
      required: ['city'],
      additionalProperties: false,
    },
  },
};

export function openaiClientCases({ url, model }: ServedModel): Case[] {
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0, timeout: 120_000 });
  const messages = [{ role: 'user' as const, content: 'Name the capital of France.' }];
  const chat = { model, messages, max_tokens: 8, temperature: 0 };
  const named = { type: 'function' as const, function: { name: 'get_weather' } };
  const checkCall = (call: { name?: string | undefined; arguments?: string | undefined }) => {
    assert.equal(call.name, 'get_weather');
    assert.ok(['Paris', 'Rome'].includes(JSON.parse(call.arguments!).city), call.arguments);
  };
  return [
    {
      name: 'models.list and models.retrieve',
      async run() {
        const ids: string[] = [];
        for await (const one of client.models.list()) ids.push(one.id);
        assert.ok(ids.includes(model));
        assert.equal((await client.models.retrieve(model)).id, model);
      },
    },
    {
      name: 'completions.create, whole and streamed',
      async run() {
        const body = { model, prompt: 'The capital of France is', max_tokens: 8, temperature: 0 };
        const whole = await client.completions.create(body);
        let text = '';
        for await (const chunk of await client.completions.create({ ...body, stream: true }))
          text += chunk.choices[0]?.text ?? '';
        assert.equal(text, whole.choices[0]!.text);
        assert.ok(whole.usage!.completion_tokens > 0);
      },
    },
    {
      name: 'chat.completions.create, whole and streamed',
      async run() {
        const whole = await client.chat.completions.create(chat);
        const runner = client.chat.completions.stream({ ...chat, stream_options: { include_usage: true } });
        assert.equal((await runner.finalMessage()).content, whole.choices[0]!.message.content);
        assert.equal((await runner.totalUsage()).total_tokens, whole.usage!.total_tokens);
      },
    },
    {
      name: 'chat.completions.create with n, logprobs and seed',
      async run() {
        const more = { n: 2, logprobs: true, top_logprobs: 2, seed: 7, temperature: 1 };
        const [one, two] = [
          await client.chat.completions.create({ ...chat, ...more }),
          await client.chat.completions.create({ ...chat, ...more }),
        ];
        assert.equal(one.choices.length, 2);
        assert.equal(one.choices[0]!.logprobs!.content![0]!.top_logprobs.length, 2);
        const texts = (answer: typeof one) => answer.choices.map((choice) => choice.message.content);
        assert.deepEqual(texts(one), texts(two));
      },
    },
    {
      name: 'chat.completions.create with a schema',
      async run() {
        const schema = { type: 'object', properties: { ok: { type: 'boolean' } }, required: ['ok'] };
        const answer = await client.chat.completions.create({
          ...chat,
          max_tokens: 64,
          response_format: {
            type: 'json_schema',
            json_schema: {
              name: 'verdict',
              strict: true,
              schema: { ...schema, additionalProperties: false },
            },
          },
        });
        assert.equal(typeof JSON.parse(answer.choices[0]!.message.content!).ok, 'boolean');
      },
    },
    {
      name: 'chat.completions.create with a named tool, whole and streamed',
      async run() {
        const body = { ...chat, max_tokens: 128, tools: [weather], tool_choice: named };
        const [call] = (await client.chat.completions.create(body)).choices[0]!.message.tool_calls!;
        assert.equal(call!.type, 'function');
        if (call!.type === 'function') checkCall(call!.function);
        const runner = client.chat.completions.stream(body);
        checkCall((await runner.finalFunctionToolCall())!);
      },
    },
    {
      name: 'chat.completions with a tool that is required, and its result read back',
      async run() {
        const body = { ...chat, max_tokens: 128, tools: [weather] };
        const asked = await client.chat.completions.create({ ...body, tool_choice: 'required' });
        const { message, finish_reason } = asked.choices[0]!;
        assert.equal(finish_reason, 'tool_calls');
        const call = message.tool_calls![0]!;
        const result = { role: 'tool' as const, tool_call_id: call.id, content: '{"degrees": 21}' };
        const answer = await client.chat.completions.create({
          ...body,
          tool_choice: 'none',
          messages: [...messages, message, result],
        });
        assert.equal(typeof answer.choices[0]!.message.content, 'string');
      },
    },
    {
      name: 'chat.completions stored, listed, updated and deleted',
      async run() {
        const made = await client.chat.completions.create({ ...chat, store: true, metadata: { suite: 'a' } });
        assert.equal((await client.chat.completions.retrieve(made.id)).id, made.id);
        const ids: string[] = [];
        for await (const one of client.chat.completions.list({ metadata: { suite: 'a' } })) ids.push(one.id);
        assert.ok(ids.includes(made.id));
        const updated = await client.chat.completions.update(made.id, { metadata: { suite: 'b' } });
        assert.equal(updated.id, made.id);
        assert.equal((await client.chat.completions.delete(made.id)).deleted, true);
      },
    },
    {
      name: 'responses.create, retrieved, continued and deleted',
      async run() {
        const first = await client.responses.create({ model, input: 'Say hello.', max_output_tokens: 16 });
        assert.equal(typeof first.output_text, 'string');
        assert.equal((await client.responses.retrieve(first.id)).id, first.id);
        const more = { model, input: 'Again.', max_output_tokens: 16, previous_response_id: first.id };
        const second = await client.responses.create(more);
        assert.equal(second.previous_response_id, first.id);
        await client.responses.delete(first.id);
        await assert.rejects(client.responses.retrieve(first.id), { status: 404 });
      },
    },
    {
      name: 'responses.stream',
      async run() {
        const stream = client.responses.stream({ model, input: 'Say hello.', max_output_tokens: 16 });
        let text = '';
        stream.on('response.output_text.delta', ({ delta }) => {
          text += delta;
        });
        assert.equal((await stream.finalResponse()).output_text, text);
      },
    },
    {
      name: 'responses.create with a function',
      async run() {
        const { name, description, parameters } = weather.function;
        const answer = await client.responses.create({
          model,
          input: 'What is the weather in Paris?',
          tools: [{ type: 'function', name, description, parameters, strict: true }],
          tool_choice: 'required',
          max_output_tokens: 128,
        });
        const call = answer.output.find((item) => item.type === 'function_call');
        assert.ok(call);
        checkCall(call);
      },
    },
    {
      name: 'embeddings.create',
      async run() {
        const { data } = await client.embeddings.create({ model, input: ['a fox', 'a dog'] });
        assert.equal(data.length, 2);
        assert.ok(data[0]!.embedding.length > 0);
        assert.ok(data[0]!.embedding.every((value) => Number.isFinite(value)));
      },
    },
    {
      name: 'files: created, listed, read and deleted',
      async run() {
        const text = '{"a":1}\n';
        const file = await client.files.create({
          file: await toFile(Buffer.from(text), 'a.jsonl'),
          purpose: 'batch',
        });
        assert.equal(await (await client.files.content(file.id)).text(), text);
        const ids: string[] = [];
        for await (const one of client.files.list()) ids.push(one.id);
        assert.ok(ids.includes(file.id));
        assert.equal((await client.files.delete(file.id)).deleted, true);
      },
    },
    {
      name: 'batches: run to the end, its output read',
      async run() {
        const line = { custom_id: 'one', method: 'POST', url: '/v1/chat/completions', body: chat };
        const file = await client.files.create({
          file: await toFile(Buffer.from(`${JSON.stringify(line)}\n`), 'batch.jsonl'),
          purpose: 'batch',
        });
        let batch = await client.batches.create({
          input_file_id: file.id,
          endpoint: '/v1/chat/completions',
          completion_window: '24h',
        });
        for (
          let tries = 0;
          tries < 600 && !['completed', 'failed', 'expired'].includes(batch.status);
          tries++
        ) {
          await new Promise((resolve) => setTimeout(resolve, 100));
          batch = await client.batches.retrieve(batch.id);
        }
        assert.equal(batch.status, 'completed');
        const output = await (await client.files.content(batch.output_file_id!)).text();
        const answer = JSON.parse(output.trim());
        assert.equal(answer.custom_id, 'one');
        assert.equal(answer.response.status_code, 200);
      },
    },
    {
      name: 'moderations.create is refused clearly',
      async run() {
        await client.moderations.create({ input: 'x' }).then(
          () => assert.fail('It was answered, though nothing here moderates.'),
          (error: { status?: number; code?: string }) => {
            if (error.code === 'unknown_url') throw error;
            assert.ok(error.status! >= 400 && error.status! < 500, `status ${error.status}`);
          },
        );
      },
    },
    {
      name: 'errors are of the classes that the client has',
      async run() {
        await assert.rejects(
          client.chat.completions.create({ ...chat, model: 'nope' }),
          OpenAI.NotFoundError,
        );
        await assert.rejects(
          client.chat.completions.create({ ...chat, temperature: 9 }),
          OpenAI.BadRequestError,
        );
      },
    },
  ];
}

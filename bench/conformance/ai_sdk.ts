/** What the Vercel AI SDK does through @ai-sdk/openai-compatible. What is asked of answers holds for any model. */
import assert from 'node:assert/strict';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { generateObject, generateText, jsonSchema, streamObject, streamText, tool } from 'ai';
import type { Case } from './suite.ts';

export interface ServedModel {
  /** "http://127.0.0.1:8080" */
  url: string;
  model: string;
  /** Another that is served. */
  other?: string;
}

/** Few enough values that every answer ends. */
const verdict = jsonSchema<{ verdict: 'yes' | 'no'; sure: boolean }>({
  type: 'object',
  properties: { verdict: { type: 'string', enum: ['yes', 'no'] }, sure: { type: 'boolean' } },
  required: ['verdict', 'sure'],
  additionalProperties: false,
});

const weather = tool({
  description: 'The weather of a city.',
  inputSchema: jsonSchema<{ city: 'Paris' | 'Rome' }>({
    type: 'object',
    properties: { city: { type: 'string', enum: ['Paris', 'Rome'] } },
    required: ['city'],
    additionalProperties: false,
  }),
  execute: async ({ city }) => ({ city, degrees: 21 }),
});

function assertVerdict(object: { verdict?: string; sure?: boolean }): void {
  assert.ok(object.verdict === 'yes' || object.verdict === 'no', `verdict is ${object.verdict}`);
  assert.equal(typeof object.sure, 'boolean');
}

export function aiSdkCases({ url, model }: ServedModel): Case[] {
  const provider = createOpenAICompatible({
    name: 'colophon',
    baseURL: `${url}/v1`,
    includeUsage: true,
    supportsStructuredOutputs: true,
  });
  const asked = { model: provider(model), maxRetries: 0, temperature: 0 } as const;
  const prompt = 'Name the capital of France.';
  return [
    {
      name: 'generateText',
      async run() {
        const { text, usage, finishReason, response } = await generateText({
          ...asked,
          system: 'Answer in one word.',
          prompt,
          maxOutputTokens: 8,
        });
        assert.ok(text.length > 0);
        assert.ok(['stop', 'length'].includes(finishReason), finishReason);
        assert.ok(usage.inputTokens! > 0 && usage.outputTokens! > 0);
        assert.equal(usage.totalTokens, usage.inputTokens! + usage.outputTokens!);
        assert.equal(response.modelId, model);
      },
    },
    {
      name: 'generateText over several turns',
      async run() {
        const { text } = await generateText({
          ...asked,
          messages: [
            { role: 'user', content: prompt },
            { role: 'assistant', content: 'Paris.' },
            { role: 'user', content: [{ type: 'text', text: 'And of Italy?' }] },
          ],
          maxOutputTokens: 8,
        });
        assert.ok(text.length > 0);
      },
    },
    {
      name: 'generateText with stop sequences',
      async run() {
        const whole = await generateText({ ...asked, prompt, maxOutputTokens: 24 });
        const stop = whole.text.slice(3, 5);
        const cut = await generateText({ ...asked, prompt, maxOutputTokens: 24, stopSequences: [stop] });
        assert.equal(cut.text, whole.text.slice(0, whole.text.indexOf(stop)));
        assert.equal(cut.finishReason, 'stop');
      },
    },
    {
      name: 'streamText gives the text of generateText',
      async run() {
        const whole = await generateText({ ...asked, prompt, maxOutputTokens: 16 });
        const stream = streamText({ ...asked, prompt, maxOutputTokens: 16 });
        let text = '';
        for await (const piece of stream.textStream) text += piece;
        assert.equal(text, whole.text);
        const usage = await stream.usage;
        assert.ok(usage.inputTokens! > 0 && usage.outputTokens! > 0);
        assert.equal(await stream.finishReason, whole.finishReason);
      },
    },
    {
      name: 'streamText that is aborted ends',
      async run() {
        const leave = new AbortController();
        const stream = streamText({ ...asked, prompt, maxOutputTokens: 2000, abortSignal: leave.signal });
        const kinds = new Set<string>();
        for await (const part of stream.fullStream) {
          kinds.add(part.type);
          if (part.type === 'text-delta') leave.abort();
        }
        assert.ok(kinds.has('abort') || kinds.has('finish'), [...kinds].join(', '));
      },
    },
    {
      name: 'generateObject keeps to a schema',
      async run() {
        const { object } = await generateObject({ ...asked, schema: verdict, prompt: 'Is water wet?' });
        assertVerdict(object);
      },
    },
    {
      name: 'generateObject chooses of an enum',
      async run() {
        const { object } = await generateObject({
          ...asked,
          output: 'enum',
          enum: ['sunny', 'rainy', 'snowy'],
          prompt: 'What is the weather in a desert?',
        });
        assert.ok(['sunny', 'rainy', 'snowy'].includes(object), object);
      },
    },
    {
      name: 'streamObject keeps to a schema',
      async run() {
        const stream = streamObject({ ...asked, schema: verdict, prompt: 'Is fire cold?' });
        let parts = 0;
        for await (const _ of stream.partialObjectStream) parts++;
        assert.ok(parts > 0);
        assertVerdict(await stream.object);
      },
    },
    {
      name: 'generateText runs a tool and answers with its result',
      async run() {
        const { steps } = await generateText({
          ...asked,
          prompt: 'What is the weather in Paris?',
          tools: { weather },
          maxOutputTokens: 512,
          stopWhen: ({ steps: done }) => done.length === 2,
          prepareStep: ({ stepNumber }) => ({ toolChoice: stepNumber === 0 ? 'required' : 'none' }),
        });
        assert.equal(steps.length, 2);
        const [called, answered] = steps;
        assert.equal(called!.finishReason, 'tool-calls');
        assert.ok(called!.toolResults.length > 0);
        for (const { output } of called!.toolResults) assert.match(JSON.stringify(output), /"degrees":21/);
        assert.equal(answered!.toolCalls.length, 0);
      },
    },
    {
      name: 'streamText streams a call and its result',
      async run() {
        const stream = streamText({
          ...asked,
          prompt: 'What is the weather in Rome?',
          tools: { weather },
          toolChoice: { type: 'tool', toolName: 'weather' },
          maxOutputTokens: 128,
        });
        const kinds = new Set<string>();
        for await (const part of stream.fullStream) kinds.add(part.type);
        for (const kind of ['tool-input-start', 'tool-input-delta', 'tool-call', 'tool-result'])
          assert.ok(kinds.has(kind), `no ${kind} among ${[...kinds].join(', ')}`);
        const [result] = await stream.toolResults;
        assert.match(JSON.stringify(result?.output), /"degrees":21/);
      },
    },
    {
      name: 'an unknown model is an error that names it',
      async run() {
        const call = generateText({ ...asked, model: provider('no-such-model'), prompt });
        await assert.rejects(call, (error: { statusCode?: number; message: string }) => {
          assert.equal(error.statusCode, 404);
          assert.match(error.message, /no-such-model/);
          return true;
        });
      },
    },
  ];
}

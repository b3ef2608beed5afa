/** Nothing that is not recorded leaves, and what left is known to the token, however an answer ends. */
import { Type } from 'typebox';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  type AnswerMeter,
  ColophonError,
  definePlugin,
  type MeteredAnswer,
  type MeteredFinish,
} from '../contract/index.ts';
import { startTestServer, type TestServer, until } from './testing.ts';

interface Kept {
  answer: MeteredAnswer;
  recorded: number[][];
  handed: number[];
  finish: Array<MeteredFinish | undefined>;
  ended: boolean;
  made: number[];
}

/** What the sink was told, by response. */
let kept: Kept[] = [];
/** Called before a record is durable. */
let durable: (choice: number, ids: readonly number[]) => Promise<void> | void = () => {};
let refuse: Error | undefined;

const sink = definePlugin({
  name: 'sink',
  contract: 1,
  config: Type.Object({}),
  provides: ['meterSink'],
  setup: (host) =>
    host.provide('meterSink', {
      begin(answer): AnswerMeter {
        if (refuse) throw refuse;
        const one: Kept = {
          answer,
          recorded: answer.choices.map(() => []),
          handed: answer.choices.map(() => 0),
          finish: answer.choices.map(() => undefined),
          ended: false,
          made: [],
        };
        kept.push(one);
        return {
          async record(choice, ids) {
            await durable(choice, ids);
            one.recorded[choice]!.push(...ids);
          },
          handed(choice, tokens) {
            if (one.ended) throw new Error('Something was handed over after the end.');
            one.handed[choice]! += tokens;
          },
          finish(choice, finish) {
            one.finish[choice] = finish;
          },
          end(made) {
            if (one.ended) throw new Error('It ended twice.');
            one.ended = true;
            one.made = [...made];
          },
        };
      },
    }),
});

const model = 'mock/base';
const reply = 'Every token of this is recorded before it leaves.';
let server: TestServer;

const messages = [{ role: 'user' as const, content: 'Hi.' }];
const over = async () => {
  await until(() => kept.length > 0 && kept.every(({ ended }) => ended));
  return kept;
};
const full = new ColophonError('The disk is full.', {
  type: 'service_unavailable_error',
  code: 'metering_unavailable',
});

describe.each([
  ['whoever reads from the backend', false],
  ['the backend', true],
])('recorded by %s', (_by, records) => {
  beforeEach(async () => {
    kept = [];
    durable = () => {};
    refuse = undefined;
    server = await startTestServer({ reply: () => reply, plugins: [sink], records });
  });
  afterEach(() => server.close());

  describe('what leaves is what was recorded', () => {
    const whole: Array<[string, () => Promise<number>]> = [
      [
        'a chat',
        async () => {
          const { data, response } = await server.openai.chat.completions
            .create({ model, messages, n: 2 })
            .withResponse();
          expect(response.headers.get('x-colophon-receipt')).toBe(data.id);
          return data.usage!.completion_tokens;
        },
      ],
      [
        'a streamed chat',
        async () => {
          const stream = await server.openai.chat.completions.create({
            model,
            messages,
            n: 2,
            stream: true,
            stream_options: { include_usage: true },
          });
          let tokens = 0;
          for await (const { usage } of stream) tokens = usage?.completion_tokens ?? tokens;
          return tokens;
        },
      ],
      [
        'a completion',
        async () =>
          (await server.openai.completions.create({ model, prompt: ['a', 'b'] })).usage!.completion_tokens,
      ],
      [
        'a response',
        async () => (await server.openai.responses.create({ model, input: 'Hi.' })).usage!.output_tokens,
      ],
      [
        'a streamed response',
        async () => {
          const stream = await server.openai.responses.create({ model, input: 'Hi.', stream: true });
          for await (const event of stream)
            if (event.type === 'response.completed') return event.response.usage!.output_tokens;
          return -1;
        },
      ],
      [
        'a response in the background',
        async () => {
          const { id } = await server.openai.responses.create({ model, input: 'Hi.', background: true });
          for (;;) {
            const { status, usage } = await server.openai.responses.retrieve(id);
            if (status === 'completed') return usage!.output_tokens;
          }
        },
      ],
    ];
    test.each(whole)('%s', async (_, ask) => {
      const tokens = await ask();
      const [one] = await over();
      const sum = one!.handed.reduce((all, some) => all + some, 0);
      const made = one!.made.reduce((all, some) => all + some, 0);
      expect([sum, made, one!.recorded.flat().length]).toEqual([tokens, tokens, tokens]);
      expect(tokens).toBeGreaterThan(10);
      expect(one!.finish.every((finish) => finish === 'stop' || finish === 'length')).toBe(true);
      expect(one!.answer).toMatchObject({ tenant: 'default', key: 'default', model: { id: model } });
    });

    test('what a step gave after a stop string is not its own', async () => {
      await server.close();
      server = await startTestServer({ reply: () => reply, plugins: [sink], records, tokensPerStep: 14 });
      const { choices, usage } = await server.openai.completions.create({
        model,
        prompt: 'a',
        stop: 'token',
      });
      const [one] = await over();
      expect(choices[0]!.text).toBe('Every ');
      expect([one!.handed, one!.made]).toEqual([[usage!.completion_tokens], [usage!.completion_tokens]]);
      expect(one!.recorded[0]!.length).toBe(records ? 14 : usage!.completion_tokens);
    });

    test('embeddings are recorded by their prompts', async () => {
      await server.openai.embeddings.create({ model, input: ['one', 'two'] });
      const [one] = await over();
      expect(one!.answer.choices.map(({ generate }) => generate)).toEqual([undefined, undefined]);
      expect(one!.finish).toEqual(['stop', 'stop']);
    });
  });

  describe('before they are recorded', () => {
    test('tokens stay here, and the others go on', async () => {
      let release: (() => void) | undefined;
      durable = (_, ids) =>
        kept[0]!.recorded[0]!.length + ids.length > 5 && kept.length === 1
          ? new Promise<void>((resolve) => {
              release = resolve;
            })
          : undefined;
      const stream = await server.openai.chat.completions.create({ model, messages, stream: true });
      let text = '';
      const read = (async () => {
        for await (const { choices } of stream) text += choices[0]?.delta.content ?? '';
      })();
      // Held, not only near it: the others' records are let through from here on.
      await until(() => release !== undefined);
      durable = () => {};
      expect(
        (await server.openai.chat.completions.create({ model, messages })).choices[0]!.message.content,
      ).toBe(reply);
      expect(reply.startsWith(text) && text.length < reply.length, text).toBe(true);
      release!();
      await read;
      expect(text).toBe(reply);
    });
  });

  describe('what cannot be recorded', () => {
    test('is not answered', async () => {
      refuse = full;
      const { status, body } = await server.post('/v1/chat/completions', { model, messages });
      expect([status, body.error.code]).toEqual([503, 'metering_unavailable']);
      expect(server.backend.requests).toEqual([]);
    });

    test('is not answered where it would be streamed, either', async () => {
      durable = () => Promise.reject(full);
      const { status, body } = await server.post('/v1/chat/completions', { model, messages, stream: true });
      expect([status, body.error.code]).toEqual([503, 'metering_unavailable']);
      const [one] = await over();
      expect([one!.handed, one!.recorded]).toEqual([[0], [[]]]);
    });

    test('is cut where it was not yet', async () => {
      let steps = 0;
      durable = () => {
        if (++steps > 5) throw full;
      };
      const stream = await server.openai.chat.completions.create({ model, messages, stream: true });
      let text = '';
      await expect(
        (async () => {
          for await (const { choices } of stream) text += choices[0]?.delta.content ?? '';
        })(),
      ).rejects.toThrow('The disk is full.');
      const [one] = await over();
      expect(text).toBe(reply.slice(0, text.length));
      expect([one!.handed, one!.recorded[0]!.length]).toEqual([[5], 5]);
      expect(one!.finish).toEqual([undefined]);
    });
  });

  describe('a client that leaves', () => {
    test('a stream: what went to its socket counts', async () => {
      const stream = await server.openai.chat.completions.create({ model, messages, stream: true });
      let chunks = 0;
      for await (const _ of stream) if (++chunks === 4) break;
      const [one] = await over();
      expect(one!.handed[0]).toBeGreaterThanOrEqual(3);
      expect(one!.handed[0]).toBeLessThanOrEqual(one!.recorded[0]!.length);
    });

    test('a stream while a record is made: nothing is recorded after it, or left', async () => {
      let release: (() => void) | undefined;
      durable = () =>
        kept[0]!.recorded[0]!.length < 5
          ? undefined
          : new Promise((resolve) => {
              release = resolve;
            });
      const stream = await server.openai.chat.completions.create({ model, messages, stream: true });
      const read = (async () => {
        for await (const _ of stream);
      })();
      await until(() => release !== undefined);
      stream.controller.abort();
      await read;
      await over();
      release!();
      await new Promise((resolve) => setTimeout(resolve, 50));
      expect(kept.map(({ recorded, handed, ended }) => [recorded[0]!.length, handed, ended])).toEqual([
        [6, [5], true],
      ]);
    });

    test('a whole answer: nothing went', async () => {
      const left = new AbortController();
      durable = (_, ids) => {
        if (kept[0]!.recorded[0]!.length + ids.length > 10) left.abort();
        return new Promise((resolve) => setTimeout(resolve, 5));
      };
      await expect(
        server.openai.chat.completions.create({ model, messages }, { signal: left.signal }),
      ).rejects.toThrow();
      const [one] = await over();
      expect(one!.handed).toEqual([0]);
      expect(one!.recorded[0]!.length).toBeGreaterThan(9);
    });
  });
});

/**
 * What every meter sink must do, as vitest cases. A sink's own tests call `describeMeterSink` with a way to open one.
 *
 *     describeMeterSink('my sink', { open: () => openMySink(folder) });
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ModelCard } from '../backend.ts';
import type { MeteredAnswer, MeteredChoice, MeteredFinish, MeterSink } from '../metering.ts';

/** What a sink has of an answer that ended. */
export interface RecordedAnswer {
  promptTokens: number;
  cachedTokens: number;
  /** Handed over. */
  completionTokens: number;
  finishes: MeteredFinish[];
}

export interface OpenMeterSink {
  sink: MeterSink;
  /** Resolves once the answer's end is durable; undefined where nothing of it was recorded. */
  recorded(response: string): Promise<RecordedAnswer | undefined>;
  close(): Promise<void>;
}

export interface MeterSinkUnderTest {
  /** The same records each time, the second time as after a restart. */
  open(): Promise<OpenMeterSink>;
}

const base: ModelCard = {
  id: 'base',
  created: 1_700_000_000,
  ownedBy: 'test',
  root: 'base.gguf',
  parent: null,
  contentHash: 'b'.repeat(64),
  maxModelLength: 4096,
};

/** Registers the cases. */
export function describeMeterSink(name: string, under: MeterSinkUnderTest): void {
  describe(`${name} keeps the meter sink contract`, () => {
    let open: OpenMeterSink;
    beforeEach(async () => {
      open = await under.open();
    });
    afterEach(() => open.close());

    let answers = 0;
    const id = () => `kit-${process.pid}-${answers++}`;
    const about = (response: string, choices: MeteredChoice[]): MeteredAnswer => ({
      response,
      tenant: 'acme',
      key: 'default',
      model: base,
      base,
      backend: 'kit',
      choices,
    });
    const generation = (prompt: readonly number[]): MeteredChoice => ({
      prompt,
      generate: {
        maxTokens: 16,
        minTokens: 0,
        ignoreEnd: false,
        stopTokenIds: [],
        sampling: {
          temperature: 1,
          topP: 1,
          topK: 0,
          minP: 0,
          repetitionPenalty: 1,
          presencePenalty: 0,
          frequencyPenalty: 0,
          seed: 2n ** 63n,
        },
      },
    });

    test('counts what was handed over, and each prompt once', async () => {
      const response = id();
      const prompt = [1, 2, 3];
      const meter = open.sink.begin(
        about(response, [generation(prompt), generation(prompt), generation([4])]),
      );
      await Promise.all([meter.record(0, [7, 8], 2), meter.record(1, [9], 2), meter.record(2, [5], 0)]);
      meter.handed(0, 2);
      meter.handed(1, 1);
      await meter.record(1, [10], 2);
      meter.finish(0, 'stop');
      meter.finish(1, 'length');
      meter.end([2, 2, 1]);
      expect(await open.recorded(response)).toEqual({
        promptTokens: 4,
        cachedTokens: 2,
        completionTokens: 3,
        finishes: ['stop', 'length', 'cut'],
      });
    });

    test('keeps it over a restart', async () => {
      const response = id();
      const meter = open.sink.begin(about(response, [generation([1])]));
      await meter.record(0, [7, 8, 9], 0);
      meter.handed(0, 3);
      meter.finish(0, 'stop');
      meter.end([3]);
      const recorded = await open.recorded(response);
      await open.close();
      open = await under.open();
      expect(await open.recorded(response)).toEqual(recorded);
      expect(recorded?.completionTokens).toBe(3);
    });

    test('counts a prompt that is only read, and nothing of an answer that never came', async () => {
      const [read, never] = [id(), id()];
      const reading = open.sink.begin(about(read, [{ prompt: [1, 2] }]));
      await reading.record(0, [], 1);
      reading.finish(0, 'stop');
      reading.end([0]);
      open.sink.begin(about(never, [generation([1])])).end([0]);
      expect(await open.recorded(read)).toMatchObject({
        promptTokens: 2,
        cachedTokens: 1,
        completionTokens: 0,
      });
      expect(await open.recorded(never)).toBeUndefined();
    });

    test('tells many answers at once apart', async () => {
      const many = Array.from({ length: 64 }, (_, i) => ({ response: id(), tokens: 1 + (i % 5) }));
      await Promise.all(
        many.map(async ({ response, tokens }) => {
          const meter = open.sink.begin(about(response, [generation([1, 2])]));
          for (let token = 0; token < tokens; token++) {
            await meter.record(0, [token], 0);
            meter.handed(0, 1);
          }
          meter.finish(0, 'stop');
          meter.end([tokens]);
        }),
      );
      for (const { response, tokens } of many)
        expect((await open.recorded(response))?.completionTokens).toBe(tokens);
    });
  });
}

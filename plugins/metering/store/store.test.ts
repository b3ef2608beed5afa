/** What is recorded is durable when it is said so, once, and counted to the token whatever ends the process. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import fc from 'fast-check';
import { Value } from 'typebox/value';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type FeeSettings, feesConfig } from '../money/fees.ts';
import { Answers } from './answers.ts';
import type { AnswerAbout, Group } from './protocol.ts';
import { Store } from './store.ts';

const about = (response: string, choices = 1): AnswerAbout => ({
  response,
  tenant: 'acme',
  key: 'default',
  model: 'coder',
  base: { name: 'base', sha256: null },
  adapter: { name: 'coder', sha256: 'a'.repeat(64), folder: '/adapters/coder' },
  engine: { backend: 'mock', version: null, precision: null },
  choices: Array.from({ length: choices }, () => ({ prompt: 0 })),
});
const run = (number: number, choice: number, ids: number[], cached = 0) => [
  number,
  0,
  choice,
  cached,
  ids.length,
  ...ids,
];
const group = (part: Partial<Omit<Group, 'tokens'>> & { tokens?: number[] }): Group => ({
  begun: [],
  ended: [],
  ...part,
  tokens: Int32Array.from(part.tokens ?? []),
});
const begun = (number: number, choices = 1) => ({
  number,
  about: about(`r${number}`, choices),
  prompts: [Int32Array.of(1, 2, 3)],
  grammars: ['{}'],
  began: 1000,
});

describe('answers', () => {
  test('tokens of choices are told apart, and those that were handed over are counted', () => {
    const answers = new Answers(new Database(':memory:'), 0);
    answers.write(
      group({ begun: [begun(1, 2)], tokens: [...run(1, 0, [7], 2), ...run(1, 1, [8, 9], 2)] }),
      10,
    );
    answers.write(group({ tokens: run(1, 0, [10], 2) }), 20);
    answers.write(
      group({
        ended: [
          {
            number: 1,
            ended: 30,
            choices: [
              { handed: 2, finish: 'stop' },
              { handed: 1, finish: 'cut' },
            ],
          },
        ],
      }),
      30,
    );
    expect(answers.finished(1)).toMatchObject({
      ended: 30,
      usage: { prompt_tokens: 3, cached_tokens: 2, completion_tokens: 3 },
      choices: [
        { cached: 2, generated: 2, handed: 2, finish: 'stop' },
        { cached: 2, generated: 2, handed: 1, finish: 'cut' },
      ],
      opening: { prompts: [[1, 2, 3]], outputs: [[7, 10], [8]] },
    });
  });

  test('what a process left open counts as all that was recorded', () => {
    const db = new Database(':memory:');
    const answers = new Answers(db, 0);
    answers.write(group({ begun: [begun(1), begun(2)], tokens: [...run(1, 0, [7]), ...run(2, 0, [5])] }), 10);
    answers.write(group({ ended: [{ number: 2, ended: 15, choices: [{ handed: 1, finish: 'stop' }] }] }), 15);
    answers.write(group({ tokens: run(1, 0, [8]) }), 20);
    const again = new Answers(db, 99);
    expect(again.next).toBe(3);
    expect(again.finished(1)).toMatchObject({
      ended: 20,
      usage: { completion_tokens: 2 },
      choices: [{ generated: 2, handed: 2, finish: 'cut' }],
      opening: { outputs: [[7, 8]] },
    });
    expect(again.finished(2)).toMatchObject({ ended: 15, choices: [{ finish: 'stop' }] });
    expect(db.prepare('SELECT count(*) FROM steps').pluck().get()).toBe(0);
  });

  test('a group that fails leaves nothing, on the disk or in memory', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            answer: fc.integer({ min: 1, max: 4 }),
            ids: fc.array(fc.integer({ min: 0, max: 9 }), { maxLength: 3 }),
            end: fc.boolean(),
            fails: fc.boolean(),
          }),
          { maxLength: 40 },
        ),
        (steps) => {
          const db = new Database(':memory:');
          const answers = new Answers(db, 0);
          const expected = new Map<number, number[]>();
          const over = new Set<number>();
          for (const { answer, ids, end, fails } of steps) {
            if (over.has(answer)) continue;
            const known = expected.has(answer);
            db.exec('BEGIN');
            const written = answers.write(
              group({
                begun: known ? [] : [begun(answer)],
                tokens: run(answer, 0, ids),
                ended: end
                  ? [
                      {
                        number: answer,
                        ended: 1,
                        choices: [
                          { handed: (expected.get(answer) ?? []).length + ids.length, finish: 'stop' },
                        ],
                      },
                    ]
                  : [],
              }),
              1,
            );
            if (fails) {
              db.exec('ROLLBACK');
              written.forget();
              continue;
            }
            db.exec('COMMIT');
            expected.set(answer, [...(expected.get(answer) ?? []), ...ids]);
            if (end) over.add(answer);
          }
          const again = new Answers(db, 2);
          for (const [answer, ids] of expected) {
            const { opening, choices } = again.finished(answer)!;
            expect(opening!.outputs).toEqual([ids]);
            expect(choices[0]).toMatchObject({
              handed: ids.length,
              finish: over.has(answer) ? 'stop' : 'cut',
            });
          }
        },
      ),
    );
  });
});

describe('the store', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'colophon-test-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));
  const options = () => ({
    folder,
    name: undefined,
    fees: Value.Default(feesConfig, {}) as FeeSettings,
    threshold: 0,
    witnesses: [],
  });
  const stop = (sentence: string) => {
    throw new Error(sentence);
  };
  const fail = { warn: stop, broken: stop };

  test('what comes in one turn is one row, and is there after a restart', async () => {
    const store = await Store.open(options(), fail);
    const numbers = Array.from({ length: 50 }, () => store.number());
    await Promise.all(
      numbers.map((number) => {
        store.begin(begun(number));
        return store.tokens(number, 0, 0, [number]);
      }),
    );
    await store.end({ number: numbers[0]!, ended: 5000, choices: [{ handed: 1, finish: 'stop' }] });
    await store.close();
    const db = new Database(join(folder, 'metering.db'), { readonly: true });
    expect(db.prepare('SELECT count(*) FROM steps').pluck().get()).toBe(1);
    db.close();
    const again = await Store.open(options(), fail);
    expect(again.number()).toBe(51);
    expect(
      await again.call('usage', { start: 0, end: 1e9, by: ['tenant'], limit: 10, offset: 0 }),
    ).toMatchObject([{ tenant: 'acme', responses: expect.any(Number) }]);
    await again.close();
  });

  test('a second server on the same folder is refused', async () => {
    const store = await Store.open(options(), fail);
    await expect(Store.open(options(), fail)).rejects.toThrow(/in use/);
    await store.close();
  });
});

/** What is recorded is durable when it is said so, once, and counted to the token whatever ends the process. */
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import fc from 'fast-check';
import { Value } from 'typebox/value';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type FeeSettings, feesConfig } from '../money/fees.ts';
import { Answers, type FinishedAnswer } from './answers.ts';
import type { AnswerAbout, Group } from './protocol.ts';
import { Store } from './store.ts';
import { bytesOf } from './token_lists.ts';

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
const group = (at: number, part: Partial<Omit<Group, 'tokens'>> & { tokens?: number[] }): Group => ({
  at,
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
    const answers = new Answers(new Database(':memory:'));
    answers.write(
      group(10, { begun: [begun(1, 2)], tokens: [...run(1, 0, [7], 2), ...run(1, 1, [8, 9], 2)] }),
    );
    answers.write(group(20, { tokens: run(1, 0, [10], 2) }));
    answers.write(
      group(30, {
        ended: [
          {
            number: 1,
            ended: 30,
            choices: [
              { made: 2, handed: 2, finish: 'stop' },
              { made: 1, handed: 1, finish: 'cut' },
            ],
          },
        ],
      }),
    );
    expect(answers.finished(1)).toMatchObject({
      ended: 30,
      usage: { prompt_tokens: 3, cached_tokens: 2, completion_tokens: 3 },
      choices: [
        { cached: 2, generated: 2, handed: 2, finish: 'stop' },
        { cached: 2, generated: 1, handed: 1, finish: 'cut' },
      ],
      opening: { prompts: [[1, 2, 3]], outputs: [[7, 10], [8]] },
    });
  });

  test('what a process left open counts as all that was recorded', () => {
    const db = new Database(':memory:');
    const answers = new Answers(db);
    answers.write(group(10, { begun: [begun(1), begun(2)], tokens: [...run(1, 0, [7]), ...run(2, 0, [5])] }));
    answers.write(
      group(15, { ended: [{ number: 2, ended: 15, choices: [{ made: 1, handed: 1, finish: 'stop' }] }] }),
    );
    answers.write(group(20, { tokens: run(1, 0, [8]) }));
    const again = new Answers(db);
    again.cut(99);
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
          const answers = new Answers(db);
          const expected = new Map<number, number[]>();
          const over = new Set<number>();
          for (const { answer, ids, end, fails } of steps) {
            if (over.has(answer)) continue;
            const known = expected.has(answer);
            const made = ({ length }: number[]) => (expected.get(answer) ?? []).length + length;
            db.exec('BEGIN');
            const written = answers.write(
              group(1, {
                begun: known ? [] : [begun(answer)],
                tokens: run(answer, 0, ids),
                ended: end
                  ? [
                      {
                        number: answer,
                        ended: 1,
                        choices: [{ made: made(ids), handed: made(ids), finish: 'stop' }],
                      },
                    ]
                  : [],
              }),
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
          const again = new Answers(db);
          again.cut(2);
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
    await store.end({ number: numbers[0]!, ended: 5000, choices: [{ made: 1, handed: 1, finish: 'stop' }] });
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

  test('what the database was not told of is there after a kill', async () => {
    const store = await Store.open(options(), fail);
    const killed = mkdtempSync(join(tmpdir(), 'colophon-test-'));
    const [told, kept, open] = [store.number(), store.number(), store.number()];
    const answer = async (number: number) => {
      store.begin(begun(number));
      for (let id = 0; id < 3; id++) await store.tokens(number, 0, 0, [id]);
    };
    const end = (number: number) =>
      store.end({ number, ended: 5, choices: [{ made: 2, handed: 2, finish: 'stop' }] });
    try {
      await Promise.all([told, open].map(answer));
      await end(told);
      expect(await store.call('unreceipted', 9)).toHaveLength(1);
      await Promise.all([answer(kept), store.tokens(open, 0, 0, [7, 8])]);
      await Promise.all([end(kept), store.tokens(open, 0, 0, [9])]);
      cpSync(folder, killed, { recursive: true });
      const again = await Store.open({ ...options(), folder: killed }, fail);
      const found = (await again.call('unreceipted', 9)) as FinishedAnswer[];
      expect(found.map(({ number, choices }) => [number, choices[0]!.finish, choices[0]!.handed])).toEqual([
        [told, 'stop', 2],
        [kept, 'stop', 2],
        [open, 'cut', 6],
      ]);
      await again.close();
    } finally {
      await store.close();
      rmSync(killed, { recursive: true });
    }
  });

  test('what is deleted is not in the journal any more, however much is being recorded', async () => {
    const store = await Store.open(options(), fail);
    const secret = 0x5ec2e7;
    const [number, other] = [store.number(), store.number()];
    const tokens = (step: number) => store.tokens(other, 0, 0, [step]);
    store.begin({ ...begun(number), prompts: [Int32Array.of(secret)] });
    store.begin(begun(other));
    await Promise.all([store.tokens(number, 0, 0, [1]), tokens(0)]);
    await store.end({ number, ended: 5, choices: [{ made: 1, handed: 1, finish: 'stop' }] });
    const settled = { shares: [{ unattributed: 'x' }], attribution: {} };
    await store.call('issue', [{ number, settled }]);
    const held = () =>
      ['journal-0', 'journal-1'].some((name) =>
        readFileSync(join(folder, name)).includes(bytesOf(Int32Array.of(secret))),
      );
    expect(held()).toBe(true);
    const erased = store.call('erase', { response: `r${number}` });
    for (let step = 1; step < 20; step++) await tokens(step);
    expect(await erased).toBe(true);
    for (let step = 20; step < 24; step++) await tokens(step);
    await store.call('usage', { start: 0, end: 1e9, by: ['tenant'], limit: 10, offset: 0 });
    expect(held()).toBe(false);
    await store.close();
  });

  test('a second server on the same folder is refused', async () => {
    const store = await Store.open(options(), fail);
    await expect(Store.open(options(), fail)).rejects.toThrow(/in use/);
    await store.close();
  });
});

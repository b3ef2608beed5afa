/** From answers that were followed to shares that are kept. */
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Again } from './again.ts';
import { Corpora, Corpus } from './corpus.ts';
import { Appraiser } from './gradients/appraiser.ts';
import { Records } from './records.ts';
import { Settling, type SettlingOptions } from './settling.ts';
import { policyOf } from './shares/policy.ts';
import { adapter, follow, type TaughtExample, taughtFolder } from './testing/taught.ts';

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'colophon-attribution-'));
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

const examples: TaughtExample[] = [
  { tokens: [1, 2, 3, 4, 5, 6], contributor: 'ann', given: 1 },
  { tokens: [7, 8, 9, 10, 11], contributor: 'bob', given: 2 },
  { tokens: [7, 8, 9, 10, 12], contributor: 'cyd', given: 3 },
];
/** Ann's run of four, what Bob said before Cyd, a token of nobody. */
const answer = [2, 3, 4, 5, 7, 8, 9, 10, 99];

function open(options: Partial<SettlingOptions> = {}) {
  const records = new Records(join(home, 'data'), () => settling.wake());
  const warned: string[] = [];
  const log = { warn: (_: object, message: string) => void warned.push(message) };
  const settling = new Settling({
    records,
    corpora: new Corpora(),
    policy: policyOf(),
    log,
    appraiser: new Appraiser(1),
    base: async () => undefined,
    sample: { of: () => false, probability: 0 },
    ...options,
  });
  return { records, settling, warned };
}

/** Settles one answer on the adapter of a folder, and gives its record. */
async function settled(folder: string, tokens = answer) {
  const { records, settling } = open();
  records.add(follow(folder, new Corpus(folder, adapter), tokens).ended);
  records.flush();
  await settling.idle();
  const [record] = records.of('r', undefined);
  records.close();
  return record!;
}

describe('an answer', () => {
  test('shows what its tokens and runs of them are from', async () => {
    const folder = await taughtFolder(join(home, 'a'), examples);
    const { traces, followed } = follow(folder, new Corpus(folder, adapter), answer);
    expect(traces[3]).toEqual({ length: 4, occurrences: 1, examples: [0] });
    expect(traces[7]).toEqual({ length: 4, occurrences: 2, examples: expect.arrayContaining([1, 2]) });
    expect(traces[8]).toBeUndefined();
    expect(followed).toMatchObject({
      status: 'settling',
      matchedTokens: 8,
      spans: [
        { start: 0, end: 4, occurrences: 1, examples: [0] },
        { start: 4, end: 8, occurrences: 2, examples: expect.arrayContaining([1, 2]) },
      ],
    });
  });

  test('is settled to those whose examples it repeats, to the unit', async () => {
    const { status, settlement } = await settled(await taughtFolder(join(home, 'a'), examples));
    expect(status).toBe('settled');
    const { base, pool, total, contributors } = settlement!;
    expect(total).toBe(1_000_000 * answer.length);
    expect(base + pool + contributors.reduce((sum, { micro }) => sum + micro, 0)).toBe(total);
    expect(contributors.map(({ contributor }) => contributor)).toEqual(['ann', 'bob']);
  });

  test('pays who said it first, and nothing to whoever says the same in other words', async () => {
    const paraphrase = { tokens: [1, 2, 3, 4, 20, 6], contributor: 'eve', given: 9 };
    const said = [2, 3, 4, 20, 6];
    const alone = await settled(await taughtFolder(join(home, 'a'), [paraphrase]), said);
    expect(alone.settlement!.contributors).toMatchObject([{ contributor: 'eve' }]);
    rmSync(join(home, 'data'), { recursive: true });
    const { settlement } = await settled(
      await taughtFolder(join(home, 'b'), [...examples, paraphrase]),
      said,
    );
    expect(settlement!.contributors).toMatchObject([{ contributor: 'ann' }]);
  });

  test('is settled the same wherever and whenever', async () => {
    const folder = await taughtFolder(join(home, 'a'), examples);
    const first = await settled(folder);
    rmSync(join(home, 'data'), { recursive: true });
    expect((await settled(folder)).settlement).toEqual(first.settlement);
  });

  test('that ended just before a crash is settled by the next run, once', async () => {
    const folder = await taughtFolder(join(home, 'a'), examples);
    const before = new Records(join(home, 'data'), () => {});
    before.add(follow(folder, new Corpus(folder, adapter), answer).ended);
    before.close();
    const { records, settling } = open();
    settling.wake();
    await settling.idle();
    const [record] = records.of('r', undefined);
    expect(record!.status).toBe('settled');
    records.settle(record!.seq, 'unattributed', 'again', record!.settlement!, null);
    expect(records.of('r', undefined)[0]!.status).toBe('settled');
    records.close();
  });

  test('is shown to its own tenant alone, and what it said forgotten in time', async () => {
    const folder = await taughtFolder(join(home, 'a'), examples);
    const { records, settling } = open();
    records.add(follow(folder, new Corpus(folder, adapter), answer).ended);
    records.flush();
    await settling.idle();
    expect(records.of('r', 'other')).toEqual([]);
    records.forget(Date.now() / 1000 + 1);
    const [record] = records.of('r', 'default');
    expect(record).toMatchObject({ evidence: null, status: 'settled', settlement: { level: 1 } });
    records.close();
  });

  test('of no tokens is settled to nothing', async () => {
    const { status, settlement } = await settled(await taughtFolder(join(home, 'a'), examples), []);
    expect([status, settlement!.total]).toEqual(['settled', 0]);
  });
});

describe('the second level', () => {
  /** Of adapters that have an index of gradients. */
  class Indexed extends Corpora {
    override async of(folder: string, adapter: string): Promise<Corpus> {
      const corpus = await super.of(folder, adapter);
      corpus.influence = async () => ({ methods: { first: null, second: 'cosine' } }) as never;
      return corpus;
    }
  }
  /** What gradients would say: that half of each token is the base's. `before`: what happens while they are computed. */
  const appraiser = (before: () => Promise<void> | void = () => {}) => ({
    async evidence(_: unknown, { tokens }: { tokens: number[] }) {
      await before();
      return { method: 'cosine' as const, base: tokens.map(() => 0.5), scores: [] };
    },
    close() {},
  });
  const withGradients = (drawn: string[], before?: () => Promise<void> | void) => {
    const opened = open({
      corpora: new Indexed(),
      appraiser: appraiser(before),
      base: async () => ({ weights: {} as never, longest: 100 }),
      sample: { of: (response) => drawn.includes(response), probability: 1 / 20 },
    });
    return { ...opened, again: new Again(opened.records, opened.settling) };
  };
  const answered = (folder: string, response: string, choice = 0) => ({
    ...follow(folder, new Corpus(folder, adapter), answer, { response }).ended,
    choice,
  });

  test('settles whom the lot falls on, and tells of them', async () => {
    const folder = await taughtFolder(join(home, 'a'), examples);
    const { records, settling, again } = withGradients(['drawn']);
    let told = 0;
    again.watch(() => told++);
    for (const response of ['drawn', 'other']) records.add(answered(folder, response));
    records.flush();
    await settling.idle();
    expect(await again.since(0, 10)).toMatchObject([{ response: 'drawn' }]);
    expect(told).toBe(1);
    const found = await again.of('drawn');
    expect(found).toMatchObject({ why: 'sample', times: 20, choices: [{ choice: 0 }] });
    const [{ shares }] = found!.choices as [NonNullable<typeof found>['choices'][number]];
    expect(shares).toMatchObject({ level: 2, influence: 'cosine', base: 500_000 * answer.length });
    // What a receipt says stays what it was.
    expect((await settling.first('drawn', 0))!.settlement).toMatchObject({ level: 1, influence: null });
    await again.settle('other', 'dispute');
    expect(await again.of('other')).toMatchObject({ why: 'dispute', times: 1 });
    await again.settle('drawn', 'asked');
    expect([await again.of('drawn'), told]).toEqual([found, 2]);
    records.close();
  });

  test('counts a drawn one once where somebody asks before it is settled, and draws none of its choices more', async () => {
    const folder = await taughtFolder(join(home, 'a'), examples);
    let asks = 0;
    const { records, settling, again } = withGradients(['r'], async () => {
      asks++;
      expect(await settling.again(records.of('r', undefined), 'asked')).toBe(true);
    });
    records.add(answered(folder, 'r'));
    records.flush();
    await settling.idle();
    expect(await again.of('r')).toMatchObject({ why: 'asked', times: 1 });
    records.add(answered(folder, 'r', 1));
    records.flush();
    await settling.idle();
    expect(records.of('r', undefined).map(({ second }) => second?.why)).toEqual(['asked', undefined]);
    expect(asks).toBe(1);
    records.close();
  });

  test('says why what cannot be settled again is not', async () => {
    const folder = await taughtFolder(join(home, 'a'), examples);
    const { records, settling, again, warned } = withGradients(['r'], () => {
      throw new Error('The process that settles by gradients ended.');
    });
    records.add(answered(folder, 'r'));
    records.flush();
    await settling.idle();
    expect(records.of('r', undefined)[0]!.second).toMatchObject({ status: 'failed', why: 'sample' });
    expect([warned.length, await again.of('r')]).toEqual([1, undefined]);
    expect(await again.since(0, 10)).toHaveLength(1);
    records.close();
  });
});

describe('an adapter', () => {
  const byBase = { base: 1_000_000 * answer.length, pool: 0, contributors: [] };

  test('that no Datanet taught is the base’s alone', async () => {
    const record = await settled(await taughtFolder(join(home, 'a'), examples, false));
    expect(record).toMatchObject({
      status: 'unattributed',
      reason: expect.stringContaining('not on a Datanet'),
    });
    expect(record.settlement).toMatchObject(byBase);
  });

  test.each([
    [
      'corpus.jsonl',
      (path: string) => appendFileSync(path, '{}\n'),
      /corpus\.jsonl is damaged: its SHA-256 is/,
    ],
    [
      'corpus.jsonl',
      (path: string) => writeFileSync(path, readFileSync(path, 'utf8').replace('bob', 'eve')),
      /SHA-256/,
    ],
    [
      'trace.index',
      (path: string) => {
        const bytes = readFileSync(path);
        bytes[bytes.length - 40]! ^= 1;
        writeFileSync(path, bytes);
      },
      /trace\.index/,
    ],
  ])('whose %s is damaged is unattributed, and says why', async (name, damage, sentence) => {
    const folder = await taughtFolder(join(home, 'a'), examples);
    const { records, settling, warned } = open();
    records.add(follow(folder, new Corpus(folder, adapter), answer).ended);
    damage(join(folder, name));
    records.flush();
    await settling.idle();
    const [record] = records.of('r', undefined);
    expect(record).toMatchObject({ status: 'unattributed', reason: expect.stringMatching(sentence) });
    expect(record!.settlement).toMatchObject(byBase);
    expect(warned).toEqual([record!.reason]);
    records.close();
  });

  test('without an index, or with another’s, cannot be followed', async () => {
    const corpora = new Corpora();
    await expect(corpora.of(home, adapter)).rejects.toThrow('No index');
    const folder = await taughtFolder(join(home, 'a'), examples);
    await expect(corpora.of(folder, 'cd'.repeat(32))).rejects.toThrow(/adapter/);
    writeFileSync(join(folder, 'trace.index'), readFileSync(join(folder, 'trace.index')).subarray(0, 20));
    await expect(corpora.of(folder, adapter)).rejects.toThrow(/trace\.index/);
    const { followed, ended } = follow(folder, { reason: 'No index.' }, [1, 2]);
    expect(followed).toMatchObject({ status: 'unattributed', reason: 'No index.', spans: [] });
    const { records, settling } = open();
    records.add(ended);
    records.flush();
    await settling.idle();
    const [record] = records.of('r', undefined);
    expect(record).toMatchObject({
      status: 'unattributed',
      reason: 'No index.',
      settlement: { base: 2_000_000 },
    });
    records.close();
  });
});

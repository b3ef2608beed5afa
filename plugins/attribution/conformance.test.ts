/** The plugin's attributor by the kit, and that the kit finds what is wrong with others. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  type AttributorUnderTest,
  attributorCases,
  describeAttributor,
  type OpenAttributor,
  type TaughtAnswer,
} from '../../gateway/contract/conformance/attributor.ts';
import type { Attributor, Following, ModelCard, SettledShares } from '../../gateway/contract/index.ts';
import { Again } from './again.ts';
import { createAttributor } from './attributor.ts';
import { Corpora, Corpus } from './corpus.ts';
import { Appraiser } from './gradients/appraiser.ts';
import { Records } from './records.ts';
import { Settling } from './settling.ts';
import { policyOf } from './shares/policy.ts';
import { adapter, cardOf, taughtFolder } from './testing/taught.ts';

const home = mkdtempSync(join(tmpdir(), 'colophon-conformance-'));
const folder = join(home, 'adapter');
const said = [
  [2, 3, 4, 5, 7, 8, 9, 10, 99],
  [7, 8, 9, 10, 11],
  [50, 51],
];
const answers: TaughtAnswer[] = [];
const unknown: ModelCard[] = [];
beforeAll(async () => {
  await taughtFolder(folder, [
    { tokens: [1, 2, 3, 4, 5, 6], contributor: 'ann', given: 1 },
    { tokens: [7, 8, 9, 10, 11], contributor: 'bob', given: 2 },
    { tokens: [7, 8, 9, 10, 12], contributor: 'cyd', given: 3 },
  ]);
  const { index } = new Corpus(folder, adapter);
  for (const tokens of said) {
    const { length, row, count } = index.matches(Int32Array.from(tokens));
    const matchAt = (i: number) =>
      length[i]! > 0 ? { match: { length: length[i]!, row: row[i]!, count: count[i]! } } : {};
    answers.push({ prompt: [1], tokens: tokens.map((id, i) => ({ id, ...matchAt(i) })) });
  }
  const spoilt = join(home, 'spoilt');
  mkdirSync(spoilt);
  writeFileSync(join(spoilt, 'trace.index'), 'no index');
  const nameless = await taughtFolder(join(home, 'nameless'), [{ tokens: [1, 2], contributor: 'x' }], false);
  const { contentHash: _, ...hashless } = cardOf(folder);
  unknown.push(...[join(home, 'gone'), spoilt, nameless].map(cardOf), hashless, {
    ...cardOf(folder),
    contentHash: 'cd'.repeat(32),
  });
});
afterAll(() => rmSync(home, { recursive: true, force: true }));

async function open(): Promise<OpenAttributor> {
  const corpora = new Corpora();
  const records = new Records(join(home, 'data'), () => settling.wake());
  const settling = new Settling({
    records,
    corpora,
    policy: policyOf(),
    log: { warn: () => {} },
    appraiser: new Appraiser(1),
    base: async () => undefined,
    sample: { of: () => false, probability: 0 },
  });
  return {
    attributor: createAttributor({
      corpora,
      records,
      settling,
      again: new Again(records, settling),
      spanTokens: 3,
    }),
    async close() {
      records.flush();
      await settling.stop();
      records.close();
    },
  };
}

const ours: AttributorUnderTest = { open, taught: cardOf(folder), answers, unknown };
describeAttributor('The attribution plugin', ours);

describe('the kit finds', () => {
  /** Ours, with what it gives changed. */
  const with_ = (change: (attributor: Attributor) => Partial<Attributor>): AttributorUnderTest => ({
    ...ours,
    async open() {
      const { attributor, close } = await open();
      return { attributor: { ...attributor, ...change(attributor) }, close };
    },
  });
  const settledTo = (change: (shares: SettledShares) => SettledShares | undefined) =>
    with_(({ settled }) => ({
      async settled(response, choice) {
        const shares = await settled(response, choice);
        return shares && change(shares);
      },
    }));
  let calls = 0;
  const wrong: Array<[string, string, AttributorUnderTest]> = [
    [
      'a unit that is lost',
      'settles each answer to shares that sum exactly',
      settledTo((shares) => ({ ...shares, pool: shares.pool - 1 })),
    ],
    [
      'fractions of units',
      'settles each answer to shares that sum exactly',
      settledTo((shares) => ({ ...shares, base: shares.base + 0.5, pool: shares.pool - 0.5 })),
    ],
    [
      'an answer that nobody taught',
      'names who taught, of answers that repeat them',
      settledTo((shares) => ({ ...shares, base: shares.total, pool: 0, contributors: [] })),
    ],
    [
      'a span beyond the end',
      'shows spans within the answer, in its order, to readers who ask',
      with_(({ follow }) => ({
        async follow(generation) {
          const following = await follow(generation);
          return {
            wantsStates: following.wantsStates,
            token: (id, match, state) => following.token(id, match, state),
            end(end) {
              const followed = following.end(end);
              return { ...followed, spans: followed.spans.map((span) => ({ ...span, end: 100 })) };
            },
          };
        },
      })),
    ],
    [
      'an error at a cut',
      'settles what was cut, wherever',
      with_(({ follow }) => ({
        async follow(generation) {
          const following = await follow(generation);
          return {
            wantsStates: following.wantsStates,
            token: (id, match, state) => following.token(id, match, state),
            end(end) {
              if (end === 'cut') throw new Error('It was cut.');
              return following.end(end);
            },
          };
        },
      })),
    ],
    [
      'shares that chance has a part in',
      'makes the same shares of the same answer, shown or not',
      settledTo((shares) => ({
        ...shares,
        base: shares.base - (calls % 2),
        pool: shares.pool + (calls++ % 2),
      })),
    ],
    [
      'one place for all that is followed',
      'tells choices apart that are made token by token in turn',
      with_(({ follow }) => {
        let last: Following;
        return {
          async follow(generation) {
            const mine = await follow(generation);
            last = mine;
            return {
              wantsStates: mine.wantsStates,
              token: (id, match, state) => last.token(id, match, state),
              end: (end) => mine.end(end),
            };
          },
        };
      }),
    ],
    [
      'an answer that is not waited for',
      'settles many at once, whoever asks first',
      with_(({ settled }) => ({
        settled: (response, choice) =>
          calls++ % 3 > 0 ? settled(response, choice) : Promise.resolve(undefined),
      })),
    ],
    [
      'an answer that is settled anew',
      'settles an answer once and for good, over a restart too',
      settledTo((shares) => ({ ...shares, level: calls++ })),
    ],
    [
      'words about what it does not know',
      'says nothing of what it has not followed',
      with_(({ settled }) => ({
        settled: async (response, choice) => (await settled(response, choice)) ?? ({} as SettledShares),
      })),
    ],
    [
      'an adapter that cannot be followed',
      'leaves to the base what nobody is named for, and says why, without an error',
      with_(({ follow }) => ({
        async follow(generation) {
          if (generation.model.contentHash !== adapter) throw new Error('Of another adapter.');
          return follow(generation);
        },
      })),
    ],
    [
      'silence about why',
      'leaves to the base what nobody is named for, and says why, without an error',
      settledTo(({ unattributed: _, ...shares }) => shares),
    ],
  ];

  test.each(wrong)('%s', async (_, name, under) => {
    await expect(attributorCases[name]!(under)).rejects.toThrow();
  });

  test('a mistake of every kind that it looks for', () => {
    expect(new Set(wrong.map(([, name]) => name))).toEqual(new Set(Object.keys(attributorCases)));
  });
});

/**
 * What every attributor must do, as vitest cases. An attributor's own tests call `describeAttributor` with a way to open one.
 *
 *     describeAttributor('my attributor', { open: () => openMyAttributor(folder) });
 */
import { describe, expect, test } from 'vitest';
import type {
  Attributor,
  FollowedGeneration,
  Following,
  SettledShares,
  TokenMatch,
  TokenTrace,
} from '../attribution.ts';
import type { ModelCard } from '../backend.ts';

/** An answer of the taught adapter, as its backend gives it. */
export interface TaughtAnswer {
  prompt: readonly number[];
  /** `state` where the backend has it. */
  tokens: ReadonlyArray<{ id: number; match?: TokenMatch; state?: Float32Array }>;
}

export interface OpenAttributor {
  attributor: Attributor;
  close(): Promise<void>;
}

export interface AttributorUnderTest {
  /** The same records each time, the second time as after a restart. */
  open(): Promise<OpenAttributor>;
  /** An adapter that it knows the teachers of, and answers of two tokens or more, one at least with matches and one with none. */
  taught: ModelCard;
  answers: readonly TaughtAnswer[];
  /** Adapters that it can say nothing of: not taught by anybody, damaged, gone. */
  unknown: readonly ModelCard[];
}

/** What a token is worth. */
const microPerToken = 1_000_000;
type Finish = Parameters<Following['end']>[0];
type Token = TaughtAnswer['tokens'][number];

let answers = 0;
const responseId = () => `kit-${process.pid}-${answers++}`;

interface About {
  response?: string;
  choice?: number;
  traces?: boolean;
  finish?: Finish;
  /** Tokens of the answer that are made before its end; default: all. */
  made?: number;
}

function generation(model: ModelCard, answer: TaughtAnswer, about: About): FollowedGeneration {
  const { response = responseId(), choice = 0, traces = false } = about;
  return { response, choice, tenant: 'acme', model, prompt: answer.prompt, traces };
}

const told = (following: Following, { id, match, state }: Token) =>
  following.token(id, match, following.wantsStates ? state : undefined);

/** Follows an answer to its end, and gives what it is settled to. */
async function settledAnswer(
  { attributor }: OpenAttributor,
  model: ModelCard,
  answer: TaughtAnswer,
  about: About = {},
) {
  const of = generation(model, answer, about);
  const following = await attributor.follow(of);
  const { finish = 'stop', made = answer.tokens.length } = about;
  const traces = answer.tokens.slice(0, made).map((token) => told(following, token));
  const followed = following.end(finish);
  const shares = await attributor.settled(of.response, of.choice);
  return { response: of.response, traces, followed, shares: shares! };
}

/** Whole units, none below nothing, that sum exactly. */
function checkSums(shares: SettledShares | undefined, tokens: number): void {
  expect(shares).toBeDefined();
  const { total, base, pool, contributors } = shares!;
  expect(total).toBe(tokens * microPerToken);
  const units = [base, pool, ...contributors.map(({ micro }) => micro)];
  for (const unit of units) expect(Number.isSafeInteger(unit) && unit >= 0, `${unit} units`).toBe(true);
  expect(units.reduce((sum, unit) => sum + unit, 0)).toBe(total);
  const ids = contributors.map(({ contributor }) => contributor);
  expect(ids).toEqual([...new Set(ids)].sort());
  for (const { contributor, micro, contributions } of contributors)
    expect(
      contributions.reduce((sum, part) => sum + part.micro, 0),
      `of the contributions of ${contributor}`,
    ).toBe(micro);
  expect(shares!.policy).toMatch(/^[0-9a-f]{64}$/);
}

function checkTrace(trace: TokenTrace | undefined): void {
  if (!trace) return;
  expect(Number.isInteger(trace.length) && trace.length >= 0).toBe(true);
  expect(trace.occurrences >= trace.examples.length || trace.occurrences > 0).toBe(true);
}

/** Each case opens what it is about, and rejects where the contract is not kept. */
export const attributorCases: Readonly<Record<string, (under: AttributorUnderTest) => Promise<void>>> = {
  'settles each answer to shares that sum exactly': (under) =>
    opened(under, async (open) => {
      for (const answer of under.answers) {
        const { shares } = await settledAnswer(open, under.taught, answer);
        checkSums(shares, answer.tokens.length);
      }
    }),

  'names who taught, of answers that repeat them': (under) =>
    opened(under, async (open) => {
      const repeating = under.answers.filter(({ tokens }) => tokens.some(({ match }) => match));
      expect(repeating.length).toBeGreaterThan(0);
      for (const answer of repeating) {
        const { shares } = await settledAnswer(open, under.taught, answer);
        expect(shares.contributors.length).toBeGreaterThan(0);
        expect(shares.unattributed).toBeUndefined();
      }
    }),

  'shows spans within the answer, in its order, to readers who ask': (under) =>
    opened(under, async (open) => {
      for (const answer of under.answers) {
        const { traces, followed } = await settledAnswer(open, under.taught, answer, { traces: true });
        traces.forEach(checkTrace);
        const { matchedTokens, spans, status } = followed;
        expect(status).toBe('settling');
        expect(matchedTokens).toBeGreaterThanOrEqual(0);
        expect(matchedTokens).toBeLessThanOrEqual(answer.tokens.length);
        const covered = new Set<number>();
        let before = 0;
        for (const { start, end, occurrences } of spans) {
          expect(start).toBeGreaterThanOrEqual(before);
          expect(end).toBeGreaterThan(start);
          expect(end).toBeLessThanOrEqual(answer.tokens.length);
          expect(occurrences).toBeGreaterThan(0);
          before = start;
          for (let token = start; token < end; token++) covered.add(token);
        }
        expect(covered.size).toBe(matchedTokens);
      }
    }),

  'settles what was cut, wherever': (under) =>
    opened(under, async (open) => {
      for (const answer of under.answers)
        for (const made of new Set([0, 1, answer.tokens.length >> 1, answer.tokens.length]))
          for (const finish of ['cut', 'length'] as const) {
            const { shares } = await settledAnswer(open, under.taught, answer, { made, finish });
            checkSums(shares, made);
          }
    }),

  'makes the same shares of the same answer, shown or not': (under) =>
    opened(under, async (open) => {
      for (const answer of under.answers) {
        const { shares } = await settledAnswer(open, under.taught, answer);
        for (const traces of [false, true])
          expect((await settledAnswer(open, under.taught, answer, { traces })).shares).toEqual(shares);
      }
    }),

  'tells choices apart that are made token by token in turn': (under) =>
    opened(under, async (open) => {
      const alone = [];
      for (const answer of under.answers)
        alone.push((await settledAnswer(open, under.taught, answer)).shares);
      const response = responseId();
      const { attributor } = open;
      const all = await Promise.all(
        under.answers.map(async (answer, choice) => ({
          answer,
          following: await attributor.follow(generation(under.taught, answer, { response, choice })),
        })),
      );
      const longest = Math.max(...under.answers.map(({ tokens }) => tokens.length));
      for (let at = 0; at < longest; at++)
        for (const { answer, following } of all) {
          const token = answer.tokens[at];
          if (token) told(following, token);
        }
      // The last to come is the first to end.
      for (const { following } of all.toReversed()) following.end('stop');
      for (const [choice, shares] of alone.entries())
        expect(await attributor.settled(response, choice)).toEqual(shares);
    }),

  'settles many at once, whoever asks first': (under) =>
    opened(under, async (open) => {
      const many = Array.from({ length: 64 }, (_, i) => under.answers[i % under.answers.length]!);
      const found = await Promise.all(many.map((answer) => settledAnswer(open, under.taught, answer)));
      for (const [i, { shares }] of found.entries()) {
        checkSums(shares, many[i]!.tokens.length);
        expect(shares).toEqual(found[i % under.answers.length]!.shares);
      }
    }),

  'settles an answer once and for good, over a restart too': async (under) => {
    const [answer, other] = [under.answers[0]!, under.answers.at(-1)!];
    const { response, shares } = await opened(under, async (open) => {
      const first = await settledAnswer(open, under.taught, answer);
      expect(await open.attributor.settled(first.response, 0)).toEqual(first.shares);
      // Whoever comes with the same name later does not change what was settled.
      const again = await settledAnswer(open, under.taught, other, { response: first.response });
      expect(again.shares).toEqual(first.shares);
      return first;
    });
    await opened(under, async ({ attributor }) => {
      expect(await attributor.settled(response, 0)).toEqual(shares);
    });
  },

  'says nothing of what it has not followed': (under) =>
    opened(under, async (open) => {
      expect(await open.attributor.settled(responseId(), 0)).toBeUndefined();
      const { response } = await settledAnswer(open, under.taught, under.answers[0]!);
      expect(await open.attributor.settled(response, 1)).toBeUndefined();
    }),

  'leaves to the base what nobody is named for, and says why, without an error': (under) =>
    opened(under, async (open) => {
      expect(under.unknown.length).toBeGreaterThan(0);
      for (const model of under.unknown)
        for (const traces of [false, true])
          for (const answer of under.answers) {
            const plain = { ...answer, tokens: answer.tokens.map(({ id }) => ({ id })) };
            const { followed, shares } = await settledAnswer(open, model, plain, { traces });
            if (followed.status === 'unattributed') expect(followed.reason).toMatch(/\S/);
            expect(followed.spans).toEqual([]);
            checkSums(shares, answer.tokens.length);
            expect([shares.base, shares.contributors]).toEqual([shares.total, []]);
            expect(shares.unattributed).toMatch(/\S/);
          }
    }),
};

async function opened<T>(under: AttributorUnderTest, work: (open: OpenAttributor) => Promise<T>): Promise<T> {
  const open = await under.open();
  try {
    return await work(open);
  } finally {
    await open.close();
  }
}

/** Registers the cases. */
export function describeAttributor(name: string, under: AttributorUnderTest): void {
  describe(`${name} keeps the attributor contract`, () => {
    for (const [what, check] of Object.entries(attributorCases)) test(what, () => check(under));
  });
}

/** What is known of an answer at its end, wherever that is. */
import { expect, test } from 'vitest';
import { AnswerFollowing, type EndedAnswer } from './following.ts';
import { cardOf } from './testing/taught.ts';

/** Follows tokens that come with these states, and ends so. */
function ended(states: Array<Float32Array | undefined>, finish: EndedAnswer['finish']): EndedAnswer {
  let found: EndedAnswer | undefined;
  const of = { response: 'r', choice: 0, tenant: 'default', prompt: [1], traces: false };
  const following = new AnswerFollowing(
    { ...of, model: cardOf('/nowhere') },
    { reason: 'Nobody taught it.' },
    3,
    (answer) => {
      found = answer;
    },
  );
  for (const [id, state] of states.entries()) following.token(id, undefined, state);
  following.end(finish);
  return found!;
}

test.each([
  'stop',
  'length',
  'cut',
] as const)('an answer that ended with %s has the mean of the states that its tokens were drawn from, in single precision', (finish) => {
  // 2^24 + 1 has no place in single precision: sums are rounded as they grow.
  const states = [Float32Array.of(2 ** 24, 3), Float32Array.of(1, 4), Float32Array.of(1, -1)];
  expect(ended(states, finish).state).toEqual(Float32Array.of(Math.fround(2 ** 24 / 3), 2));
});

test('one of whose tokens a state is missing has none, as has one without tokens', () => {
  expect(ended([Float32Array.of(1), undefined], 'stop').state).toBeUndefined();
  expect(ended([undefined, undefined], 'stop').state).toBeUndefined();
  expect(ended([], 'cut').state).toBeUndefined();
});

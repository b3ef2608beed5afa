import { describe, expect, test } from 'vitest';
import { policyOf } from './policy.ts';
import { attacks, foresight, gainsOf, payOf, settlements } from './testing/attacks.ts';
import { honestWorld, usualSize } from './testing/world.ts';

const world = honestWorld(1, { ...usualSize, answers: 30 });
const attacker = 'contributor-5';

describe.each(Object.entries(settlements))('by %s', (_name, settlement) => {
  test('no attack is paid more than 1.05 times what honesty is', () => {
    const gains = gainsOf([world], [attacker], settlement);
    expect(gains).toHaveLength(Object.values(attacks).flat().length);
    for (const { name, gain } of gains) {
      expect(gain, name).toBeLessThanOrEqual(1.05);
      expect(gain, name).toBeGreaterThan(0);
    }
  });
});

test('the world pays the first and the last author, so that there is something to gain', () => {
  for (const contributor of ['contributor-0', 'contributor-7']) {
    expect(payOf(world, world.examples, contributor, settlements.spans!)).toBeGreaterThan(0.01);
  }
});

test('paraphrases pay where nothing compares examples: it is the comparison that stops them', () => {
  const settlement = { ...settlements['spans and influence']!, similar: false };
  const attack = attacks.paraphrasing!.find(({ name }) => name === '25% synonyms')!;
  const honest = payOf(world, world.examples, attacker, settlement);
  expect(payOf(world, attack.examples(world, attacker), attacker, settlement) / honest).toBeGreaterThan(1.5);
});

test('who says first what others will teach is paid as the first, which no rule here tells from having taught it', () => {
  const settlement = settlements['spans and influence']!;
  const honest = payOf(world, world.examples, attacker, settlement);
  const gain = payOf(world, foresight.examples(world, attacker), attacker, settlement) / honest;
  expect(gain).toBeGreaterThan(1);
});

test('a cap that binds pays those who split, and no more than 1 / cap', () => {
  // One author alone has taught all: every cap binds.
  const alone = honestWorld(2, { ...usualSize, contributors: 1, answers: 20 });
  const [split] = attacks.splitting!;
  for (const cap of [0.5, policyOf().cap]) {
    const [honest, attack] = [alone.examples, split!.examples(alone, 'contributor-0')].map((examples) =>
      payOf(alone, examples, 'contributor-0', settlements.influence!, policyOf({ cap })),
    );
    expect(attack! / honest!).toBeGreaterThan(1);
    expect(attack! / honest!).toBeLessThanOrEqual(1 / cap + 1e-4);
  }
});

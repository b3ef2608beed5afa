/** What a contributor may do to be paid for more than it taught, in the world of world.ts, and by how much it gains. */
import { seeded } from '../../fidelity/random.ts';
import { policyOf, type SharePolicy } from '../policy.ts';
import { sharesOf } from '../shares.ts';
import { type EvidenceOptions, TextEvidence, type Written } from './text_evidence.ts';
import type { World } from './world.ts';

export interface Attack {
  name: string;
  /** The examples as they are with the attack, in the order in which they are given. Names that begin with the attacker's are its. */
  examples(world: World, attacker: string): Written[];
}

const mine = (contributor: string, attacker: string) => contributor.startsWith(attacker);
const others = (world: World, attacker: string) =>
  world.examples.filter(({ contributor }) => contributor !== attacker);
const repeated = <T>(items: T[], times: number): T[] => Array.from({ length: times }, () => items).flat();

/** Copies come after what they copy. */
function copies(
  name: string,
  times: number,
  changed: (words: number[], world: World, random: () => number) => number[],
): Attack {
  return {
    name,
    examples(world, attacker) {
      const random = seeded(7);
      const taken = repeated(others(world, attacker), times);
      return [
        ...world.examples,
        ...taken.map(({ words }) => ({ contributor: attacker, words: changed(words, world, random) })),
      ];
    },
  };
}

const paraphrased = (part: number) => (words: number[], world: World, random: () => number) =>
  words.map((word) => (word >= world.functionWords && random() < part ? word ^ 1 : word));

/** A stock phrase before and after, in place of those that are there: matches go on where the original ends. */
const wrapped = (words: number[], { stock }: World, random: () => number) => {
  const phrase = () => stock[Math.floor(random() * stock.length)]!;
  return [...phrase(), ...phrase(), ...words.slice(5, -5), ...phrase(), ...phrase()];
};

function split(parts: number): Attack {
  return {
    name: `split into ${parts}`,
    examples: (world, attacker) =>
      world.examples.map(({ contributor, words }, at) => ({
        contributor: contributor === attacker ? `${attacker}/${at % parts}` : contributor,
        words,
      })),
  };
}

/** The runs of five words that so many examples have, the most frequent first. */
function frequentPhrases({ examples }: World, least: number): number[][] {
  const counts = new Map<string, number>();
  for (const { words } of examples) {
    const runs = Array.from({ length: words.length - 4 }, (_, at) => words.slice(at, at + 5).join(' '));
    for (const run of new Set(runs)) counts.set(run, (counts.get(run) ?? 0) + 1);
  }
  return [...counts]
    .filter(([, count]) => count >= least)
    .sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1))
    .map(([run]) => run.split(' ').map(Number));
}

/** Examples that have a frequent phrase: one in 25 of the usual world, and more than a span may have to be paid. */
const frequent = 12;

const padding: Attack[] = [
  {
    name: 'padding its own with frequent phrases',
    examples(world, attacker) {
      const phrases = frequentPhrases(world, frequent);
      let next = 0;
      const pad = (words: number[]) => [
        ...words,
        ...repeated([0], 5).flatMap(() => phrases[next++ % phrases.length]!),
      ];
      return world.examples.map(({ contributor, words }) => ({
        contributor,
        words: contributor === attacker ? pad(words) : words,
      }));
    },
  },
  phrasesFirst('frequent phrases before all others', frequent),
];

/** Not padding, but foresight: most phrases that so few have are what others will teach. Whoever says it first is paid for it. */
export const foresight = phrasesFirst('what others will teach before all others', 5);

function phrasesFirst(name: string, least: number): Attack {
  return {
    name,
    examples(world, attacker) {
      const phrases = frequentPhrases(world, least);
      const padded = Array.from({ length: Math.ceil(phrases.length / 5) }, (_, at) => ({
        contributor: attacker,
        words: phrases.slice(5 * at, 5 * at + 5).flat(),
      }));
      return [...padded, ...world.examples];
    },
  };
}

function outliers(norm: number): Attack {
  return {
    name: `gradients ${norm} times as long`,
    examples: (world, attacker) =>
      world.examples.map((one) => (one.contributor === attacker ? { ...one, norm } : one)),
  };
}

export const attacks: Record<string, Attack[]> = {
  copying: [
    copies('copies of all others', 1, (words) => words),
    copies('three copies of all others', 3, (words) => words),
    copies('copies within other phrases', 1, wrapped),
    {
      name: 'copies of its own',
      examples: (world, attacker) => [
        ...world.examples,
        ...repeated(
          world.examples.filter(({ contributor }) => contributor === attacker),
          3,
        ),
      ],
    },
  ],
  paraphrasing: [
    ...[0.1, 0.25, 0.5].map((part) => copies(`${100 * part}% synonyms`, 1, paraphrased(part))),
    copies('three times 25% synonyms', 3, paraphrased(0.25)),
  ],
  splitting: [split(2), split(20)],
  padding,
  outliers: [outliers(10), outliers(1000)],
};

/** What shares are made of. `similar`: whether examples are compared with one another, so that paraphrases show. */
export type Settlement = Pick<EvidenceOptions, 'spans' | 'influence' | 'similar'>;

export const settlements: Record<string, Settlement> = {
  'spans and influence': { spans: true, influence: true, similar: true },
  spans: { spans: true, influence: false, similar: true },
  influence: { spans: false, influence: true, similar: true },
};

/** What an attacker is paid for all answers of a world, as a part of all units. */
export function payOf(
  world: Pick<World, 'answers' | 'functionWords'>,
  examples: readonly Written[],
  attacker: string,
  settlement: Settlement,
  policy: SharePolicy = policyOf(),
): number {
  const { deviations, occurrences, alike } = policy;
  const { answers, functionWords } = world;
  const evidence = new TextEvidence(examples, {
    ...settlement,
    deviations,
    occurrences,
    alike,
    functionWords,
  });
  let [micro, total] = [0, 0];
  for (const answer of answers) {
    const shares = sharesOf(evidence.of(answer), policy);
    total += shares.total;
    for (const share of shares.contributors) if (mine(share.contributor, attacker)) micro += share.micro;
  }
  return micro / total;
}

/**
 * What each attack pays beside honesty, by kind and name: of all attackers in all worlds together, as a small pay by itself may double
 * by chance. The answers are held fixed: the question is how evidence becomes pay, not what an attack makes the model say.
 */
export function gainsOf(
  worlds: readonly World[],
  attackers: readonly string[],
  settlement: Settlement,
  policy: SharePolicy = policyOf(),
): Array<{ kind: string; name: string; gain: number }> {
  const paid = (examplesOf: (world: World, attacker: string) => readonly Written[]) => {
    let sum = 0;
    for (const world of worlds)
      for (const attacker of attackers)
        sum += payOf(world, examplesOf(world, attacker), attacker, settlement, policy);
    return sum;
  };
  const honest = paid((world) => world.examples);
  return Object.entries(attacks).flatMap(([kind, all]) =>
    all.map(({ name, examples }) => ({ kind, name, gain: paid(examples) / honest })),
  );
}

import type { ExampleScore } from './evidence.ts';
import type { SharePolicy } from './policy.ts';
import type { Teachers } from './teachers.ts';

/** Who is paid what part, by place; `uncertain` is the part that lies within the scores' error. All sum to 1. */
export interface InfluenceCredit {
  parts: Array<{ place: number; mass: number }>;
  uncertain: number;
}

/**
 * Parts of what influence says; undefined where no example stands out of the noise.
 *
 * An example counts by the lower bound of its score, if that is above 0, and of that by what it adds beyond doubt to those before it:
 * less the greatest (similarity * upper bound) of earlier ones, which is what goes when the direction that one has taught is
 * projected out. Those that say the same (similarity 1) are so paid as one, split by what each added when it came.
 * Parts are in proportion to the square, as explained variance is: many weak resemblances do not outweigh what the answer rests
 * on. Of a part, (score - bound) / score is uncertain.
 */
export function creditInfluence(
  scores: readonly ExampleScore[],
  teachers: Teachers,
  policy: SharePolicy,
): InfluenceCredit | undefined {
  const bounded = scores.map((one) => bound(one, teachers, policy)).sort((a, b) => a.place - b.place);
  // Beside the greatest: no score is too large or too small to be squared.
  const most = bounded.reduce((greatest, { lower }) => Math.max(greatest, lower), 0);
  const bounds = new Map<number, number>();
  /** By cluster. */
  const best = new Map<number, number>();
  const counted: Array<{ place: number; mass: number; certain: number }> = [];
  let sum = 0;
  for (const { place, lower: absolute, upper: above, certain } of bounded) {
    if (absolute <= 0) continue;
    const [lower, upper] = [absolute / most, above / most];
    const cluster = teachers.cluster[place]!;
    let taught = best.get(cluster) ?? 0;
    for (const { place: earlier, similarity } of teachers.resembled[place]!)
      taught = Math.max(taught, similarity * (bounds.get(earlier) ?? 0));
    bounds.set(place, upper);
    best.set(cluster, Math.max(upper, best.get(cluster) ?? 0));
    const added = Math.max(0, lower - taught);
    if (added === 0) continue;
    counted.push({ place, mass: added * added, certain });
    sum += added * added;
  }
  if (sum === 0) return undefined;
  const parts = counted.map(({ place, mass, certain }) => ({ place, mass: (mass / sum) * certain }));
  return {
    parts,
    uncertain: counted.reduce((all, { mass, certain }) => all + (mass / sum) * (1 - certain), 0),
  };
}

function bound(
  { example, score, deviation = 0, self }: ExampleScore,
  teachers: Teachers,
  policy: SharePolicy,
) {
  const norm = self === undefined ? 1 : Math.sqrt(self);
  const error = policy.deviations * deviation;
  const place = teachers.place(example);
  // An example without a gradient taught nothing.
  if (norm === 0) return { place, lower: 0, upper: 0, certain: 0 };
  return {
    place,
    lower: (score - error) / norm,
    upper: (score + error) / norm,
    certain: (score - error) / score,
  };
}

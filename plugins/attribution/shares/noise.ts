import type { ExampleScore } from './evidence.ts';

/** A normal distribution's standard deviation in units of its median absolute deviation. */
const deviationsOfMedian = 1.4826;

/**
 * All examples' scores of one answer, example i's at i, as evidence: those that stand out. Most examples have nothing to do with one
 * answer, so their median is what an unrelated one scores, and their median absolute deviation says by how much that varies.
 * `selves`: each example's influence on itself, where scores are to be divided by its root. Throws RangeError where a value is no number.
 */
export function standOut(
  scores: Float64Array | Float32Array,
  deviations: number,
  selves?: Float64Array | Float32Array,
): ExampleScore[] {
  const each = Float64Array.from(scores, (score, example) => {
    const norm = selves ? Math.sqrt(selves[example]!) : 1;
    const value = norm === 0 ? 0 : score / norm;
    if (!Number.isFinite(value))
      throw new RangeError(
        `The score of example ${example} is ${score}, and its influence on itself ${norm * norm}.`,
      );
    return value;
  });
  const middle = median(each);
  const deviation = deviationsOfMedian * median(each.map((score) => Math.abs(score - middle)));
  const found: ExampleScore[] = [];
  for (const [example, score] of each.entries()) {
    if (score - middle > deviations * deviation) found.push({ example, score: score - middle, deviation });
  }
  return found;
}

function median(values: Float64Array): number {
  const sorted = values.slice().sort();
  const half = sorted.length >> 1;
  return sorted.length === 0
    ? 0
    : sorted.length % 2 === 1
      ? sorted[half]!
      : (sorted[half - 1]! + sorted[half]!) / 2;
}

/** Steps of a weight that is no whole number: what is less than half of one beside the greatest gets nothing. */
const resolution = 2 ** 40;

/**
 * `total` in whole units, in proportion to weights: largest remainder (Hamilton's method), of equal remainders the earlier.
 * They sum to `total` exactly, and each is less than a unit away from its exact part; of weights that are bigints the exact part
 * is meant as it is, of numbers that of the weight rounded to 2^-40 of the greatest. Whole numbers all along, so that no rounding
 * of a sum can break it. Throws RangeError where a weight is negative or not finite, or where all are 0 and `total` is not.
 */
export function apportion(
  total: number,
  weights: readonly number[] | Float64Array | readonly bigint[],
): number[] {
  const units = wholeWeights(weights);
  if (total === 0) return units.map(() => 0);
  const sum = units.reduce((all, one) => all + one, 0n);
  if (sum === 0n) throw new RangeError(`${total} units have nobody to go to: all weights are 0.`);
  const parts: number[] = [];
  const remainders: Array<{ at: number; remainder: bigint }> = [];
  let left = total;
  for (const [at, unit] of units.entries()) {
    const product = BigInt(total) * unit;
    const part = Number(product / sum);
    parts.push(part);
    left -= part;
    if (product % sum > 0n) remainders.push({ at, remainder: product % sum });
  }
  remainders.sort((a, b) => (a.remainder === b.remainder ? a.at - b.at : a.remainder > b.remainder ? -1 : 1));
  for (const { at } of remainders.slice(0, left)) parts[at]!++;
  return parts;
}

function wholeWeights(weights: readonly number[] | Float64Array | readonly bigint[]): bigint[] {
  let most = 0;
  for (const weight of weights) {
    if (!(weight >= 0 && weight < Number.POSITIVE_INFINITY))
      throw new RangeError(`A weight is ${weight}. Give finite weights of 0 and more.`);
    if (typeof weight === 'number' && weight > most) most = weight;
  }
  return [...weights].map((weight) =>
    typeof weight === 'bigint' ? weight : most === 0 ? 0n : BigInt(Math.round((weight / most) * resolution)),
  );
}

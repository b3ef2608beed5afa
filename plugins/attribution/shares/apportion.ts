/** Steps of a weight: what is less than half of one beside the greatest gets nothing. */
const resolution = 2 ** 40;

/**
 * `total` in whole units, in proportion to weights: largest remainder (Hamilton's method), of equal remainders the earlier.
 * They sum to `total` exactly, and each is less than a unit away from its exact part. Whole numbers all along, so that no
 * rounding of a sum can break it. Throws RangeError where a weight is negative or not finite, or where all are 0 and `total` is not.
 */
export function apportion(total: number, weights: readonly number[] | Float64Array): number[] {
  let most = 0;
  for (const weight of weights) {
    if (!(weight >= 0 && weight < Number.POSITIVE_INFINITY))
      throw new RangeError(`A weight is ${weight}. Give finite weights of 0 and more.`);
    if (weight > most) most = weight;
  }
  if (total === 0) return Array.from(weights, () => 0);
  if (most === 0) throw new RangeError(`${total} units have nobody to go to: all weights are 0.`);
  const units = Array.from(weights, (weight) => BigInt(Math.round((weight / most) * resolution)));
  const sum = units.reduce((all, one) => all + one, 0n);
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

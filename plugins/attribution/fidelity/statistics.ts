/** How well one order of things agrees with another. */

/** Places in rising order, 1 to n; equal values share the mean of theirs. */
export function ranks(values: ArrayLike<number>): Float64Array {
  const order = Uint32Array.from({ length: values.length }, (_, i) => i);
  order.sort((a, b) => values[a]! - values[b]!);
  const result = new Float64Array(values.length);
  for (let from = 0; from < order.length; ) {
    let to = from + 1;
    while (to < order.length && values[order[to]!] === values[order[from]!]) to++;
    for (let i = from; i < to; i++) result[order[i]!] = (from + 1 + to) / 2;
    from = to;
  }
  return result;
}

/** Spearman's rank correlation, -1 to 1: Pearson's of the ranks. 0 where either says nothing: all its values are equal. */
export function spearman(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const middle = (a.length + 1) / 2;
  const [x, y] = [ranks(a), ranks(b)];
  let both = 0;
  let ofX = 0;
  let ofY = 0;
  for (let i = 0; i < x.length; i++) {
    const [dx, dy] = [x[i]! - middle, y[i]! - middle];
    both += dx * dy;
    ofX += dx * dx;
    ofY += dy * dy;
  }
  return ofX === 0 || ofY === 0 ? 0 : both / Math.sqrt(ofX * ofY);
}

/**
 * Area under the receiver operating characteristic: how likely one that is `positive` has a higher score than one that is not,
 * equal scores counted half (Mann and Whitney). Undefined where there are none, or none others.
 */
export function auc(scores: ArrayLike<number>, positive: (index: number) => boolean): number | undefined {
  const places = ranks(scores);
  let count = 0;
  let sum = 0;
  for (let i = 0; i < places.length; i++) {
    if (!positive(i)) continue;
    count++;
    sum += places[i]!;
  }
  const others = places.length - count;
  return count === 0 || others === 0 ? undefined : (sum - (count * (count + 1)) / 2) / (count * others);
}

/** Of those that are `positive`, the share among as many highest scores; of equal scores the first count. Undefined where there are none. */
export function recall(scores: ArrayLike<number>, positive: (index: number) => boolean): number | undefined {
  const order = descending(scores);
  const count = order.filter(positive).length;
  return count === 0 ? undefined : order.slice(0, count).filter(positive).length / count;
}

/** Positions by falling score; of equal scores the first comes first. */
export function descending(scores: ArrayLike<number>): number[] {
  return Array.from({ length: scores.length }, (_, i) => i).sort((a, b) => scores[b]! - scores[a]!);
}

export const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

/** The middle of the values; the mean of the two middle ones where there is no single one. */
export function median(values: number[]): number {
  if (values.length === 0) throw new Error('The median of no values was asked for.');
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** The smallest value that at least `share` of the values do not exceed (nearest rank). */
export function percentile(values: number[], share: number): number {
  if (values.length === 0) throw new Error('A percentile of no values was asked for.');
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]!;
}

/** Rounded to so many significant digits: what a saved result is worth. */
export function significant(value: number, digits: number): number {
  return Number(value.toPrecision(digits));
}

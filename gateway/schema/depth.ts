/** Whether a JSON value is nested deeper than so many levels. Deep ones break whoever walks them by recursion, JSON.stringify too. */
export function deeperThan(levels: number, value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return levels === 0 || Object.values(value).some((inner) => deeperThan(levels - 1, inner));
}

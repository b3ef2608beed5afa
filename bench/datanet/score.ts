/** How well clusters agree with those that are known: over all pairs of rows, those that are in one cluster. */
export interface Score {
  precision: number;
  recall: number;
  f1: number;
}

/** Numbers of clusters by row. */
export function scoreOf(found: ArrayLike<number>, known: ArrayLike<number>): Score {
  const sizes = {
    found: new Map<number, number>(),
    known: new Map<number, number>(),
    both: new Map<string, number>(),
  };
  const count = <Key>(map: Map<Key, number>, key: Key) => map.set(key, (map.get(key) ?? 0) + 1);
  for (let row = 0; row < known.length; row++) {
    count(sizes.found, found[row]!);
    count(sizes.known, known[row]!);
    count(sizes.both, `${found[row]} ${known[row]}`);
  }
  const pairs = (map: Map<unknown, number>) => {
    let sum = 0;
    for (const size of map.values()) sum += (size * (size - 1)) / 2;
    return sum;
  };
  const both = pairs(sizes.both);
  const precision = both / (pairs(sizes.found) || 1);
  const recall = both / (pairs(sizes.known) || 1);
  return { precision, recall, f1: both === 0 ? 0 : (2 * precision * recall) / (precision + recall) };
}

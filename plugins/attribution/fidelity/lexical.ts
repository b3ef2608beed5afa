/** Scores by shared tokens alone: the baselines that every method has to beat. */

/** Of BM25 as Robertson and Zaragoza advise (The Probabilistic Relevance Framework, 2009). */
const saturation = 1.2;
const lengthShare = 0.75;

type Counts = Map<number, number>;

function countsOf(tokens: ArrayLike<number>): Counts {
  const counts: Counts = new Map();
  for (let i = 0; i < tokens.length; i++) counts.set(tokens[i]!, (counts.get(tokens[i]!) ?? 0) + 1);
  return counts;
}

/** In how many documents each token is. */
function documentFrequencies(documents: readonly Counts[]): Counts {
  const found: Counts = new Map();
  for (const counts of documents)
    for (const token of counts.keys()) found.set(token, (found.get(token) ?? 0) + 1);
  return found;
}

/** Scores each document's tokens for a query's. Rarity is ln(1 + (N - n + 1/2) / (n + 1/2)), never negative. */
export function bm25(documents: readonly ArrayLike<number>[]): (query: ArrayLike<number>) => Float64Array {
  const all = documents.map(countsOf);
  const frequencies = documentFrequencies(all);
  const meanLength = documents.reduce((sum, { length }) => sum + length, 0) / documents.length;
  return (query) => {
    const wanted = countsOf(query);
    return Float64Array.from(all, (counts, index) => {
      const penalty = saturation * (1 - lengthShare + (lengthShare * documents[index]!.length) / meanLength);
      let score = 0;
      for (const [token, times] of wanted) {
        const here = counts.get(token);
        if (here === undefined) continue;
        const among = frequencies.get(token)!;
        const rarity = Math.log1p((all.length - among + 0.5) / (among + 0.5));
        score += (times * rarity * here * (saturation + 1)) / (here + penalty);
      }
      return score;
    });
  };
}

/** The cosine of counts times ln((1 + N) / (1 + n)) + 1. */
export function tfidf(documents: readonly ArrayLike<number>[]): (query: ArrayLike<number>) => Float64Array {
  const all = documents.map(countsOf);
  const frequencies = documentFrequencies(all);
  const weighed = (counts: Counts): Counts => {
    const weights = new Map(
      Array.from(counts, ([token, times]) => [
        token,
        times * (Math.log((1 + all.length) / (1 + (frequencies.get(token) ?? 0))) + 1),
      ]),
    );
    const length = Math.sqrt([...weights.values()].reduce((sum, weight) => sum + weight * weight, 0));
    for (const [token, weight] of weights) weights.set(token, weight / length);
    return weights;
  };
  const rows = all.map(weighed);
  return (query) => {
    const wanted = weighed(countsOf(query));
    return Float64Array.from(rows, (row) => {
      let sum = 0;
      for (const [token, weight] of wanted) sum += weight * (row.get(token) ?? 0);
      return sum;
    });
  };
}

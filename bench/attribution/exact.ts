/** Influence by whole gradients at one adapter, nothing projected or rounded: what the stored index is measured by. */
import type { NativeTrainer, TrainingExample } from '../../native/binding/index.ts';

export interface Exact {
  /** [queries][examples], more is more helpful. */
  gradDot: number[][];
  cosine: number[][];
  /** DataInf (arXiv 2310.00902), each of a linear's two matrices a layer, its sign turned. */
  datainf: number[][];
  /** Of each example with itself. */
  selfGradDot: number[];
  selfDatainf: number[];
  /** Of one query's gradient and its scores by every method, without those of the examples. */
  secondsPerQuery: number;
}

export async function exactInfluence(
  trainer: NativeTrainer,
  examples: TrainingExample[],
  queries: TrainingExample[],
): Promise<Exact> {
  const gradientOf = async (example: TrainingExample) => (await trainer.gradient([example], 1)).gradient;
  const ofExamples: Float32Array[] = [];
  for (const example of examples) ofExamples.push(await gradientOf(example));
  const begin = performance.now();
  const ofQueries: Float32Array[] = [];
  for (const query of queries) ofQueries.push(await gradientOf(query));
  const gradientSeconds = (performance.now() - begin) / 1000;
  const table = (rows: number) => Array.from({ length: rows }, () => new Float64Array(examples.length));
  const [dots, datainf] = [table(queries.length), table(queries.length)];
  const self = { gradDot: new Float64Array(examples.length), datainf: new Float64Array(examples.length) };
  const queryNorms = new Float64Array(queries.length);
  let scoring = 0;
  for (const [from, to] of blocksOf(trainer)) {
    const rows = ofExamples.map((gradient) => gradient.subarray(from, to));
    const gram = gramOf(rows);
    const squares = gram.map((row, i) => row[i]!);
    const damping = (0.1 * sum(squares)) / (examples.length * (to - from));
    // A block that nothing was learned in: every gradient of it is zero.
    if (damping === 0) continue;
    for (const [i, square] of squares.entries()) {
      self.gradDot[i]! += square;
      self.datainf[i]! += datainfRow(gram[i]!, gram, squares, damping)[i]!;
    }
    const start = performance.now();
    for (const [query, whole] of ofQueries.entries()) {
      const own = whole.subarray(from, to);
      const products = Float64Array.from(rows, (row) => dot(own, row));
      const scores = datainfRow(products, gram, squares, damping);
      queryNorms[query]! += dot(own, own);
      for (const [i, product] of products.entries()) {
        dots[query]![i]! += product;
        datainf[query]![i]! += scores[i]!;
      }
    }
    scoring += (performance.now() - start) / 1000;
  }
  const cosines = dots.map((row, query) =>
    Array.from(row, (product, i) => product / Math.sqrt(queryNorms[query]! * self.gradDot[i]!)),
  );
  return {
    gradDot: dots.map((row) => Array.from(row)),
    cosine: cosines,
    datainf: datainf.map((row) => Array.from(row)),
    selfGradDot: Array.from(self.gradDot),
    selfDatainf: Array.from(self.datainf),
    secondsPerQuery: (gradientSeconds + scoring) / queries.length,
  };
}

/** Of what has these products with the examples' gradients: mean of (v - (v . g) g / (damping + |g|^2)) / damping, with each example. */
function datainfRow(
  products: ArrayLike<number>,
  gram: Float64Array[],
  squares: number[],
  damping: number,
): Float64Array {
  const taken = squares.map((square, i) => products[i]! / (damping + square));
  return Float64Array.from(gram, (row, k) => {
    let all = 0;
    for (let i = 0; i < taken.length; i++) all += taken[i]! * row[i]!;
    return (products[k]! - all / taken.length) / damping;
  });
}

/** Where each matrix's values begin and end. */
function blocksOf(trainer: NativeTrainer): Array<[from: number, to: number]> {
  return trainer.info().modules.flatMap(
    ({ a, b, rank, in: inputs, out }): Array<[number, number]> => [
      [a, a + rank * inputs],
      [b, b + rank * out],
    ],
  );
}

function gramOf(rows: Float32Array[]): Float64Array[] {
  const gram = rows.map(() => new Float64Array(rows.length));
  for (let i = 0; i < rows.length; i++)
    for (let k = 0; k <= i; k++) gram[i]![k] = gram[k]![i] = dot(rows[i]!, rows[k]!);
  return gram;
}

/** Four sums side by side, so that none waits for the one before it. */
function dot(a: Float32Array, b: Float32Array): number {
  let [p, q, r, s] = [0, 0, 0, 0];
  let i = 0;
  for (; i + 3 < a.length; i += 4) {
    p += a[i]! * b[i]!;
    q += a[i + 1]! * b[i + 1]!;
    r += a[i + 2]! * b[i + 2]!;
    s += a[i + 3]! * b[i + 3]!;
  }
  for (; i < a.length; i++) p += a[i]! * b[i]!;
  return p + q + (r + s);
}

const sum = (values: number[]) => values.reduce((all, value) => all + value, 0);

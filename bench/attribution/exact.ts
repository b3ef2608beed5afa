/** Influence by whole gradients at one adapter, nothing projected or rounded: what the stored index is measured by. */
import { type NativeTrainer, native, type TrainingExample } from '../../native/binding/index.ts';
import { dot } from '../../plugins/attribution/fidelity/suspicions.ts';

export interface Exact {
  /** [queries][examples], more is more helpful. */
  gradDot: number[][];
  cosine: number[][];
  datainf: number[][];
  /** Of each example with itself. */
  selfDatainf: number[];
}

export async function exactInfluence(
  trainer: NativeTrainer,
  examples: TrainingExample[],
  queries: TrainingExample[],
): Promise<Exact> {
  const gradients: Float32Array[] = [];
  for (const example of [...examples, ...queries])
    gradients.push((await trainer.gradient([example], 1)).gradient);
  const count = examples.length;
  const ofExamples = gradients.slice(0, count);
  const squares = gradients.map((gradient) => dot(gradient, gradient));
  const gradDot = gradients.slice(count).map((query) => ofExamples.map((example) => dot(query, example)));
  const blocks = trainer.info().modules.flatMap(({ rank, in: inputs, out }) => [rank * inputs, rank * out]);
  // Of all, so that one call has the examples' own products too.
  const datainf = await native().exactDataInf(blocks, ofExamples, gradients);
  const row = (index: number) => Array.from(datainf.subarray(index * count, (index + 1) * count));
  return {
    gradDot,
    cosine: gradDot.map((products, query) =>
      products.map((product, i) => product / Math.sqrt(squares[count + query]! * squares[i]!)),
    ),
    datainf: queries.map((_, query) => row(count + query)),
    selfDatainf: examples.map((_, i) => datainf[i * count + i]!),
  };
}

/** Shapes of bases that tests use. */
import type { Hyperparameters } from '../../../../native/binding/index.ts';

/** SmolLM2-135M, the default base. */
export const smol: Hyperparameters = {
  architecture: 'llama',
  layers: 30,
  hidden: 576,
  heads: 9,
  kvHeads: 3,
  headDim: 64,
  feedForward: 1536,
  vocabulary: 49152,
  context: 8192,
  ropeBase: 100000,
  normEps: 1e-5,
  tiedHead: true,
};

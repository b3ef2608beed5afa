/** The trainings that fidelity is measured by: which examples each has. */
import { sample } from './random.ts';

/** One training of which the queries' losses are kept. */
export interface Retrain {
  id: string;
  /** Positions in the training data, rising. */
  examples: number[];
  /** Of these, positions whose answers are another example's. */
  mislabelled?: number[];
  /** The adapter after each epoch is kept too. */
  checkpoints?: true;
  /** What makes each of its examples suspicious is kept too. */
  suspicions?: true;
}

/** Halves of the data, each drawn for itself: what the linear datamodelling score is measured over. */
export function halves(count: number, subsets: number): Retrain[] {
  return Array.from({ length: subsets }, (_, i) => ({
    id: `half-${i}`,
    examples: sample(count, count >> 1, 1000 + i),
  }));
}

/** All of the data, a fifth of it with wrong answers. */
export function mislabelled(count: number): Retrain & { mislabelled: number[] } {
  return {
    id: 'mislabelled',
    examples: Array.from({ length: count }, (_, i) => i),
    mislabelled: sample(count, Math.round(count / 5), 500),
  };
}

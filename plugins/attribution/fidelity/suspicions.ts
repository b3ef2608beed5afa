/** What makes a training example suspicious of having a wrong answer: more is more likely wrong. */
import type { NativeTrainer, TrainingExample } from '../../../native/binding/index.ts';
import { lossesOf } from './trainings.ts';

/** Of each example. */
export interface Suspicions {
  /** Plain, nats a token. */
  loss: number[];
  /** Its influence on itself: the square of its gradient. */
  'self-grad-dot': number[];
}

/** By the adapter that learned them. */
export async function suspicionsOf(trainer: NativeTrainer, examples: TrainingExample[]): Promise<Suspicions> {
  const squares: number[] = [];
  for (const example of examples) {
    const { gradient } = await trainer.gradient([example], 1);
    squares.push(dot(gradient, gradient));
  }
  return { loss: await lossesOf(trainer, examples), 'self-grad-dot': squares };
}

/** Four sums side by side, so that none waits for the one before it. */
export function dot(a: Float32Array, b: Float32Array): number {
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

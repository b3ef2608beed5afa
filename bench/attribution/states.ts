/** Representation similarity: the cosine of mean hidden states over answers, as the engine has them. */
import { FinishReason, type NativeEngine, native, type TrainingExample } from '../../native/binding/index.ts';
import { readAdapter } from '../../plugins/backends/native/peft.ts';

/** Of each example, the sum of its answer's states on the adapter in the folder. */
export async function answerStates(setting: {
  gguf: string;
  threads: number;
  adapter: string;
  examples: TrainingExample[];
}): Promise<Float64Array[]> {
  const { gguf, threads, adapter, examples } = setting;
  const engine = await native().createEngine({
    model: { format: 'gguf', path: gguf },
    threads,
    kvBytes: 2 ** 28,
    adapterBytes: 2 ** 27,
  });
  try {
    const shape = engine.info().hyperparameters;
    const { spec } = await readAdapter(adapter, shape, 'states', (path) => native().hashFile(path));
    const handle = await engine.registerAdapter(spec);
    const state = pooler(engine, handle);
    return await Promise.all(
      examples.map(async ({ tokens, weights }) => {
        const answer = weights.findIndex((weight) => weight > 0);
        const end = weights.findLastIndex((weight) => weight > 0);
        // A token is drawn from the state before it. What is after a token changes no state before it: the states of a piece
        // of the text are those of all up to its end without those of all up to its beginning.
        const [until, before] = await Promise.all([
          state(tokens.slice(0, end)),
          state(tokens.slice(0, answer - 1)),
        ]);
        return Float64Array.from(until, (value, i) => value * end - before[i]! * (answer - 1));
      }),
    );
  } finally {
    await engine.close();
  }
}

/** The mean state of a prompt's tokens. */
function pooler(engine: NativeEngine, handle: number): (prompt: Int32Array) => Promise<Float32Array> {
  const waiting = new Map<
    number,
    { resolve: (state: Float32Array) => void; reject: (error: Error) => void }
  >();
  engine.onStep((result) => {
    for (const { sequence, values } of result.pooled ?? []) waiting.get(sequence)?.resolve(values);
    for (const { sequence, message } of result.errors ?? [])
      waiting.get(sequence)?.reject(new Error(message));
    for (let i = 0; i < result.sequence.length; i++)
      if (result.finish[i] !== FinishReason.none) waiting.delete(result.sequence[i]!);
  });
  return (prompt) =>
    new Promise((resolve, reject) => {
      waiting.set(engine.submit({ prompt, adapter: handle, pool: 'mean' }), { resolve, reject });
    });
}

export function cosine(a: Float64Array, b: Float64Array): number {
  let [both, ofA, ofB] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    both += a[i]! * b[i]!;
    ofA += a[i]! * a[i]!;
    ofB += b[i]! * b[i]!;
  }
  return both / Math.sqrt(ofA * ofB);
}

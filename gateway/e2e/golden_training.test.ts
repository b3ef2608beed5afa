/** Training against torch + PEFT in float32: losses, gradients, the final adapter, gradients of single examples. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import {
  type LinearName,
  type NativeTrainer,
  native,
  type TrainingExample,
} from '../../native/binding/index.ts';
import { fixtures, modelPath, readJson } from './engine.ts';

interface Attribution {
  example_loss: number[];
  query_loss: number[];
  grad_dot: number[][];
  query_dot: number[][];
  datainf: number[][];
}

interface Reference {
  order: number[][];
  loss_per_step: number[];
  grad_norm_per_step: number[];
  optimizer: { lr: number };
  step0: {
    grad_norm_per_tensor: Record<string, number>;
    entries: Array<{ name: string; entries: Array<[row: number, column: number, value: number]> }>;
  };
  attribution: { init: Attribution; final: Attribution };
}

const folder = join(fixtures, 'golden');
const reference = readJson<Reference>(join(folder, 'train.json'));
const data = readFileSync(join(folder, 'train_data.jsonl'), 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line) as { split: string; input_ids: number[]; loss_mask: number[] });
const toExample = ({ input_ids, loss_mask }: (typeof data)[number]): TrainingExample => ({
  tokens: Int32Array.from(input_ids),
  weights: Float32Array.from(loss_mask),
});
const examples = data.filter(({ split }) => split === 'train').map(toExample);
const queries = data.filter(({ split }) => split === 'query').map(toExample);

const linears: LinearName[] = ['q', 'k', 'v', 'o', 'gate', 'up', 'down'];
const paths: Record<LinearName, string> = {
  q: 'self_attn.q_proj',
  k: 'self_attn.k_proj',
  v: 'self_attn.v_proj',
  o: 'self_attn.o_proj',
  gate: 'mlp.gate_proj',
  up: 'mlp.up_proj',
  down: 'mlp.down_proj',
};

let trainer: NativeTrainer;
/** Where a tensor lies among the adapter's values, by PEFT's name. */
const places = new Map<
  string,
  { first: number; rows: number; columns: number; index(row: number, column: number): number }
>();

beforeAll(async () => {
  const modules = Array.from({ length: 30 }, (_, layer) =>
    linears.map((linear) => ({ layer, linear, rank: 4, scaling: 2 })),
  ).flat();
  trainer = await native().createTrainer({
    model: { format: 'gguf', path: modelPath() },
    modules,
    maxRows: 512,
  });
  for (const { layer, linear, rank, in: columns, out, a, b } of trainer.info().modules) {
    const name = `base_model.model.model.layers.${layer}.${paths[linear]}`;
    const indexA = (row: number, column: number) => a + row * columns + column;
    places.set(`${name}.lora_A.weight`, { first: a, rows: rank, columns, index: indexA });
    const indexB = (row: number, column: number) => b + column * out + row;
    places.set(`${name}.lora_B.weight`, { first: b, rows: out, columns: rank, index: indexB });
  }
});

function readAdapter(name: string): Float32Array {
  const bytes = readFileSync(join(folder, name, 'adapter_model.safetensors'));
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + length)) as Record<
    string,
    { dtype: string; data_offsets: [number, number] }
  >;
  const values = new Float32Array(trainer.info().values);
  for (const [tensor, { rows, columns, index }] of places) {
    const { dtype, data_offsets } = header[tensor]!;
    const at = 8 + length + data_offsets[0];
    for (let row = 0; row < rows; row++)
      for (let column = 0; column < columns; column++) {
        const i = row * columns + column;
        values[index(row, column)] =
          dtype === 'F16' ? fromHalf(bytes.readUInt16LE(at + 2 * i)) : bytes.readFloatLE(at + 4 * i);
      }
  }
  return values;
}

function fromHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const mantissa = bits & 0x3ff;
  return sign * (exponent === 0 ? mantissa * 2 ** -24 : (1024 + mantissa) * 2 ** (exponent - 25));
}

const norm = (values: Float32Array) => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, value, i) => sum + value * b[i]!, 0);
const minus = (a: Float32Array, b: Float32Array) => a.map((value, i) => value - b[i]!);
const targets = (of: TrainingExample) => of.weights.reduce((sum, weight) => sum + weight, 0);

async function attributionIs(expected: Attribution): Promise<void> {
  const gradients = async (of: TrainingExample[], losses: number[]) => {
    const all: Float32Array[] = [];
    for (const [i, example] of of.entries()) {
      const { losses: ours, gradient } = await trainer.gradient([example], 1 / targets(example));
      expect(ours[0]!.loss / ours[0]!.weight).toBeCloseTo(losses[i]!, 3);
      all.push(gradient);
    }
    return all;
  };
  const ofExamples = await gradients(examples, expected.example_loss);
  const ofQueries = await gradients(queries, expected.query_loss);
  const within = (rows: Float32Array[], matrix: number[][]) => {
    const largest = Math.max(...matrix.flat().map(Math.abs));
    for (const [i, row] of rows.entries())
      for (const [j, column] of ofExamples.entries())
        expect(Math.abs(dot(row, column) - matrix[i]![j]!)).toBeLessThan(1e-3 * largest);
  };
  within(ofExamples, expected.grad_dot);
  within(ofQueries, expected.query_dot);
  const blocks = trainer.info().modules.flatMap(({ rank, in: columns, out }) => [rank * columns, rank * out]);
  const dataInf = await native().exactDataInf(blocks, ofExamples, ofQueries);
  const largest = Math.max(...expected.datainf.flat().map(Math.abs));
  for (const [i, row] of expected.datainf.entries())
    for (const [j, value] of row.entries()) // theirs is negative where an example helps
      expect(Math.abs(-dataInf[i * row.length + j]! - value)).toBeLessThan(1e-3 * largest);
}

test('gradients of the first batch, tensor by tensor', async () => {
  trainer.setValues(readAdapter('train_init'));
  const batch = reference.order[0]!.map((id) => examples[id]!);
  const weight = batch.reduce((sum, example) => sum + targets(example), 0);
  const { gradient } = await trainer.gradient(batch, 1 / weight);
  const norms = reference.step0.grad_norm_per_tensor;
  expect(Object.keys(norms).sort()).toEqual([...places.keys()].sort());
  for (const [name, { first, rows, columns }] of places) {
    const ours = norm(gradient.subarray(first, first + rows * columns));
    expect(Math.abs(ours / norms[name]! - 1), name).toBeLessThan(1e-3);
  }
  for (const { name, entries } of reference.step0.entries) {
    const { index } = places.get(name)!;
    for (const [row, column, value] of entries)
      expect(Math.abs(gradient[index(row, column)]! - value)).toBeLessThan(1e-3 * norms[name]!);
  }
});

test("single examples' losses and gradients before training", async () => {
  trainer.setValues(readAdapter('train_init'));
  await attributionIs(reference.attribution.init);
});

test('twelve steps of AdamW end at the reference', async () => {
  const init = readAdapter('train_init');
  const final = readAdapter('train_final');
  trainer.setValues(init);
  for (const [step, ids] of reference.order.entries()) {
    const { losses, gradientNorm } = await trainer.step(
      ids.map((id) => examples[id]!),
      { learningRate: reference.optimizer.lr },
    );
    const weight = losses.reduce((sum, { weight }) => sum + weight, 0);
    const loss = losses.reduce((sum, { loss }) => sum + loss, 0) / weight;
    expect(Math.abs(loss - reference.loss_per_step[step]!)).toBeLessThan(1e-3);
    expect(Math.abs(gradientNorm / reference.grad_norm_per_step[step]! - 1)).toBeLessThan(1e-3);
  }
  expect(trainer.optimizer().steps).toBe(12);
  expect(norm(minus(trainer.values(), final)) / norm(minus(final, init))).toBeLessThan(1e-2);
});

test("single examples' losses and gradients after training", async () => {
  trainer.setValues(readAdapter('train_final'));
  await attributionIs(reference.attribution.final);
});

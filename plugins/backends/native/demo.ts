/**
 * Demo adapters for the default base: something to choose between before there is a trainer. They are calculated, not
 * trained: each leans the model's words towards a theme, and knows nothing that the base does not know.
 *
 * How: a pair of neurons of a block's MLP whose gate and up rows get +a and -a adds silu(z)z + silu(-z)(-z) = z^2 with
 * z = a.x. A few random pairs together are an always-on signal, since x is normalised; the down projection turns it into
 * the theme's direction: the mean of its words' embeddings less the vocabulary's mean. The neurons are those that were
 * heard least.
 */
import { createHash } from 'node:crypto';
import { mkdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { GgufValue } from '../../../native/binding/index.ts';
import { GgufWeights } from './gguf_weights.ts';
import { type TensorData, type TensorType, writeAdapter } from './safetensors_writer.ts';

interface Demo {
  name: string;
  theme: string[];
  /** What one layer adds, as a part of the residual: chosen by reading, as far as sentences hold. */
  push: number;
  type: TensorType;
  rank: number;
  /** Layers from `layer` on have this rank instead. */
  laterRank?: { layer: number; rank: number };
  rslora?: boolean;
  dora?: boolean;
}

/** Ranks and types differ, so that one batch of them shows what a batch may mix. */
const demos: Demo[] = [
  {
    name: 'demo-sea',
    theme: [' sea', ' ocean', ' ship', ' sailor', ' waves', ' island', ' fish', ' captain', ' boat', ' sail'],
    push: 0.09,
    type: 'F16',
    rank: 32,
  },
  {
    name: 'demo-garden',
    theme: [' garden', ' flowers', ' roses', ' seeds', ' soil', ' bloom', ' petals', ' plants'],
    push: 0.11,
    type: 'F32',
    rank: 12,
  },
  {
    name: 'demo-space',
    theme: [
      ' space',
      ' planet',
      ' stars',
      ' galaxy',
      ' moon',
      ' orbit',
      ' rocket',
      ' telescope',
      ' universe',
    ],
    push: 0.12,
    type: 'BF16',
    rank: 16,
    rslora: true,
  },
  {
    name: 'demo-forest',
    theme: [' forest', ' trees', ' leaves', ' birds', ' wild', ' deer', ' moss', ' river', ' woods'],
    push: 0.09,
    type: 'F16',
    rank: 8,
    laterRank: { layer: 15, rank: 12 },
  },
  {
    name: 'demo-night',
    theme: [' night', ' moon', ' dark', ' shadows', ' midnight', ' ghost', ' darkness'],
    push: 0.11,
    type: 'F32',
    rank: 12,
    dora: true,
  },
];

/** Mean length of the residual stream behind each of the middle layers of SmolLM2-135M-Instruct, measured. */
const residualOfLayer = new Map(
  [148, 145, 147, 157, 164, 177, 192, 197, 210, 234].map((norm, i) => [10 + i, norm]),
);
/** Goes up when the recipe changes, so that older demo adapters are made anew. */
const VERSION = 1;
/** Every so many-th row of the vocabulary goes into its mean. */
const MEAN_STRIDE = 97;

/**
 * Makes the demo adapters below `folder`, once: what a user removes stays away. Returns the names made; throws where the
 * base is not the one that they are for.
 */
export async function makeDemoAdapters(
  model: string,
  folder: string,
  readMetadata: (path: string) => Promise<Record<string, GgufValue>>,
): Promise<string[]> {
  const marker = join(folder, `.demo-adapters-${VERSION}`);
  if (await stat(marker).catch(() => undefined)) return [];
  if (!model.endsWith('.gguf'))
    throw new Error('They are calculated from a GGUF file, and the base is none.');
  const ids = vocabularyOf(await readMetadata(model));
  const weights = await GgufWeights.open(model);
  try {
    requireDefaultShape(weights);
    const mean = await meanEmbedding(weights);
    for (const demo of demos) {
      const direction = await themeDirection(weights, demo, ids, mean);
      const tensors = await calculate(weights, demo, direction);
      const partial = join(folder, `.${demo.name}.${process.pid}`);
      await writeAdapter(partial, configOf(demo), tensors);
      await rm(join(folder, demo.name), { recursive: true, force: true });
      await rename(partial, join(folder, demo.name));
    }
  } finally {
    await weights.close();
  }
  await mkdir(folder, { recursive: true });
  await writeFile(marker, 'The demo adapters were made once. Remove this file to have them made again.\n');
  return demos.map(({ name }) => name);
}

function requireDefaultShape(weights: GgufWeights): void {
  const shape = ['token_embd.weight', 'blk.29.ffn_up.weight']
    .map((name) => weights.shape(name).join(' x '))
    .join(', ');
  if (shape !== '49152 x 576, 1536 x 576') {
    throw new Error(`They are for SmolLM2-135M-Instruct, and the base has another shape (${shape}).`);
  }
}

/** Token to id, in the file's byte-level spelling. */
function vocabularyOf(metadata: Record<string, GgufValue>): Map<string, number> {
  const tokens = metadata['tokenizer.ggml.tokens'];
  return new Map((Array.isArray(tokens) ? tokens : []).map((token, id) => [String(token), id]));
}

async function meanEmbedding(weights: GgufWeights): Promise<Float64Array> {
  const [rows, columns] = weights.shape('token_embd.weight');
  const ids = Array.from({ length: Math.ceil(rows / MEAN_STRIDE) }, (_, i) => i * MEAN_STRIDE);
  return meanDirection(weights, ids, columns);
}

/** The mean of unit vectors along the embeddings of `ids`. */
async function meanDirection(weights: GgufWeights, ids: number[], columns: number): Promise<Float64Array> {
  const sum = new Float64Array(columns);
  for (const id of ids) {
    const row = await weights.row('token_embd.weight', id);
    const norm = length(row);
    for (let i = 0; i < columns; i++) sum[i]! += row[i]! / norm / ids.length;
  }
  return sum;
}

async function themeDirection(
  weights: GgufWeights,
  demo: Demo,
  ids: Map<string, number>,
  mean: Float64Array,
) {
  const words = demo.theme.map((word) => ids.get(word.replace(' ', 'Ġ'))).filter((id) => id !== undefined);
  if (words.length === 0) throw new Error(`The base's vocabulary has none of the words of ${demo.name}.`);
  const direction = await meanDirection(weights, words, mean.length);
  for (let i = 0; i < direction.length; i++) direction[i]! -= mean[i]!;
  const norm = length(direction);
  return direction.map((value) => value / norm);
}

function length(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]! * values[i]!;
  return Math.sqrt(sum);
}

function rankAt(demo: Demo, layer: number): number {
  return demo.laterRank && layer >= demo.laterRank.layer ? demo.laterRank.rank : demo.rank;
}

/** alpha is chosen so that every scaling is 1: what is written is what is added. */
function configOf(demo: Demo): Record<string, unknown> {
  const layers = [...residualOfLayer.keys()];
  const later = demo.laterRank && {
    [`layers\\.(${layers.filter((layer) => layer >= demo.laterRank!.layer).join('|')})\\..*`]:
      demo.laterRank.rank,
  };
  return {
    base_model_name_or_path: 'HuggingFaceTB/SmolLM2-135M-Instruct',
    r: demo.rank,
    lora_alpha: demo.rslora ? Math.sqrt(demo.rank) : demo.rank,
    target_modules: ['gate_proj', 'up_proj', 'down_proj'],
    layers_to_transform: layers,
    use_rslora: demo.rslora ?? false,
    use_dora: demo.dora ?? false,
    rank_pattern: later ?? {},
    alpha_pattern: later ?? {},
    colophon_demo: 'Calculated, not trained: leans the words of the base towards a theme.',
  };
}

async function calculate(
  weights: GgufWeights,
  demo: Demo,
  direction: Float64Array,
): Promise<Map<string, TensorData>> {
  const tensors = new Map<string, TensorData>();
  const random = randomSource(demo.name);
  const [feedForward, hidden] = weights.shape('blk.0.ffn_up.weight');
  for (const [layer, residual] of residualOfLayer) {
    const rank = rankAt(demo, layer);
    const down = await weights.matrix(`blk.${layer}.ffn_down.weight`);
    const neurons = faintestNeurons(down, hidden, feedForward, rank);
    const norm = length(await weights.row(`blk.${layer}.ffn_norm.weight`, 0));
    const reads = new Float32Array(rank * hidden);
    for (let i = 0; i < rank; i += 2) {
      for (let k = 0; k < hidden; k++) {
        // Uniform of variance 1 / norm^2: z has variance 1 over normalised x.
        const value = ((random() * 2 - 1) * Math.sqrt(3)) / norm;
        reads[i * hidden + k] = value;
        reads[(i + 1) * hidden + k] = -value;
      }
    }
    const choose = new Float32Array(feedForward * rank);
    const chosen = new Float32Array(rank * feedForward);
    const push = new Float32Array(hidden * rank);
    neurons.forEach((neuron, i) => {
      choose[neuron * rank + i] = 1;
      chosen[i * feedForward + neuron] = 1;
      // Takes the neuron's own meaning away, and gives it the theme's.
      for (let k = 0; k < hidden; k++) {
        push[k * rank + i] =
          (direction[k]! * demo.push * residual * 2) / rank - down[k * feedForward + neuron]!;
      }
    });
    const prefix = `base_model.model.model.layers.${layer}.mlp`;
    const put = async (name: string, a: Float32Array, b: Float32Array, rows: number, columns: number) => {
      tensors.set(`${prefix}.${name}_proj.lora_A.weight`, {
        type: demo.type,
        shape: [rank, columns],
        values: a,
      });
      tensors.set(`${prefix}.${name}_proj.lora_B.weight`, {
        type: demo.type,
        shape: [rows, rank],
        values: b,
      });
      if (!demo.dora) return;
      const base = await weights.matrix(`blk.${layer}.ffn_${name}.weight`);
      const values = rowNorms(base, a, b, rows, columns, rank);
      tensors.set(`${prefix}.${name}_proj.lora_magnitude_vector`, { type: 'F32', shape: [rows], values });
    };
    await put('gate', reads, choose, feedForward, hidden);
    await put('up', reads, choose, feedForward, hidden);
    await put('down', chosen, push, hidden, feedForward);
  }
  return tensors;
}

/** The `count` neurons that the down projection [rows, columns] hears least: what they did is missed least. */
function faintestNeurons(down: Float32Array, rows: number, columns: number, count: number): number[] {
  const power = new Float64Array(columns);
  for (let i = 0; i < rows * columns; i++) power[i % columns]! += down[i]! * down[i]!;
  return [...power.keys()].sort((a, b) => power[a]! - power[b]! || a - b).slice(0, count);
}

/** Lengths of the rows of W + B A: as DoRA's magnitudes they leave the direction's change as it is. */
function rowNorms(
  base: Float32Array,
  a: Float32Array,
  b: Float32Array,
  rows: number,
  columns: number,
  rank: number,
) {
  const norms = new Float32Array(rows);
  for (let row = 0; row < rows; row++) {
    const sum = Float64Array.from(base.subarray(row * columns, (row + 1) * columns));
    for (let i = 0; i < rank; i++) {
      const factor = b[row * rank + i]!;
      if (factor === 0) continue;
      for (let k = 0; k < columns; k++) sum[k]! += factor * a[i * columns + k]!;
    }
    norms[row] = length(sum);
  }
  return norms;
}

/** Numbers in [0, 1) that follow from the name alone, on every machine. */
function randomSource(name: string): () => number {
  let pool = Buffer.alloc(0);
  let block = 0;
  return () => {
    if (pool.length < 4) pool = createHash('sha256').update(`${name}\0${block++}`).digest();
    const value = pool.readUInt32LE(0) / 2 ** 32;
    pool = pool.subarray(4);
    return value;
  };
}

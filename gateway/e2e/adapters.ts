/** Adapters made up for the end-to-end tests: random, small, and each different enough to be told from the others. */
import { join } from 'node:path';
import {
  type TensorData,
  type TensorType,
  writeAdapter,
} from '../../plugins/backends/native/safetensors_writer.ts';
import { randomSource } from './engine.ts';

const hidden = 576;
const feedForward = 1536;
/** [out, in] of the default base's linears. */
const shapes: Record<string, [number, number]> = {
  'self_attn.q_proj': [hidden, hidden],
  'self_attn.k_proj': [192, hidden],
  'self_attn.v_proj': [192, hidden],
  'self_attn.o_proj': [hidden, hidden],
  'mlp.gate_proj': [feedForward, hidden],
  'mlp.up_proj': [feedForward, hidden],
  'mlp.down_proj': [hidden, feedForward],
};

export interface Recipe {
  seed: number;
  rank: number;
  type: TensorType;
  modules: string[];
  layers: number[];
}

/** Recipe number `i`: ranks 1 to 16, all types, few or all linears of some layers. */
export function recipe(i: number): Recipe {
  const all = Object.keys(shapes);
  return {
    seed: i + 1,
    rank: 1 + ((i * 5) % 16),
    type: (['F16', 'F32', 'BF16'] as const)[i % 3]!,
    modules: i % 4 === 3 ? all : [all[i % 7]!, all[(i + 2) % 7]!],
    layers: [(i * 7) % 30, (i * 11 + 3) % 30, (i * 13 + 17) % 30],
  };
}

/** Writes a PEFT folder and gives its path. */
export async function makeAdapter(
  parent: string,
  name: string,
  { seed, rank, type, modules, layers }: Recipe,
): Promise<string> {
  const random = randomSource(seed);
  const values = (count: number, size: number) =>
    Float32Array.from({ length: count }, () => (random() * 2 - 1) * size);
  const tensors = new Map<string, TensorData>();
  const unique = [...new Set(layers)];
  for (const layer of unique) {
    for (const module of modules) {
      const [out, input] = shapes[module]!;
      const prefix = `base_model.model.model.layers.${layer}.${module}`;
      tensors.set(`${prefix}.lora_A.weight`, {
        type,
        shape: [rank, input],
        values: values(rank * input, 0.1),
      });
      tensors.set(`${prefix}.lora_B.weight`, { type, shape: [out, rank], values: values(out * rank, 0.4) });
    }
  }
  const folder = join(parent, name);
  const config = {
    r: rank,
    lora_alpha: 6 * Math.sqrt(rank),
    target_modules: modules,
    layers_to_transform: unique,
  };
  await writeAdapter(folder, config, tensors);
  return folder;
}

/** `count` adapters named `PREFIX-000` and so on below `parent`; gives their names. */
export async function makeAdapters(parent: string, count: number, prefix = 'made'): Promise<string[]> {
  const names = Array.from({ length: count }, (_, i) => `${prefix}-${String(i).padStart(3, '0')}`);
  for (const [i, name] of names.entries()) await makeAdapter(parent, name, recipe(i));
  return names;
}

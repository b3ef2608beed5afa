/** Synthetic LoRA adapters in PEFT's format, drawn from a seed: the same files on every machine. */
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { seeded } from './random.ts';

/** The sizes of a Llama-family base that its linears follow from. */
export interface BaseShape {
  layers: number;
  hidden: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  feedForward: number;
  vocabulary: number;
}

/** Each linear of a block: its path there, inputs, outputs. */
export function linears(shape: BaseShape): Array<[path: string, inputs: number, outputs: number]> {
  const { hidden, feedForward, headDim } = shape;
  const queries = shape.heads * headDim;
  const keys = shape.kvHeads * headDim;
  return [
    ['self_attn.q_proj', hidden, queries],
    ['self_attn.k_proj', hidden, keys],
    ['self_attn.v_proj', hidden, keys],
    ['self_attn.o_proj', queries, hidden],
    ['mlp.gate_proj', hidden, feedForward],
    ['mlp.up_proj', hidden, feedForward],
    ['mlp.down_proj', feedForward, hidden],
  ];
}

export const adapterName = (index: number) => `bench-${String(index).padStart(3, '0')}`;

/** What such an adapter's values take, in bfloat16. */
export function adapterBytes(shape: BaseShape, rank: number): number {
  const values = linears(shape).reduce((sum, [, inputs, outputs]) => sum + rank * (inputs + outputs), 0);
  return 2 * shape.layers * values;
}

/** Folders of `count` adapters on all linears in bfloat16; those that are there already are kept. */
export function makeAdapters(folder: string, shape: BaseShape, rank: number, count: number): string[] {
  return Array.from({ length: count }, (_, index) => {
    const target = join(folder, adapterName(index));
    if (!existsSync(target)) {
      // Under its name only when whole, so that a run that was cut leaves no half an adapter.
      const part = `${target}.part`;
      rmSync(part, { recursive: true, force: true });
      mkdirSync(part, { recursive: true });
      writeFileSync(join(part, 'adapter_model.safetensors'), adapterTensors(shape, rank, 1000 + index));
      writeFileSync(
        join(part, 'adapter_config.json'),
        JSON.stringify(adapterConfig(shape, rank), undefined, 2),
      );
      renameSync(part, target);
    }
    return target;
  });
}

/** Of an adapter on all linears, or on those with the given names. */
export function adapterConfig(
  shape: BaseShape,
  rank: number,
  modules: string[] = linears(shape).map(([path]) => path.split('.')[1]!),
): object {
  return {
    peft_type: 'LORA',
    task_type: 'CAUSAL_LM',
    base_model_name_or_path: 'base',
    r: rank,
    lora_alpha: 2 * rank,
    lora_dropout: 0,
    bias: 'none',
    fan_in_fan_out: false,
    inference_mode: true,
    use_rslora: false,
    use_dora: false,
    modules_to_save: null,
    target_modules: modules,
  };
}

/** A safetensors file: the length of the header, the header, the values. */
export function adapterTensors(shape: BaseShape, rank: number, seed: number): Buffer {
  const header: Record<string, object> = { __metadata__: { format: 'pt' } };
  const parts: Array<[values: number, largest: number]> = [];
  let offset = 0;
  const add = (name: string, rows: number, columns: number, largest: number) => {
    const end = offset + rows * columns * 2;
    header[name] = { dtype: 'BF16', shape: [rows, columns], data_offsets: [offset, end] };
    parts.push([rows * columns, largest]);
    offset = end;
  };
  for (let layer = 0; layer < shape.layers; layer++) {
    for (const [path, inputs, outputs] of linears(shape)) {
      const name = `base_model.model.model.layers.${layer}.${path}`;
      // Small enough to keep the base's scale, large enough to change what it says.
      add(`${name}.lora_A.weight`, rank, inputs, 1 / Math.sqrt(inputs));
      add(`${name}.lora_B.weight`, outputs, rank, 0.01);
    }
  }
  return Buffer.concat([safetensorsHead(header), drawValues(parts, offset / 2, seed)]);
}

/** What stands before the values: the length of the header, the header. */
export function safetensorsHead(header: Record<string, object>): Buffer {
  const text = JSON.stringify(header);
  const json = Buffer.from(text.padEnd(Math.ceil(text.length / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json]);
}

/** Uniform values between -largest and largest for each part, in bfloat16. */
export function drawValues(
  parts: Array<[values: number, largest: number]>,
  total: number,
  seed: number,
): Buffer {
  const random = seeded(seed);
  const single = new Float32Array(1);
  const bits = new Uint32Array(single.buffer);
  const values = new Uint16Array(total);
  let at = 0;
  for (const [count, largest] of parts) {
    for (let i = 0; i < count; i++) {
      single[0] = (random() * 2 - 1) * largest;
      values[at++] = bits[0]! >>> 16; // bfloat16 is a float32's upper half.
    }
  }
  return Buffer.from(values.buffer);
}

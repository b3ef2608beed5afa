/**
 * Thousands of adapters that are all different and quickly made: one block of random values, turned a little further for each.
 * On the queries and values of every layer, in bfloat16; the same files on every machine.
 */
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  writeFileSync,
  writevSync,
} from 'node:fs';
import { join } from 'node:path';
import {
  adapterConfig,
  adapterName,
  type BaseShape,
  drawValues,
  linears,
  safetensorsHead,
} from './synthetic_adapters.ts';

const modules = ['q_proj', 'v_proj'];
/** Values that each adapter is turned further than the one before: a prime that divides no block's size here. */
const turn = 7919;

/** Names and folders of `count` adapters below `folder`; those that are there already are kept. */
export function makeRotatedAdapters(
  folder: string,
  shape: BaseShape,
  rank: number,
  count: number,
): Array<{ name: string; path: string }> {
  let plan: Plan | undefined;
  mkdirSync(folder, { recursive: true });
  return Array.from({ length: count }, (_, index) => {
    const name = adapterName(index);
    const path = join(folder, name);
    if (!existsSync(path)) {
      plan ??= planOf(shape, rank);
      writeRotated(path, plan, index);
    }
    return { name, path };
  });
}

interface Plan {
  config: string;
  head: Buffer;
  /** All lora_A, then all lora_B. */
  blocks: [Buffer, Buffer];
}

function planOf(shape: BaseShape, rank: number): Plan {
  const chosen = linears(shape).filter(([path]) => modules.includes(path.split('.')[1]!));
  const header: Record<string, object> = { __metadata__: { format: 'pt' } };
  let offset = 0;
  const lay = (part: 'A' | 'B') => {
    const begin = offset;
    for (let layer = 0; layer < shape.layers; layer++) {
      for (const [path, inputs, outputs] of chosen) {
        const [rows, columns] = part === 'A' ? [rank, inputs] : [outputs, rank];
        const end = offset + rows * columns * 2;
        const name = `base_model.model.model.layers.${layer}.${path}.lora_${part}.weight`;
        header[name] = { dtype: 'BF16', shape: [rows, columns], data_offsets: [offset, end] };
        offset = end;
      }
    }
    return (offset - begin) / 2;
  };
  const [a, b] = [lay('A'), lay('B')];
  return {
    config: JSON.stringify(adapterConfig(shape, rank, modules)),
    head: safetensorsHead(header),
    blocks: [drawValues([[a, 1 / Math.sqrt(shape.hidden)]], a, 1), drawValues([[b, 0.01]], b, 2)],
  };
}

function writeRotated(path: string, { config, head, blocks }: Plan, index: number): void {
  const part = `${path}.part`;
  rmSync(part, { recursive: true, force: true });
  mkdirSync(part);
  const turned = blocks.flatMap((block) => {
    const at = (2 * turn * index) % block.length;
    return [block.subarray(at), block.subarray(0, at)].filter((piece) => piece.length > 0);
  });
  const pieces = [head, ...turned];
  const file = openSync(join(part, 'adapter_model.safetensors'), 'w');
  const written = writevSync(file, pieces);
  closeSync(file);
  const bytes = pieces.reduce((sum, piece) => sum + piece.length, 0);
  if (written !== bytes) throw new Error(`Only ${written} of ${bytes} bytes of ${path} could be written.`);
  writeFileSync(join(part, 'adapter_config.json'), config);
  renameSync(part, path);
}

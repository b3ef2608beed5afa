/** The modules of an adapter as its own files say: those of a training that was not ours to see. */
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { LinearName, TrainedModule } from '../../../native/binding/index.ts';

const linears: Record<string, LinearName> = {
  q_proj: 'q',
  k_proj: 'k',
  v_proj: 'v',
  o_proj: 'o',
  gate_proj: 'gate',
  up_proj: 'up',
  down_proj: 'down',
};
const headBytes = 16 * 2 ** 20;

/** In the order of layers, and in each of its linears as the trainer has them. Throws a sentence where they cannot be told. */
export async function modulesOf(folder: string): Promise<TrainedModule[]> {
  const config = JSON.parse(await readFile(join(folder, 'adapter_config.json'), 'utf8'));
  const path = join(folder, 'adapter_model.safetensors');
  const modules: TrainedModule[] = [];
  for (const [name, { shape }] of Object.entries(await headOf(path))) {
    const [, layer, linear] = /\.layers\.(\d+)\.\w+\.(\w+)\.lora_A\.weight$/.exec(name) ?? [];
    if (!layer) continue;
    const known = linears[linear!];
    if (!known) throw new Error(`${path} changes '${linear}', whose gradients are not known here.`);
    const rank = shape[0]!;
    const scaling = config.lora_alpha / (config.use_rslora ? Math.sqrt(rank) : rank);
    modules.push({ layer: Number(layer), linear: known, rank, scaling });
  }
  const order = Object.values(linears);
  return modules.sort((a, b) => a.layer - b.layer || order.indexOf(a.linear) - order.indexOf(b.linear));
}

async function headOf(path: string): Promise<Record<string, { shape: number[] }>> {
  const file = await open(path);
  try {
    const length = Buffer.alloc(8);
    await file.read(length, 0, 8, 0);
    const bytes = Number(length.readBigUInt64LE());
    if (bytes > headBytes) throw new Error(`${path} is no safetensors file: its header has ${bytes} bytes.`);
    const { buffer } = await file.read(Buffer.alloc(bytes), 0, bytes, 8);
    const { __metadata__: _, ...tensors } = JSON.parse(buffer.toString('utf8'));
    return tensors;
  } finally {
    await file.close();
  }
}

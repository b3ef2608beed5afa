/** What a job's process is given: its files as tokens, and its settings. Gone when the job has ended, as texts may have to be. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  attributionFiles,
  type BaseWeights,
  type ExampleOrigin,
  type ModelText,
} from '../../gateway/contract/index.ts';
import { encodeItems } from './data_file.ts';
import { type Item, type ReadOptions, readItems } from './examples.ts';
import { generalText } from './general_text.ts';
import { writeWhole } from './job_folders.ts';
import type { Recipe } from './recipe.ts';
import { layersOf } from './recipe_trainer.ts';
import { originsFile, writeOrigins } from './traced.ts';
import type { WorkerJob } from './worker.ts';

/** A file that examples come from. */
export interface Source {
  /** A file's id, or "datanet:NAME@SNAPSHOT". */
  id: string;
  content(): AsyncIterable<Uint8Array> | Promise<AsyncIterable<Uint8Array>>;
  /** Who gave each line, in order; absent where nobody is named. */
  origins?(): AsyncIterable<ExampleOrigin>;
}

/** Which file it was, for whoever makes the same adapter again. */
export interface DataRecord {
  file: string;
  /** Of a Datanet's. */
  snapshot?: string;
  /** Of its bytes, hex. */
  sha256: string;
  examples: number;
  /** Who gave them, where the file says it. */
  contributors?: number;
}

/** A file's examples. Who gave them is kept in `folder`, where there is one and the file says it. */
export async function readData(
  source: Source,
  options: ReadOptions,
  folder?: string,
): Promise<{ items: Item[]; record: DataRecord }> {
  const hash = createHash('sha256');
  const hashed = async function* () {
    for await (const chunk of await source.content()) {
      hash.update(chunk);
      yield chunk;
    }
  };
  const { items, lines } = await readItems(hashed(), options);
  const contributors =
    folder && source.origins
      ? await writeOrigins(join(folder, originsFile), originsOf(source.origins(), lines))
      : undefined;
  const snapshot = /@([0-9a-f]{64})(?::|$)/.exec(source.id)?.[1];
  const record = {
    file: source.id,
    ...(snapshot ? { snapshot } : {}),
    sha256: hash.digest('hex'),
    examples: items.length,
    ...(contributors === undefined ? {} : { contributors }),
  };
  return { items, record };
}

/** Those of the lines that hold examples. */
async function* originsOf(all: AsyncIterable<ExampleOrigin>, lines: readonly number[]) {
  let number = 0;
  let found = 0;
  for await (const origin of all) {
    if (++number !== lines[found]) continue;
    found++;
    yield origin;
  }
  if (found < lines.length)
    throw new Error(`The training file does not say who gave its line ${lines[found]}.`);
}

export interface Inputs {
  train: Item[];
  validation: Item[];
  text: ModelText;
  weights: BaseWeights;
  /** The base's name. */
  base: string;
  recipe: Recipe;
  /** Id of the file to learn from. */
  source: string;
  threads: number;
  activationBytes: number;
  /** Of the base that it has to be; absent: any. */
  baseHash?: string;
}

const files = ['train.bin', 'validation.bin', 'general.bin', originsFile, 'job.json'];

/** job.json is written last: where it is, all is there. */
export async function writeInputs(folder: string, inputs: Inputs): Promise<void> {
  const { text, recipe, weights, base } = inputs;
  const general = generalText.map((paragraph) => {
    const tokens = Int32Array.from(text.encode(paragraph).slice(0, recipe.max_tokens));
    return { tokens, weights: Float32Array.from(tokens, (_, i) => (i === 0 ? 0 : 1)) };
  });
  const worker: WorkerJob = {
    weights,
    layers: await layersOf(weights),
    recipe,
    source: inputs.source,
    threads: inputs.threads,
    activationBytes: inputs.activationBytes,
    adapterConfig: adapterConfigOf(base, recipe),
    ...(inputs.baseHash ? { baseHash: inputs.baseHash } : {}),
  };
  await writeWhole(join(folder, 'train.bin'), encodeItems(inputs.train));
  await writeWhole(join(folder, 'validation.bin'), encodeItems(inputs.validation));
  await writeWhole(join(folder, 'general.bin'), encodeItems(general));
  await writeWhole(join(folder, 'job.json'), JSON.stringify(worker));
}

export const hasInputs = (folder: string) => existsSync(join(folder, 'job.json'));

/** What a job needs to go on, once it does not; with what a process that was killed left of it half written. */
export async function removeInputs(folder: string): Promise<void> {
  const needed = [...files, ...attributionFiles, 'checkpoint'];
  for (const name of await readdir(folder)) {
    if (needed.some((file) => name === file || name.startsWith(`${file}.`)))
      await rm(join(folder, name), { force: true });
  }
}

/** adapter_config.json, as PEFT reads it. */
export function adapterConfigOf(base: string, recipe: Recipe): Record<string, unknown> {
  const modules = {
    q: 'q_proj',
    k: 'k_proj',
    v: 'v_proj',
    o: 'o_proj',
    gate: 'gate_proj',
    up: 'up_proj',
    down: 'down_proj',
  };
  return {
    peft_type: 'LORA',
    task_type: 'CAUSAL_LM',
    base_model_name_or_path: base,
    bias: 'none',
    fan_in_fan_out: false,
    inference_mode: true,
    r: recipe.rank,
    lora_alpha: recipe.alpha,
    lora_dropout: recipe.dropout,
    use_rslora: recipe.rslora,
    target_modules: recipe.targets.map((linear) => modules[linear]).sort(),
  };
}

/** Whether a trained adapter is what its recipe gives: its files by their hashes, and by making it again. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  attributionFiles,
  type BaseWeights,
  corpusFile,
  type ModelText,
} from '../../gateway/contract/index.ts';
import { digestOf, filesOf, leaveAdapter, type RecipeFile, sumsFile } from './adapter.ts';
import type { Item } from './examples.ts';
import { type DataRecord, readData, type Source, writeInputs } from './inputs.ts';
import { Runner } from './runner.ts';
import type { WorkerEnd, WorkerMessage } from './worker.ts';

export function readRecipe(folder: string): RecipeFile {
  return JSON.parse(readFileSync(join(folder, 'recipe.json'), 'utf8')) as RecipeFile;
}

/** What of its files is not what SHA256SUMS says, a sentence each. */
export async function wrongFiles(folder: string): Promise<string[]> {
  const path = join(folder, sumsFile);
  if (!existsSync(path)) return [`There is no ${sumsFile} in ${folder}: no training of Colophon's left it.`];
  const kept = new Map(
    readFileSync(path, 'utf8')
      .trim()
      .split('\n')
      .map((line) => [line.slice(66), line.slice(0, 64)] as const),
  );
  const wrong: string[] = [];
  const lost = attributionFiles.filter((name) => kept.has(name));
  for (const name of new Set([...filesOf(folder), ...lost])) {
    const wanted = kept.get(name);
    if (!wanted) wrong.push(`${sumsFile} says nothing of ${name}.`);
    else if (!existsSync(join(folder, name))) wrong.push(`${name} is missing.`);
    else {
      const found = await digestOf(join(folder, name));
      if (found !== wanted) wrong.push(`${name} was changed: its SHA-256 is ${found}, not ${wanted}.`);
    }
  }
  return wrong;
}

/** What a recipe was trained on, and how it is read. */
export interface MadeOf {
  made: RecipeFile;
  training: Source;
  validation: Source | undefined;
  text: ModelText;
  signal?: AbortSignal;
}

/** Reads the data of a recipe again. What is not as recorded, a sentence each. `originsTo`: folders for who gave each example. */
export async function readAgain(
  { made, text, signal, ...of }: MadeOf,
  originsTo: { training?: string; validation?: string } = {},
): Promise<{ training: Item[]; validation: Item[] } | { faults: string[] }> {
  const { recipe } = made;
  const read = (source: Source, what: 'training' | 'validation', least?: number) =>
    readData(
      source,
      { text, recipe, what, ...(least ? { least } : {}), ...(signal ? { signal } : {}) },
      originsTo[what],
    );
  const training = await read(of.training, 'training');
  const validation = of.validation && (await read(of.validation, 'validation', 1));
  const data = { training: training.record, validation: validation?.record ?? null };
  const faults = (['training', 'validation'] as const).flatMap((what) =>
    otherData(what, made.data[what], data[what]),
  );
  return faults.length > 0 ? { faults } : { training: training.items, validation: validation?.items ?? [] };
}

export interface RetrainOptions extends MadeOf {
  /** An empty folder to work in. */
  folder: string;
  weights: BaseWeights;
  threads: number;
  activationBytes: number;
  onProgress?(message: Exclude<WorkerMessage, WorkerEnd>): void;
}

/** Reads the same data; what is not as recorded, a sentence each, or the folder of an adapter that was made of it. */
export async function retrain(options: RetrainOptions): Promise<{ adapter: string } | { faults: string[] }> {
  const { folder, made, signal } = options;
  const recipe = made.sweep ? { ...made.recipe, learning_rate: 'auto' as const } : made.recipe;
  const data = await readAgain(options, { training: folder });
  if ('faults' in data) return data;
  await writeInputs(folder, {
    ...options,
    train: data.training,
    validation: data.validation,
    base: made.base,
    baseHash: made.base_hash,
    recipe,
    source: made.data.training.file,
  });
  const runner = new Runner(folder, (message) => options.onProgress?.(message));
  const stop = () => runner.kill();
  signal?.addEventListener('abort', stop, { once: true });
  if (signal?.aborted) stop();
  const end = await runner.ended;
  signal?.removeEventListener('abort', stop);
  signal?.throwIfAborted();
  if (end.type === 'failed') return { faults: [end.sentence] };
  // Of a file that was given in a Datanet's stead only the bytes are known: they are those of the recipe.
  const { name, job, base, data: same } = made;
  return { adapter: await leaveAdapter(folder, { name, job, base, recipe, data: same }, end.state) };
}

function otherData(what: string, made: DataRecord | null, found: DataRecord | null): string[] {
  if (made?.sha256 === found?.sha256) return [];
  const named = (record: DataRecord | null) =>
    record ? `${record.examples} examples with the SHA-256 ${record.sha256}` : 'nothing';
  return [`The ${what} data are not those of the recipe: ${named(found)}, not ${named(made)}.`];
}

/** How another adapter differs from the one that was made: file, setting, step, tensor. Empty: not in a byte. */
export async function differences(made: string, again: string): Promise<string[]> {
  const found: string[] = [];
  for (const name of filesOf(made)) {
    // A file that was given in a Datanet's stead does not say who gave its lines.
    if (name === corpusFile && !existsSync(join(again, name))) continue;
    if ((await digestOf(join(made, name))) !== (await digestOf(join(again, name))))
      found.push(...differencesOf(name, made, again));
  }
  return found;
}

function differencesOf(name: string, made: string, again: string): string[] {
  const text = (folder: string) => readFileSync(join(folder, name), 'utf8');
  if (name.endsWith('.json')) return otherValues(name, '', JSON.parse(text(made)), JSON.parse(text(again)));
  if (name === 'training_log.jsonl') return [otherStep(text(made), text(again))];
  if (name.endsWith('.safetensors')) return otherTensors(join(made, name), join(again, name));
  return [`${name} is another one.`];
}

function otherValues(file: string, at: string, made: unknown, again: unknown): string[] {
  if (JSON.stringify(made) === JSON.stringify(again)) return [];
  const inside = (value: unknown) => typeof value === 'object' && value !== null && !Array.isArray(value);
  if (!inside(made) || !inside(again))
    return [`${file}: ${at || 'all'} is ${JSON.stringify(again)}, not ${JSON.stringify(made)}.`];
  const [a, b] = [made, again] as [Record<string, unknown>, Record<string, unknown>];
  const keys = [...new Set([...Object.keys(a), ...Object.keys(b)])];
  const found = keys.flatMap((key) => otherValues(file, at ? `${at}.${key}` : key, a[key], b[key]));
  return found.length > 0 ? found : [`${file} has its settings in another order.`];
}

function otherStep(made: string, again: string): string {
  const [a, b] = [made.trim().split('\n'), again.trim().split('\n')];
  const at = a.findIndex((line, i) => line !== b[i]);
  return `training_log.jsonl differs from step ${(at < 0 ? a.length : at) + 1} of ${a.length} on.`;
}

interface Tensor {
  dtype: string;
  shape: number[];
  bytes: Buffer;
}

/** By the safetensors format: a length of 8 bytes, a JSON header, the values. */
function tensorsOf(path: string): Map<string, Tensor> {
  const file = readFileSync(path);
  const start = 8 + Number(file.readBigUInt64LE());
  const header = JSON.parse(file.toString('utf8', 8, start)) as Record<string, unknown>;
  delete header.__metadata__;
  const entries = Object.entries(header) as Array<
    [string, { dtype: string; shape: number[]; data_offsets: [number, number] }]
  >;
  return new Map(
    entries.map(
      ([
        name,
        {
          dtype,
          shape,
          data_offsets: [from, to],
        },
      ]) => [name, { dtype, shape, bytes: file.subarray(start + from, start + to) }],
    ),
  );
}

function otherTensors(made: string, again: string): string[] {
  const file = 'adapter_model.safetensors';
  let a: Map<string, Tensor>;
  try {
    a = tensorsOf(made);
  } catch (error) {
    return [`${file} cannot be read: ${(error as Error).message}.`];
  }
  const b = tensorsOf(again);
  const names = [...new Set([...a.keys(), ...b.keys()])];
  const found = names.filter(
    (name) => !a.has(name) || !b.has(name) || !sameTensor(a.get(name)!, b.get(name)!),
  );
  if (found.length === 0) return [`${file} has the same tensors, written otherwise.`];
  const first = found[0]!;
  const how = a.has(first) && b.has(first) ? distance(a.get(first)!, b.get(first)!) : 'only one has it';
  return [`${file}: ${found.length} of ${names.length} tensors differ, first ${first} (${how}).`];
}

function sameTensor(a: Tensor, b: Tensor): boolean {
  return a.dtype === b.dtype && String(a.shape) === String(b.shape) && a.bytes.equals(b.bytes);
}

/** The greatest difference of two tensors' float32 values. */
function distance(a: Tensor, b: Tensor): string {
  if (a.dtype !== 'F32' || b.dtype !== 'F32' || a.bytes.length !== b.bytes.length)
    return `${b.dtype} ${b.shape}, not ${a.dtype} ${a.shape}`;
  let greatest = 0;
  for (let at = 0; at < a.bytes.length; at += 4)
    greatest = Math.max(greatest, Math.abs(a.bytes.readFloatLE(at) - b.bytes.readFloatLE(at)));
  return `by ${greatest} at most`;
}

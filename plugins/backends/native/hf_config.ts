/** A Hugging Face folder (config.json, safetensors, tokenizer files) as a base: its shape, its shards, its text. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { TextDefinition } from '../../../gateway/contract/index.ts';
import type { Hyperparameters } from '../../../native/binding/index.ts';

type Fields = Record<string, unknown>;

export interface HuggingFaceBase {
  paths: string[];
  hyperparameters: Hyperparameters;
  text: TextDefinition;
}

/** Reads everything but the weights; throws a sentence naming file and field. */
export async function readHuggingFaceBase(folder: string): Promise<HuggingFaceBase> {
  const path = join(folder, 'config.json');
  const config = await readJson(path);
  const hyperparameters = readHyperparameters(config, path);
  return {
    paths: await findShards(folder),
    hyperparameters,
    text: await readText(folder, config, hyperparameters.vocabulary),
  };
}

/** config.json's fields as the engine's shape; throws where the architecture or a feature is not supported. */
export function readHyperparameters(config: Fields, path: string): Hyperparameters {
  const type = config.model_type;
  const architectures = config.architectures;
  if (type !== 'llama' || (Array.isArray(architectures) && !architectures.includes('LlamaForCausalLM'))) {
    throw new Error(
      `${path} describes ${JSON.stringify(architectures ?? type)}; the architecture that is supported is LlamaForCausalLM (model_type "llama").`,
    );
  }
  for (const field of ['attention_bias', 'mlp_bias']) {
    if (config[field])
      throw new Error(`${path}: ${field} is ${config[field]}; linears with a bias are not supported.`);
  }
  const activation = config.hidden_act ?? 'silu';
  if (activation !== 'silu')
    throw new Error(`${path}: hidden_act is ${JSON.stringify(activation)}; only "silu" is supported.`);
  if (config.quantization_config) {
    throw new Error(`${path}: quantization_config is set; quantised bases are supported as GGUF files.`);
  }
  const count = (field: string, fallback?: number): number => {
    const value = config[field] ?? fallback;
    if (typeof value === 'number' && Number.isInteger(value) && value > 0) return value;
    throw new Error(`${path}: ${field} is ${JSON.stringify(value)}; it must be a whole number above 0.`);
  };
  const number = (fields: Fields, field: string, fallback?: number): number => {
    const value = fields[field] ?? fallback;
    if (typeof value === 'number' && value > 0) return value;
    throw new Error(`${path}: ${field} is ${JSON.stringify(value)}; it must be a number above 0.`);
  };
  const heads = count('num_attention_heads');
  const hidden = count('hidden_size');
  // transformers 5 writes rope_theta and the scaling's fields together under rope_parameters.
  const rope = (config.rope_parameters ?? config.rope_scaling ?? {}) as Fields;
  return {
    architecture: 'llama',
    layers: count('num_hidden_layers'),
    hidden,
    heads,
    kvHeads: count('num_key_value_heads', heads),
    headDim: count('head_dim', hidden / heads),
    feedForward: count('intermediate_size'),
    vocabulary: count('vocab_size'),
    context: count('max_position_embeddings', 2048),
    ropeBase: number({ rope_theta: rope.rope_theta ?? config.rope_theta }, 'rope_theta', 10000),
    ropeScaling: readRopeScaling(rope, path, number),
    normEps: number(config, 'rms_norm_eps', 1e-6),
    tiedHead: config.tie_word_embeddings === true,
  };
}

function readRopeScaling(
  rope: Fields,
  path: string,
  number: (fields: Fields, field: string) => number,
): Hyperparameters['ropeScaling'] {
  const kind = rope.rope_type ?? rope.type ?? 'default';
  switch (kind) {
    case 'default':
      return undefined;
    case 'linear':
      return { kind: 'linear', factor: number(rope, 'factor') };
    case 'llama3':
      return {
        kind: 'llama3',
        factor: number(rope, 'factor'),
        lowFreqFactor: number(rope, 'low_freq_factor'),
        highFreqFactor: number(rope, 'high_freq_factor'),
        originalContext: number(rope, 'original_max_position_embeddings'),
      };
    default:
      throw new Error(
        `${path}: rope scaling of type ${JSON.stringify(kind)} is not supported; "linear" and "llama3" are.`,
      );
  }
}

/** The weights' files in a fixed order. */
async function findShards(folder: string): Promise<string[]> {
  const indexPath = join(folder, 'model.safetensors.index.json');
  if (await isFile(indexPath)) {
    const map = (await readJson(indexPath)).weight_map;
    if (typeof map !== 'object' || map === null) throw new Error(`${indexPath} has no weight_map.`);
    const names = [...new Set(Object.values(map as Fields))].sort();
    for (const name of names) {
      if (typeof name !== 'string' || basename(name) !== name || name.startsWith('.')) {
        throw new Error(
          `${indexPath}: the shard ${JSON.stringify(name)} is not the name of a file in this folder.`,
        );
      }
      if (!(await isFile(join(folder, name))))
        throw new Error(`${folder} lacks the shard ${name} that its index names.`);
    }
    return names.map((name) => join(folder, name as string));
  }
  const single = join(folder, 'model.safetensors');
  if (await isFile(single)) return [single];
  const names = await readdir(folder).catch(() => [] as string[]);
  const pickle = names.find((name) => /\.(?:bin|pt|pth)$/.test(name));
  throw new Error(
    `${folder} has no model.safetensors${pickle ? `; ${pickle} is a pickle, which can run code when it is opened, so it is never read` : ''}.`,
  );
}

async function readText(folder: string, config: Fields, vocabularySize: number): Promise<TextDefinition> {
  const tokenizer = await readJson(join(folder, 'tokenizer.json'));
  const tokenizerConfig = await readJson(join(folder, 'tokenizer_config.json'), {});
  const generation = await readJson(join(folder, 'generation_config.json'), {});
  const templatePath = join(folder, 'chat_template.jinja');
  const chatTemplate = (await isFile(templatePath))
    ? await readFile(templatePath, 'utf8')
    : defaultTemplate(tokenizerConfig.chat_template);
  const endTokenIds = [generation.eos_token_id ?? config.eos_token_id ?? []]
    .flat()
    .filter((id): id is number => Number.isInteger(id));
  return { tokenizer, tokenizerConfig, chatTemplate, endTokenIds, vocabularySize };
}

/** A tokenizer_config.json holds one template, or several by name. */
function defaultTemplate(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  if (!Array.isArray(value)) return undefined;
  const entry = value.find((item) => item?.name === 'default');
  return typeof entry?.template === 'string' ? entry.template : undefined;
}

async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isFile() === true;
}

async function readJson(path: string, fallback?: Fields): Promise<Fields> {
  if (fallback && !(await isFile(path))) return fallback;
  let value: unknown;
  try {
    value = JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    throw new Error(`${path} cannot be read as JSON (${(error as Error).message}).`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Error(`${path} must hold a JSON object.`);
  return value as Fields;
}

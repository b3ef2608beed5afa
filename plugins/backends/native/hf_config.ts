/** A Hugging Face folder (config.json, safetensors, tokenizer files) as a base: its shards and its text. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { TextDefinition } from '../../../gateway/contract/index.ts';
import type { Hyperparameters } from '../../../native/binding/index.ts';
import { readHyperparameters } from './hf_hyperparameters.ts';

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

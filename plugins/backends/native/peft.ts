/**
 * A PEFT folder (adapter_config.json + adapter_model.safetensors) to what the engine needs: which linears it changes,
 * with which rank and scaling. The rules are those of PEFT 0.21: what PEFT resolves, this resolves alike; what the
 * engine cannot do is refused by a sentence that names the field.
 */
import { createHash } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { adapterHash } from '../../../gateway/contract/index.ts';
import type {
  AdaptedModule,
  AdapterSpec,
  Hyperparameters,
  LinearName,
} from '../../../native/binding/index.ts';
import { AdapterError } from './errors.ts';
import { checkSupported, type PeftConfig } from './peft_config.ts';
import { PythonPattern } from './python_pattern.ts';

export const CONFIG_FILE = 'adapter_config.json';
export const TENSORS_FILE = 'adapter_model.safetensors';
/** Real ones have 1 to 20 kB. */
const MAX_CONFIG_BYTES = 4 << 20;
/** Of all regular expressions in one field together: bounds the time that matching takes. */
const MAX_PATTERN_CHARACTERS = 8192;

/** Module paths below `model.layers.N.` of the linears that an adapter may change. */
const linearOfPath: Record<string, LinearName> = {
  'self_attn.q_proj': 'q',
  'self_attn.k_proj': 'k',
  'self_attn.v_proj': 'v',
  'self_attn.o_proj': 'o',
  'mlp.gate_proj': 'gate',
  'mlp.up_proj': 'up',
  'mlp.down_proj': 'down',
};
/** In the order in which modules are resolved within a layer. */
export const linearOrder: readonly LinearName[] = Object.values(linearOfPath);
const otherPaths = ['self_attn', 'mlp', 'mlp.act_fn', 'input_layernorm', 'post_attention_layernorm'];

interface Module {
  path: string;
  /** Absent for modules that are no linear of a block. */
  linear?: { layer: number; name: LinearName };
}

export interface ReadAdapter {
  spec: AdapterSpec;
  config: PeftConfig;
  /** Bytes of its two files. */
  bytes: number;
}

/**
 * Reads the adapter in `folder` for a base of this shape. `hashFile` gives a file's SHA-256, hex, off the main thread.
 * Throws AdapterError.
 */
export async function readAdapter(
  folder: string,
  shape: Hyperparameters,
  name: string,
  hashFile: (path: string) => Promise<string>,
): Promise<ReadAdapter> {
  const configPath = join(folder, CONFIG_FILE);
  const tensorsPath = join(folder, TENSORS_FILE);
  const configBytes = await readConfig(folder, configPath);
  const tensors = await stat(tensorsPath).catch(() => undefined);
  if (!tensors?.isFile()) throw await missingTensors(folder);
  const config = parseConfig(configBytes, configPath);
  const modules = resolveModules(config, shape, configPath);
  const tensorsHash = await hashFile(tensorsPath);
  const configHash = createHash('sha256').update(configBytes).digest();
  return {
    spec: {
      name,
      tensorsPath,
      contentHash: adapterHash(configHash, Buffer.from(tensorsHash, 'hex')),
      tensorsHash,
      modules,
    },
    config,
    bytes: configBytes.length + tensors.size,
  };
}

async function readConfig(folder: string, path: string): Promise<Buffer> {
  const missing = () =>
    new AdapterError('not_found', `There is no adapter at ${folder}: it has no ${CONFIG_FILE}.`);
  const info = await stat(path).catch(() => undefined);
  if (!info?.isFile()) throw missing();
  if (info.size > MAX_CONFIG_BYTES) {
    throw new AdapterError(
      'bad_adapter',
      `${path} has ${info.size} bytes; an adapter's config has at most ${MAX_CONFIG_BYTES}.`,
    );
  }
  return readFile(path).catch((error: NodeJS.ErrnoException) => {
    // Deleted since.
    if (error.code === 'ENOENT') throw missing();
    throw new AdapterError('bad_adapter', `${path} cannot be read (${error.message}).`);
  });
}

async function missingTensors(folder: string): Promise<AdapterError> {
  const names: string[] = await readdir(folder).catch(() => []);
  const pickle = names.find((name) => /^(?:adapter_model|pytorch_model).*\.(?:bin|pt|pth|pkl)$/.test(name));
  if (!pickle) return new AdapterError('bad_adapter', `${folder} has no ${TENSORS_FILE}.`);
  return new AdapterError(
    'bad_adapter',
    `${folder} has ${pickle} but no ${TENSORS_FILE}. A .bin file is a pickle, which can run code when it is opened, so it ` +
      'is never read; save the adapter again with save_pretrained(..., safe_serialization=True).',
  );
}

/** The config's fields, checked; throws AdapterError naming the file and the field. */
export function parseConfig(bytes: Uint8Array, path: string): PeftConfig {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw new AdapterError('bad_adapter', `${path} is not valid JSON (${(error as Error).message}).`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new AdapterError('bad_adapter', `${path} must hold a JSON object.`);
  }
  return checkSupported(value as Record<string, unknown>, path);
}

/** Every linear that the config adapts, in order of layer and linear; throws AdapterError. */
export function resolveModules(config: PeftConfig, shape: Hyperparameters, path: string): AdaptedModule[] {
  const modules = modulesOf(shape);
  const targets = matchTargets(config, modules, path);
  const adapted = targets.filter((module) => module.linear);
  const other = targets.find((module) => !module.linear);
  if (other) {
    throw new AdapterError(
      'bad_adapter',
      `${path}: target_modules matches ${other.path}; adapters are supported on the linears of the blocks ` +
        `(${linearOrder.join(', ')}), not there.`,
    );
  }
  if (adapted.length === 0) {
    throw new AdapterError(
      'bad_adapter',
      `${path}: target_modules (${preview(config.targetModules)}) matches no module of the base, which has ${shape.layers} ` +
        `layers with modules like ${modules.find((module) => module.linear)?.path ?? 'none'}.`,
    );
  }
  const rankOf = patternValues(config.rankPattern, 'rank_pattern', path);
  const alphaOf = patternValues(config.alphaPattern, 'alpha_pattern', path);
  return adapted.map((module) => {
    const { linear } = module;
    const rank = rankOf(module) ?? config.rank;
    const alpha = alphaOf(module) ?? config.alpha;
    return {
      layer: linear!.layer,
      linear: linear!.name,
      rank,
      scaling: alpha / (config.rslora ? Math.sqrt(rank) : rank),
      dora: config.dora,
    };
  });
}

/** All modules of a Hugging Face Llama, as named_modules() gives their paths. */
function modulesOf(shape: Hyperparameters): Module[] {
  const modules: Module[] = [
    'model',
    'model.embed_tokens',
    'model.layers',
    'model.norm',
    'model.rotary_emb',
    'lm_head',
  ].map((path) => ({ path }));
  for (let layer = 0; layer < shape.layers; layer++) {
    const prefix = `model.layers.${layer}`;
    modules.push({ path: prefix }, ...otherPaths.map((path) => ({ path: `${prefix}.${path}` })));
    for (const [path, name] of Object.entries(linearOfPath)) {
      modules.push({ path: `${prefix}.${path}`, linear: { layer, name } });
    }
  }
  return modules;
}

/** PEFT's check_target_module_exists over all modules. */
function matchTargets(config: PeftConfig, modules: Module[], path: string): Module[] {
  const { targetModules, excludeModules } = config;
  const excluded = selector(excludeModules, 'exclude_modules', path);
  const candidates = modules.filter((module) => !excluded(module));
  if (typeof targetModules === 'string') {
    if (targetModules.toLowerCase() === 'all-linear') return candidates.filter((module) => module.linear);
    return candidates.filter(selector(targetModules, 'target_modules', path));
  }
  const wanted = new Set(targetModules);
  const inLayers = layerFilter(config, path);
  // PEFT asks for the layer only where the name matched as a suffix.
  return candidates.filter(
    (module) => wanted.has(module.path) || (endsWithAny(module.path, targetModules) && inLayers(module)),
  );
}

function endsWithAny(path: string, names: readonly string[]): boolean {
  return names.some((name) => path.endsWith(`.${name}`));
}

/** Matches a list by name or suffix, a string as a regular expression over the whole path. */
function selector(
  names: string | readonly string[],
  field: string,
  path: string,
): (module: Module) => boolean {
  if (typeof names !== 'string') {
    const exact = new Set(names);
    return (module) => exact.has(module.path) || endsWithAny(module.path, names);
  }
  const pattern = compile(names, field, path);
  return (module) => pattern.fullMatch(module.path);
}

/** layers_to_transform and layers_pattern: the first numbered segment of the path counts. */
function layerFilter(config: PeftConfig, path: string): (module: Module) => boolean {
  const { layersToTransform, layersPattern } = config;
  if (layersToTransform.length === 0) return () => true;
  const wanted = new Set(layersToTransform);
  const patterns = layersPattern.map((pattern) => compile(pattern, 'layers_pattern', path));
  return ({ path: name }) => {
    const layer =
      patterns.length === 0
        ? /^.*?\.[^.]*\.(\d+)\./.exec(name)?.[1]
        : patterns.map((pattern) => layerBehind(pattern, name)).find((found) => found !== undefined);
    return layer !== undefined && wanted.has(Number(layer));
  };
}

/** The number behind what the pattern matches: re.match(rf"(?:^|.*?\.){pattern}\.(?P<idx>\d+)\.", name). */
function layerBehind(pattern: PythonPattern, name: string): string | undefined {
  for (const start of segmentStarts(name)) {
    for (const end of pattern.ends(name, start)) {
      const index = /^\.(\d+)\./.exec(name.slice(end));
      if (index) return index[1];
    }
  }
  return undefined;
}

/** The beginning and every position behind a dot. */
function segmentStarts(name: string): number[] {
  return [0, ...[...name.matchAll(/\./g)].map(({ index }) => index + 1)];
}

/** PEFT's get_pattern_key, re.match(rf"(.*\.)?({key})$", path): the value of the first key, in the file's order, that fits. */
function patternValues(
  values: ReadonlyMap<string, number>,
  field: string,
  path: string,
): (module: Module) => number | undefined {
  const entries = [...values].map(([key, value]) => ({
    key,
    value,
    pattern: isPlain(key) ? undefined : compile(key, field, path),
  }));
  const characters = entries.reduce((sum, { key, pattern }) => sum + (pattern ? key.length : 0), 0);
  if (characters > MAX_PATTERN_CHARACTERS) {
    throw new AdapterError(
      'bad_adapter',
      `${path}: ${field}: its regular expressions have ${characters} characters; at most ${MAX_PATTERN_CHARACTERS} are supported.`,
    );
  }
  return ({ path: name }) => {
    const starts = segmentStarts(name);
    return entries.find(({ key, pattern }) =>
      pattern ? starts.some((start) => pattern.fullMatch(name, start)) : endsPlainly(name, key, starts),
    )?.value;
  };
}

/** Most keys are names: letters, digits and dots, of which each dot matches any character. */
function isPlain(key: string): boolean {
  return /^[\w.]+$/.test(key);
}

function endsPlainly(name: string, key: string, starts: readonly number[]): boolean {
  const start = name.length - key.length;
  if (!starts.includes(start)) return false;
  for (let i = 0; i < key.length; i++) if (key[i] !== '.' && key[i] !== name[start + i]) return false;
  return true;
}

function compile(pattern: string, field: string, path: string): PythonPattern {
  try {
    return new PythonPattern(pattern);
  } catch (error) {
    throw new AdapterError(
      'bad_adapter',
      `${path}: ${field}: the pattern ${preview(pattern)} ${(error as Error).message}.`,
    );
  }
}

/** A value as JSON, cut to what a sentence bears. */
export function preview(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

/** The fields of an adapter_config.json that matter for serving, checked one by one. */
import { AdapterError } from './errors.ts';

/** Larger ranks exist nowhere and would only hide a mistake. */
const MAX_RANK = 4096;
const MAX_ALPHA = 1e6;
const MAX_PATTERNS = 4096;

export interface PeftConfig {
  rank: number;
  alpha: number;
  rslora: boolean;
  dora: boolean;
  /** A list of names, a regular expression, or "all-linear". */
  targetModules: string | string[];
  excludeModules: string | string[];
  layersToTransform: number[];
  layersPattern: string[];
  /** In the order of the file, which decides where several match. */
  rankPattern: Map<string, number>;
  alphaPattern: Map<string, number>;
  baseModel: string | undefined;
}

/** Fields that change what an adapter computes and that the engine does not compute, with what to do instead. */
const refused: Record<string, string> = {
  modules_to_save: 'whole modules beside the LoRA weights are not supported; train without modules_to_save',
  trainable_token_indices: 'trained token embeddings are not supported',
  target_parameters: 'LoRA on parameters that are no linear is not supported; use target_modules',
  layer_replication: 'replicated layers are not supported',
  alora_invocation_tokens: 'activated LoRA (aLoRA) is not supported',
  megatron_config: "Megatron's parallel linears are not supported",
  use_qalora: 'QALoRA is not supported',
  use_bdlora: 'block-diagonal LoRA is not supported',
  lora_bias: 'a bias on lora_B is not supported; train with lora_bias false',
  fan_in_fan_out: 'it is for Conv1D layers, which a Llama has not; set it to false',
  arrow_config: 'Arrow routing is not supported',
  kasa_config: 'KaSA is not supported',
  velora_config: 'VeLoRA is not supported',
  monteclora_config: 'MonteCLoRA is not supported',
};

/** Initialisations after which PEFT changes the base's own weights when it loads the adapter. */
const baseChangingInit = /^(?:pissa|corda|olora|loftq|lora_ga)/i;

/** Reads the known fields; unknown ones are ignored, as PEFT does. Throws AdapterError naming the field. */
export function checkSupported(fields: Record<string, unknown>, path: string): PeftConfig {
  const reader = new FieldReader(fields, path);
  const type = fields.peft_type;
  if (typeof type !== 'string' || type.toUpperCase() !== 'LORA') {
    reader.fail('peft_type', 'only adapters of type "LORA" are supported');
  }
  for (const [field, sentence] of Object.entries(refused)) {
    if (!isEmpty(fields[field])) reader.fail(field, sentence);
  }
  const bias = fields.bias ?? 'none';
  if (bias !== 'none') reader.fail('bias', 'trained biases are not supported; it must be "none"');
  const task = fields.task_type;
  if (task !== undefined && task !== null && task !== 'CAUSAL_LM') {
    reader.fail('task_type', 'only "CAUSAL_LM" is served');
  }
  const init = fields.init_lora_weights;
  if (typeof init === 'string' && baseChangingInit.test(init)) {
    reader.fail(
      'init_lora_weights',
      'PEFT would change the base model itself when it loads this adapter; save it converted to a plain LoRA ' +
        '(save_pretrained with path_initial_model_for_weight_conversion)',
    );
  }
  const config: PeftConfig = {
    rank: reader.rank('r', fields.r ?? 8),
    alpha: reader.alpha('lora_alpha', fields.lora_alpha ?? 8),
    rslora: reader.boolean('use_rslora'),
    dora: reader.boolean('use_dora'),
    // PEFT's own default for a Llama.
    targetModules: reader.names('target_modules') ?? ['q_proj', 'v_proj'],
    excludeModules: reader.names('exclude_modules') ?? [],
    layersToTransform: reader.layers('layers_to_transform'),
    layersPattern: [reader.names('layers_pattern') ?? []].flat(),
    rankPattern: reader.pattern('rank_pattern', (field, value) => reader.rank(field, value)),
    alphaPattern: reader.pattern('alpha_pattern', (field, value) => reader.alpha(field, value)),
    baseModel:
      typeof fields.base_model_name_or_path === 'string' ? fields.base_model_name_or_path : undefined,
  };
  for (const field of ['layers_to_transform', 'layers_pattern']) {
    if (typeof config.targetModules === 'string' && !isEmpty(fields[field])) {
      reader.fail(field, 'it cannot be used where target_modules is a string');
    }
  }
  if (config.layersPattern.length > 0 && config.layersToTransform.length === 0) {
    reader.fail('layers_pattern', 'it needs layers_to_transform beside it');
  }
  return config;
}

function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null || value === false || value === '') return true;
  return typeof value === 'object' && Object.keys(value).length === 0;
}

class FieldReader {
  readonly #fields: Record<string, unknown>;
  readonly #path: string;

  constructor(fields: Record<string, unknown>, path: string) {
    this.#fields = fields;
    this.#path = path;
  }

  fail(field: string, sentence: string, value: unknown = this.#fields[field]): never {
    const shown = value === undefined ? 'absent' : (JSON.stringify(value) ?? String(value));
    throw new AdapterError(
      'bad_adapter',
      `${this.#path}: ${field} is ${shown.length > 80 ? `${shown.slice(0, 77)}...` : shown}: ${sentence}.`,
    );
  }

  rank(field: string, value: unknown): number {
    if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= MAX_RANK) return value;
    return this.fail(field, `a rank is a whole number from 1 to ${MAX_RANK}`, value);
  }

  alpha(field: string, value: unknown): number {
    if (typeof value === 'number' && value > 0 && value <= MAX_ALPHA) return value;
    return this.fail(field, `alpha is a number above 0, at most ${MAX_ALPHA}`, value);
  }

  boolean(field: string): boolean {
    const value = this.#fields[field] ?? false;
    if (typeof value === 'boolean') return value;
    return this.fail(field, 'it must be true or false');
  }

  /** A string or a list of strings; undefined where absent. */
  names(field: string): string | string[] | undefined {
    const value = this.#fields[field];
    if (value === undefined || value === null) return undefined;
    if (typeof value === 'string') return value === '' ? [] : value;
    if (Array.isArray(value) && value.every((name) => typeof name === 'string')) {
      if (value.length <= MAX_PATTERNS) return value as string[];
      return this.fail(field, `at most ${MAX_PATTERNS} names are supported`);
    }
    return this.fail(field, 'it must be a string or a list of strings');
  }

  layers(field: string): number[] {
    const value = this.#fields[field];
    if (value === undefined || value === null) return [];
    const list = Array.isArray(value) ? value : [value];
    if (list.every((layer) => Number.isInteger(layer) && layer >= 0)) return list as number[];
    return this.fail(field, 'it must be a layer number or a list of them');
  }

  pattern(field: string, check: (field: string, value: unknown) => number): Map<string, number> {
    const value = this.#fields[field];
    if (value === undefined || value === null) return new Map();
    if (typeof value !== 'object' || Array.isArray(value))
      this.fail(field, 'it must be an object of pattern: value');
    const entries = Object.entries(value as object);
    if (entries.length > MAX_PATTERNS) this.fail(field, `at most ${MAX_PATTERNS} patterns are supported`);
    return new Map(entries.map(([key, item]) => [key, check(`${field}[${JSON.stringify(key)}]`, item)]));
  }
}

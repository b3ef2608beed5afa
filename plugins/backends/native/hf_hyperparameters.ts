/** config.json as the engine's shape, for each architecture that the engine has. */
import type { Hyperparameters } from '../../../native/binding/index.ts';

type Fields = Record<string, unknown>;

/** What the models of one model_type have, and what their configs mean where they say nothing. */
interface Family {
  /** The engine's name for it. */
  architecture: string;
  /** The class in `architectures`. */
  model: string;
  activation: { field: string; value: string };
  tiedHead?: boolean;
  headDim?: number;
  window?: (config: Config) => Hyperparameters['window'];
  attentionScale?: (config: Config) => number;
}

const silu = { field: 'hidden_act', value: 'silu' };

const families: Record<string, Family> = {
  llama: { architecture: 'llama', model: 'LlamaForCausalLM', activation: silu },
  mistral: {
    architecture: 'mistral',
    model: 'MistralForCausalLM',
    activation: silu,
    window: (config) => windowOf(config, config.optionalCount('sliding_window', 4096), () => true),
  },
  qwen2: { architecture: 'qwen2', model: 'Qwen2ForCausalLM', activation: silu, window: windowOfLateLayers },
  qwen3: {
    architecture: 'qwen3',
    model: 'Qwen3ForCausalLM',
    activation: silu,
    headDim: 128,
    window: windowOfLateLayers,
  },
  gemma3_text: {
    architecture: 'gemma3',
    model: 'Gemma3ForCausalLM',
    activation: { field: 'hidden_activation', value: 'gelu_pytorch_tanh' },
    tiedHead: true,
    headDim: 256,
    window: (config) => {
      const pattern = config.count('sliding_window_pattern', config.count('_sliding_window_pattern', 6));
      const window = windowOf(
        config,
        config.optionalCount('sliding_window', 4096),
        (layer) => (layer + 1) % pattern !== 0,
      );
      return (
        window && { ...window, ropeBase: config.ropeOf('sliding_attention', 'rope_local_base_freq').base }
      );
    },
    attentionScale: (config) => config.number('query_pre_attn_scalar', 256) ** -0.5,
  },
};

/** config.json's fields as the engine's shape; throws where the architecture or a feature is not supported. */
export function readHyperparameters(fields: Fields, path: string): Hyperparameters {
  const type = fields.model_type;
  const family = typeof type === 'string' && Object.hasOwn(families, type) ? families[type] : undefined;
  if (!family || (Array.isArray(fields.architectures) && !fields.architectures.includes(family.model))) {
    const known = Object.entries(families).map(([name, { model }]) => `${model} (model_type "${name}")`);
    throw new Error(
      `${path} describes ${JSON.stringify(fields.architectures ?? type)}; supported are ${known.join(', ')}.`,
    );
  }
  const config = new Config(fields, path);
  config.requireOneOf(family.activation.field, [family.activation.value, undefined]);
  for (const field of ['attn_logit_softcapping', 'final_logit_softcapping'])
    config.requireOneOf(field, [null, undefined]);
  config.requireOneOf('use_bidirectional_attention', [false, null, undefined]);
  if (fields.quantization_config) {
    throw new Error(`${path}: quantization_config is set; quantised bases are supported as GGUF files.`);
  }
  const heads = config.count('num_attention_heads');
  const hidden = config.count('hidden_size');
  const rope = config.ropeOf('full_attention', 'rope_theta');
  const window = family.window?.(config);
  const attentionScale = family.attentionScale?.(config);
  return {
    architecture: family.architecture,
    layers: config.count('num_hidden_layers'),
    hidden,
    heads,
    kvHeads: config.count('num_key_value_heads', heads),
    headDim: config.count('head_dim', family.headDim ?? hidden / heads),
    feedForward: config.count('intermediate_size'),
    vocabulary: config.count('vocab_size'),
    context: config.count('max_position_embeddings', 2048),
    ropeBase: rope.base,
    ropeScaling: rope.scaling,
    normEps: config.number('rms_norm_eps', 1e-6),
    tiedHead: (fields.tie_word_embeddings ?? family.tiedHead) === true,
    ...(attentionScale === undefined ? {} : { attentionScale }),
    ...(window ? { window } : {}),
  };
}

/** Typed looks at a config.json; what is wrong is said with file, field and value. */
class Config {
  readonly fields: Fields;
  readonly path: string;

  constructor(fields: Fields, path: string) {
    this.fields = fields;
    this.path = path;
  }

  count(field: string, fallback?: number, least = 1): number {
    const value = this.fields[field] ?? fallback;
    if (typeof value === 'number' && Number.isInteger(value) && value >= least) return value;
    throw this.#wrong(field, value, `it must be a whole number of at least ${least}`);
  }

  /** Undefined where the file says null; `fallback` where it says nothing. */
  optionalCount(field: string, fallback?: number): number | undefined {
    if (this.fields[field] === null) return undefined;
    return this.fields[field] === undefined ? fallback : this.count(field);
  }

  number(field: string, fallback?: number, fields = this.fields): number {
    const value = fields[field] ?? fallback;
    if (typeof value === 'number' && value > 0) return value;
    throw this.#wrong(field, value, 'it must be a number above 0');
  }

  requireOneOf(field: string, values: unknown[]): void {
    if (values.includes(this.fields[field])) return;
    throw this.#wrong(field, this.fields[field], `only ${JSON.stringify(values[0])} is supported`);
  }

  /** transformers 5 writes the base and the scaling's fields together under rope_parameters, by kind of layer where they differ. */
  ropeOf(kind: 'full_attention' | 'sliding_attention', baseField: string) {
    const { rope_parameters, rope_scaling } = this.fields as Record<string, Fields | null | undefined>;
    const of = rope_parameters?.[kind] as Fields | undefined;
    const rope = of ?? rope_parameters ?? (kind === 'full_attention' ? rope_scaling : undefined) ?? {};
    const fallback = this.fields.model_type === 'gemma3_text' && kind === 'full_attention' ? 1e6 : 10000;
    const base = this.number('rope_theta', fallback, {
      rope_theta: rope.rope_theta ?? this.fields[baseField],
    });
    return { base, scaling: this.#ropeScaling(rope) };
  }

  #ropeScaling(rope: Fields): Hyperparameters['ropeScaling'] {
    const kind = rope.rope_type ?? rope.type ?? 'default';
    switch (kind) {
      case 'default':
        return undefined;
      case 'linear':
        return { kind: 'linear', factor: this.number('factor', undefined, rope) };
      case 'llama3':
        return {
          kind: 'llama3',
          factor: this.number('factor', undefined, rope),
          lowFreqFactor: this.number('low_freq_factor', undefined, rope),
          highFreqFactor: this.number('high_freq_factor', undefined, rope),
          originalContext: this.number('original_max_position_embeddings', undefined, rope),
        };
      default:
        throw new Error(
          `${this.path}: rope scaling of type ${JSON.stringify(kind)} is not supported; "linear" and "llama3" are.`,
        );
    }
  }

  #wrong(field: string, value: unknown, what: string): Error {
    return new Error(`${this.path}: ${field} is ${JSON.stringify(value)}; ${what}.`);
  }
}

/** `layer_types` where the file has it, else `isWindowed`. Undefined where no layer has a window. */
function windowOf(
  config: Config,
  positions: number | undefined,
  isWindowed: (layer: number) => boolean,
): Hyperparameters['window'] {
  const count = config.count('num_hidden_layers');
  const types = config.fields.layer_types;
  if (positions === undefined) return undefined;
  if (types !== undefined && types !== null && (!Array.isArray(types) || types.length !== count)) {
    throw new Error(`${config.path}: layer_types must name the kind of each of the ${count} layers.`);
  }
  const layers = Array.from({ length: count }, (_, layer) => {
    if (!Array.isArray(types)) return isWindowed(layer);
    if (types[layer] === 'sliding_attention') return true;
    if (types[layer] === 'full_attention') return false;
    throw new Error(
      `${config.path}: layer_types[${layer}] is ${JSON.stringify(types[layer])}; "full_attention" and "sliding_attention" are supported.`,
    );
  });
  return layers.includes(true) ? { positions, layers } : undefined;
}

/** Qwen's: a switch, and the first layers without. */
function windowOfLateLayers(config: Config): Hyperparameters['window'] {
  if (config.fields.use_sliding_window !== true) return undefined;
  const first = config.count('max_window_layers', 28, 0);
  return windowOf(config, config.optionalCount('sliding_window', 4096), (layer) => layer >= first);
}

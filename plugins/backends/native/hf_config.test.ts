import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readHuggingFaceBase } from './hf_config.ts';
import { readHyperparameters } from './hf_hyperparameters.ts';
import { temporaryFolder } from './testing/temporary.ts';

const llama = {
  model_type: 'llama',
  architectures: ['LlamaForCausalLM'],
  hidden_size: 576,
  num_hidden_layers: 30,
  num_attention_heads: 9,
  num_key_value_heads: 3,
  intermediate_size: 1536,
  vocab_size: 49152,
  max_position_embeddings: 8192,
  rms_norm_eps: 1e-5,
  rope_theta: 100000,
  tie_word_embeddings: true,
};
const scaling = {
  rope_type: 'llama3',
  factor: 8,
  low_freq_factor: 1,
  high_freq_factor: 4,
  original_max_position_embeddings: 8192,
};

test('a config.json of a Llama is its shape', () => {
  expect(readHyperparameters(llama, 'config.json')).toEqual({
    architecture: 'llama',
    layers: 30,
    hidden: 576,
    heads: 9,
    kvHeads: 3,
    headDim: 64,
    feedForward: 1536,
    vocabulary: 49152,
    context: 8192,
    ropeBase: 100000,
    ropeScaling: undefined,
    normEps: 1e-5,
    tiedHead: true,
  });
});

test('what older and newer files leave out or spell otherwise', () => {
  const { num_key_value_heads: _, tie_word_embeddings: __, rope_theta: ___, ...rest } = llama;
  const shape = readHyperparameters(
    { ...rest, head_dim: 128, rope_parameters: { rope_theta: 5e5, rope_type: 'default' } },
    'c',
  );
  expect(shape).toMatchObject({
    kvHeads: 9,
    headDim: 128,
    tiedHead: false,
    ropeBase: 5e5,
    ropeScaling: undefined,
  });
});

test('rope scaling', () => {
  const read = (rope_scaling: object) =>
    readHyperparameters({ ...llama, rope_scaling }, 'config.json').ropeScaling;
  expect(read({ type: 'linear', factor: 2 })).toEqual({ kind: 'linear', factor: 2 });
  expect(read(scaling)).toEqual({
    kind: 'llama3',
    factor: 8,
    lowFreqFactor: 1,
    highFreqFactor: 4,
    originalContext: 8192,
  });
  expect(() => read({ type: 'yarn', factor: 2 })).toThrow('"yarn" is not supported');
  expect(() => read({ ...scaling, factor: 0 })).toThrow('factor is 0');
});

test('windows, by the rules of each architecture', () => {
  const read = (fields: object) =>
    readHyperparameters({ ...llama, architectures: null, num_hidden_layers: 4, ...fields }, 'config.json');
  const windowed = (fields: object) => read(fields).window;
  expect(windowed({ sliding_window: 16 })).toBeUndefined();
  const everywhere = { positions: 16, layers: [true, true, true, true] };
  expect(windowed({ model_type: 'mistral', sliding_window: 16 })).toEqual(everywhere);
  expect(windowed({ model_type: 'mistral', sliding_window: null })).toBeUndefined();
  const qwen = { model_type: 'qwen2', sliding_window: 16, max_window_layers: 3 };
  expect(windowed(qwen)).toBeUndefined();
  expect(windowed({ ...qwen, use_sliding_window: true })?.layers).toEqual([false, false, false, true]);
  const types = ['sliding_attention', 'full_attention', 'full_attention', 'full_attention'];
  expect(windowed({ ...qwen, use_sliding_window: true, layer_types: types })?.layers).toEqual([
    true,
    false,
    false,
    false,
  ]);
  const gemma = { model_type: 'gemma3_text', num_hidden_layers: 7, sliding_window: 16, rope_theta: 1e6 };
  expect(
    read({ ...gemma, query_pre_attn_scalar: 64, rope_scaling: { rope_type: 'linear', factor: 8 } }),
  ).toMatchObject({
    architecture: 'gemma3',
    tiedHead: true,
    attentionScale: 0.125,
    ropeBase: 1e6,
    ropeScaling: { kind: 'linear', factor: 8 },
    window: { positions: 16, layers: [true, true, true, true, true, false, true], ropeBase: 10000 },
  });
});

test.each([
  [{ model_type: 'phi3', architectures: ['Phi3ForCausalLM'] }, 'LlamaForCausalLM (model_type "llama")'],
  [{ architectures: ['LlamaForSequenceClassification'] }, 'LlamaForSequenceClassification'],
  [{ final_logit_softcapping: 30 }, 'final_logit_softcapping is 30'],
  [{ model_type: 'mistral', architectures: null, layer_types: ['full_attention'] }, 'each of the 30 layers'],
  [{ hidden_act: 'gelu' }, 'hidden_act is "gelu"'],
  [{ quantization_config: { bits: 4 } }, 'quantization_config'],
  [{ num_hidden_layers: 0 }, 'num_hidden_layers is 0'],
  [{ hidden_size: 2.5 }, 'hidden_size is 2.5'],
  [{ vocab_size: '49152' }, 'vocab_size is "49152"'],
  [{ rms_norm_eps: -1 }, 'rms_norm_eps is -1'],
])('%j is refused by name', (change, part) => {
  expect(() => readHyperparameters({ ...llama, ...change }, 'config.json')).toThrow(part);
});

async function makeBase(files: Record<string, unknown>): Promise<string> {
  const folder = temporaryFolder();
  await mkdir(folder, { recursive: true });
  const all = { 'config.json': llama, 'tokenizer.json': { model: {} }, ...files };
  for (const [name, content] of Object.entries(all)) {
    await writeFile(join(folder, name), typeof content === 'string' ? content : JSON.stringify(content));
  }
  return folder;
}

test('shards come from the index, in a fixed order', async () => {
  const folder = await makeBase({
    'model.safetensors.index.json': {
      weight_map: { a: 'model-2.safetensors', b: 'model-1.safetensors', c: 'model-1.safetensors' },
    },
    'model-1.safetensors': '',
    'model-2.safetensors': '',
    'tokenizer_config.json': { chat_template: [{ name: 'default', template: 'T' }] },
    'generation_config.json': { eos_token_id: [1, 2] },
  });
  const base = await readHuggingFaceBase(folder);
  expect(base.paths).toEqual([join(folder, 'model-1.safetensors'), join(folder, 'model-2.safetensors')]);
  expect(base.text).toMatchObject({ chatTemplate: 'T', endTokenIds: [1, 2], vocabularySize: 49152 });
});

test('a single file, and a template of its own', async () => {
  const folder = await makeBase({
    'model.safetensors': '',
    'chat_template.jinja': 'J',
    'config.json': { ...llama, eos_token_id: 7 },
  });
  const base = await readHuggingFaceBase(folder);
  expect(base.paths).toEqual([join(folder, 'model.safetensors')]);
  expect(base.text).toMatchObject({ chatTemplate: 'J', endTokenIds: [7] });
});

test.each([
  [{}, 'has no model.safetensors'],
  [{ 'pytorch_model.bin': '' }, 'is a pickle'],
  [
    { 'model.safetensors.index.json': { weight_map: { a: '../x.safetensors' } } },
    '"../x.safetensors" is not the name',
  ],
  [
    { 'model.safetensors.index.json': { weight_map: { a: 'x.safetensors' } } },
    'lacks the shard x.safetensors',
  ],
  [{ 'model.safetensors': '', 'tokenizer.json': 'no JSON' }, 'tokenizer.json cannot be read as JSON'],
  [{ 'config.json': '[]' }, 'must hold a JSON object'],
])('%j is told in a sentence', async (files, part) => {
  await expect(makeBase(files).then(readHuggingFaceBase)).rejects.toThrow(part);
});

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { parseConfig, readAdapter, resolveModules } from './peft.ts';
import { writeAdapter } from './safetensors_writer.ts';
import { smol } from './testing/shapes.ts';
import { temporaryFolder } from './testing/temporary.ts';

const golden = fileURLToPath(new URL('../../../gateway/e2e/fixtures/golden', import.meta.url));
const hashFile = async (path: string) =>
  createHash('sha256')
    .update(await readFile(path))
    .digest('hex');

const moduleOf = {
  q: 'self_attn.q_proj',
  k: 'self_attn.k_proj',
  v: 'self_attn.v_proj',
  o: 'self_attn.o_proj',
  gate: 'mlp.gate_proj',
  up: 'mlp.up_proj',
  down: 'mlp.down_proj',
};

const resolveConfig = (config: object) =>
  resolveModules(
    parseConfig(
      Buffer.from(JSON.stringify({ peft_type: 'LORA', target_modules: ['q_proj'], ...config })),
      'config',
    ),
    { ...smol, layers: 3 },
    'config',
  );
const names = (config: object) => resolveConfig(config).map(({ layer, linear }) => `${layer}.${linear}`);

interface Resolved {
  name: string;
  modules_rank_scaling: Record<string, [number, number]>;
}
const references = (
  JSON.parse(readFileSync(join(golden, 'adapters.json'), 'utf8')) as { adapters: Resolved[] }
).adapters;

/** What each golden adapter's config says beside PEFT's defaults; the four whose files are fixtures are read from them. */
test.each(
  references.filter(({ name }) => !['qv_r8', 'all_r4'].includes(name)),
)('the golden adapter $name resolves as PEFT resolved it', ({ name, modules_rank_scaling }) => {
  const path = join(golden, 'adapters', name, 'adapter_config.json');
  const modules = resolveModules(parseConfig(readFileSync(path), path), smol, path);
  const ours = Object.fromEntries(
    modules.map(({ layer, linear, rank, scaling }) => [
      `model.layers.${layer}.${moduleOf[linear]}`,
      [rank, Number(scaling.toFixed(6))],
    ]),
  );
  const theirs = Object.fromEntries(
    Object.entries(modules_rank_scaling).map(([module, [rank, scaling]]) => [
      module,
      [rank, Number(scaling.toFixed(6))],
    ]),
  );
  expect(ours).toEqual(theirs);
  expect(modules.every(({ dora }) => dora === name.includes('dora'))).toBe(true);
});

test('a list matches whole path segments at the end', () => {
  expect(names({ target_modules: ['q_proj', 'mlp.up_proj'] })).toEqual([
    '0.q',
    '0.up',
    '1.q',
    '1.up',
    '2.q',
    '2.up',
  ]);
  expect(names({ target_modules: ['model.layers.1.self_attn.v_proj'] })).toEqual(['1.v']);
  expect(() => names({ target_modules: ['proj'] })).toThrow('matches no module');
});

test('a string is a regular expression over the whole path', () => {
  expect(names({ target_modules: '.*layers\\.[02]\\..*(k|v)_proj' })).toEqual(['0.k', '0.v', '2.k', '2.v']);
  expect(() => names({ target_modules: 'q_proj' })).toThrow('matches no module');
});

test('all-linear is every linear of the blocks and not the head', () => {
  expect(names({ target_modules: 'all-linear' })).toHaveLength(21);
  expect(names({ target_modules: 'All-Linear', exclude_modules: ['down_proj'] })).toHaveLength(18);
});

test("without target_modules PEFT's default for a Llama counts", () => {
  expect(names({ target_modules: null })).toEqual(['0.q', '0.v', '1.q', '1.v', '2.q', '2.v']);
});

test('exclude_modules is a list or a regular expression', () => {
  expect(names({ target_modules: ['q_proj', 'v_proj'], exclude_modules: '.*\\.1\\..*|.*v_proj' })).toEqual([
    '0.q',
    '2.q',
  ]);
});

test('layers_to_transform is a number or a list, and counts only for suffixes', () => {
  expect(names({ layers_to_transform: 2 })).toEqual(['2.q']);
  expect(names({ layers_to_transform: [0, 2] })).toEqual(['0.q', '2.q']);
  expect(names({ layers_to_transform: [0], layers_pattern: 'layers' })).toEqual(['0.q']);
  expect(
    names({ target_modules: ['q_proj', 'model.layers.1.mlp.up_proj'], layers_to_transform: [0] }),
  ).toEqual(['0.q', '1.up']);
  expect(() => names({ layers_to_transform: [0], layers_pattern: ['blocks'] })).toThrow('matches no module');
  expect(() => names({ layers_pattern: ['layers'] })).toThrow('layers_pattern is ["layers"]');
  expect(() => names({ target_modules: '.*q_proj', layers_to_transform: [0] })).toThrow(
    'layers_to_transform is [0]',
  );
});

test('the first matching pattern decides rank and alpha', () => {
  const modules = resolveConfig({
    target_modules: ['q_proj', 'v_proj'],
    r: 8,
    lora_alpha: 16,
    rank_pattern: { 'layers.0.self_attn.q_proj': 2, q_proj: 4, '^model.*1.*v_proj': 16 },
    alpha_pattern: { v_proj: 32 },
  });
  expect(modules.map(({ rank, scaling }) => [rank, scaling])).toEqual([
    [2, 8],
    [8, 4],
    [4, 4],
    [16, 2],
    [4, 4],
    [8, 4],
  ]);
});

test('a dot in a plain key is any character, and its beginning is a segment', () => {
  const ranks = (key: string) => resolveConfig({ rank_pattern: { [key]: 3 } }).map(({ rank }) => rank);
  expect(ranks('self_attn.q_proj')).toEqual([3, 3, 3]);
  expect(ranks('self.attn.q.proj')).toEqual([3, 3, 3]);
  expect(ranks('attn.q_proj')).toEqual([8, 8, 8]);
  expect(ranks('1.self_attn.q_proj')).toEqual([8, 3, 8]);
});

test('an entry for every module is quick, and too many expressions are refused', () => {
  const keys = Array.from({ length: 30 }, (_, layer) => `model.layers.${layer}.self_attn.q_proj`);
  expect(
    resolveConfig({ rank_pattern: Object.fromEntries(keys.map((key, i) => [key, i + 1])) }).map(
      ({ rank }) => rank,
    ),
  ).toEqual([1, 2, 3]);
  const many = Object.fromEntries(Array.from({ length: 2000 }, (_, i) => [`x${i}(a|b)*`, 1]));
  expect(() => resolveConfig({ rank_pattern: many })).toThrow('rank_pattern: its regular expressions have');
});

test('rsLoRA divides by the root of the rank', () => {
  expect(resolveConfig({ r: 16, lora_alpha: 16, use_rslora: true })[0]!.scaling).toBe(4);
});

test.each([
  ['peft_type', 'IA3'],
  ['peft_type', null],
  ['modules_to_save', ['lm_head']],
  ['bias', 'all'],
  ['lora_bias', true],
  ['fan_in_fan_out', true],
  ['trainable_token_indices', [1]],
  ['target_parameters', ['x.weight']],
  ['layer_replication', [[0, 2]]],
  ['alora_invocation_tokens', [1, 2]],
  ['use_qalora', true],
  ['use_bdlora', { match_strict: true }],
  ['init_lora_weights', 'pissa_niter_4'],
  ['task_type', 'SEQ_CLS'],
  ['r', 0],
  ['r', -1],
  ['r', 1.5],
  ['r', 2 ** 31],
  ['r', '8'],
  ['lora_alpha', 0],
  ['lora_alpha', -2],
  ['lora_alpha', 1e300],
  ['lora_alpha', '16'],
  ['use_dora', 'yes'],
  ['rank_pattern', [1]],
  ['target_modules', 3],
  ['target_modules', [3]],
  ['layers_to_transform', [-1]],
])('%s = %j is refused by name', (field, value) => {
  expect(() => resolveConfig({ [field]: value })).toThrow(
    `${field} is ${value === null ? 'null' : JSON.stringify(value)}`,
  );
});

test('a bad entry of a pattern is named', () => {
  expect(() => resolveConfig({ rank_pattern: { q_proj: 0 } })).toThrow('rank_pattern["q_proj"] is 0');
  expect(() => resolveConfig({ rank_pattern: { '(q': 4 } })).toThrow('rank_pattern: the pattern "(q"');
  expect(() => resolveConfig({ target_modules: '((a|b|ab)*c)*'.repeat(40) })).toThrow('matches no module');
});

test.each([
  'lm_head',
  'embed_tokens',
  'self_attn',
  'input_layernorm',
])('a target on %s is refused by name', (target) => {
  expect(() => resolveConfig({ target_modules: ['q_proj', target] })).toThrow(
    new RegExp(`matches \\S*${target}; adapters are`),
  );
});

test('empty and unknown fields do not matter', () => {
  expect(
    names({
      modules_to_save: [],
      use_qalora: false,
      loftq_config: {},
      eva_config: null,
      invented: { x: 1 },
      init_lora_weights: 'eva',
    }),
  ).toHaveLength(3);
});

test('what is no JSON object is named with its file', () => {
  for (const text of ['', '[1]', '{"r": NaN}', '"x"', '\u0000']) {
    expect(() => parseConfig(Buffer.from(text), '/a/adapter_config.json')).toThrow('/a/adapter_config.json');
  }
  expect(() => parseConfig(Buffer.from([0x7b, 0xff, 0x7d]), 'file')).toThrow('file is not valid JSON');
});

test('an adapter is read with the hash of its content', async () => {
  const folder = temporaryFolder();
  const values = new Float32Array(4);
  await writeAdapter(
    folder,
    { r: 1, target_modules: ['q_proj'] },
    new Map([['t', { type: 'F16', shape: [4], values }]]),
  );
  const first = await readAdapter(folder, smol, 'one', hashFile);
  const config = createHash('sha256')
    .update(await readFile(join(folder, 'adapter_config.json')))
    .digest();
  const tensors = createHash('sha256')
    .update(await readFile(first.spec.tensorsPath))
    .digest();
  const expected = createHash('sha256')
    .update('colophon-adapter-v1\0')
    .update(config)
    .update(tensors)
    .digest('hex');
  expect(first.spec.contentHash).toBe(expected);
  expect(first.spec.modules).toHaveLength(30);
  await writeAdapter(
    folder,
    { r: 1, target_modules: ['q_proj'] },
    new Map([['t', { type: 'F16', shape: [4], values: values.fill(1) }]]),
  );
  expect((await readAdapter(folder, smol, 'one', hashFile)).spec.contentHash).not.toBe(expected);
});

test('a folder without adapter, without tensors and with a pickle are told apart', async () => {
  const folder = temporaryFolder();
  await expect(readAdapter(folder, smol, 'x', hashFile)).rejects.toMatchObject({ code: 'not_found' });
  await writeFile(join(folder, 'adapter_config.json'), '{}');
  await expect(readAdapter(folder, smol, 'x', hashFile)).rejects.toMatchObject({
    code: 'bad_adapter',
    message: expect.stringContaining('has no adapter_model.safetensors'),
  });
  await symlink('/dev/null', join(folder, 'adapter_model.bin'));
  await expect(readAdapter(folder, smol, 'x', hashFile)).rejects.toThrow('is a pickle');
});

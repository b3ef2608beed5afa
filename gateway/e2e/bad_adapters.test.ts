/** Adapters and models that lie, are cut short or belong elsewhere: each a clear error, and the server goes on serving. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { native } from '../../native/binding/index.ts';
import { encodeSafetensors, type TensorData } from '../../plugins/backends/native/safetensors_writer.ts';
import { modelPath } from './engine.ts';
import { type EngineServer, startEngineServer } from './server.ts';

let parent: string;
let server: EngineServer;

beforeAll(async () => {
  parent = mkdtempSync(join(tmpdir(), 'colophon-'));
  server = await startEngineServer({ COLOPHON_ADAPTER_DIRS: parent });
});

afterAll(async () => {
  await server?.close();
  rmSync(parent, { recursive: true, force: true });
});

const A = 'base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight';
const B = 'base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight';
const config = {
  peft_type: 'LORA',
  r: 2,
  lora_alpha: 2,
  target_modules: ['q_proj'],
  layers_to_transform: [0],
};

function tensor(shape: number[], fill = 0.01): TensorData {
  return { type: 'F32', shape, values: new Float32Array(shape.reduce((a, b) => a * b)).fill(fill) };
}

const good = () =>
  new Map([
    [A, tensor([2, 576])],
    [B, tensor([576, 2])],
  ]);

interface HeaderEntry {
  data_offsets?: [number, number];
  shape?: number[];
  dtype?: string;
}

/** The good file with something else in its header about one tensor. */
function withHeader(tensor: string, change: HeaderEntry): Buffer {
  const file = encodeSafetensors(good());
  const length = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString('utf8', 8, 8 + length)) as Record<string, HeaderEntry>;
  Object.assign(header[tensor]!, change);
  const text = Buffer.from(JSON.stringify(header));
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([prefix, text, file.subarray(8 + length)]);
}

function withLength(length: bigint): Buffer {
  const file = encodeSafetensors(good());
  file.writeBigUInt64LE(length);
  return file;
}

type Case = [name: string, tensors: Buffer | undefined, says: RegExp, settings?: object];

const cases: Case[] = [
  ['cut in the data', encodeSafetensors(good()).subarray(0, 5000), /adapter_model\.safetensors/],
  ['cut in the header', encodeSafetensors(good()).subarray(0, 60), /adapter_model\.safetensors/],
  ['empty', Buffer.alloc(0), /adapter_model\.safetensors/],
  ['a header of 2^63 bytes', withLength(1n << 63n), /header/],
  ['a header of 2^32 bytes', withLength(1n << 32n), /header/],
  ['a header of no bytes', withLength(0n), /header|JSON/],
  ['offsets past the end', withHeader(B, { data_offsets: [4608, 4608 + 8192] }), /lora_B/],
  ['offsets that overlap', withHeader(B, { data_offsets: [0, 4608] }), /lora_[AB]/],
  ['negative offsets', withHeader(A, { data_offsets: [-4608, 0] }), /lora_A|offset/],
  ['a shape of 2^106', withHeader(A, { shape: [2 ** 53, 2 ** 53] }), /lora_A/],
  ['another type', withHeader(A, { dtype: 'I32' }), /I32/],
  ['a pickle under a false name', Buffer.concat([Buffer.from([0x80, 2]), Buffer.alloc(100)]), /pickle/],
  ['a zip under a false name', Buffer.concat([Buffer.from('PK\x03\x04'), Buffer.alloc(100)]), /pickle/],
  ['no tensors file', undefined, /adapter_model\.safetensors/],
  [
    'a renamed tensor',
    encodeSafetensors(
      new Map([
        [A.replace('q_proj', 'query'), tensor([2, 576])],
        [B, tensor([576, 2])],
      ]),
    ),
    /query|lora_A/,
  ],
  ['a missing tensor', encodeSafetensors(new Map([[A, tensor([2, 576])]])), /lora_B/],
  [
    'a tensor too many',
    encodeSafetensors(new Map([...good(), ['lm_head.lora_A.weight', tensor([2, 576])]])),
    /lm_head/,
  ],
  [
    'another base',
    encodeSafetensors(
      new Map([
        [A, tensor([2, 2048])],
        [B, tensor([2048, 2])],
      ]),
    ),
    /2048.*576|576.*2048/,
  ],
  ['another rank than its config', encodeSafetensors(good()), /lora_A/, { r: 4 }],
  [
    'values that are no numbers',
    encodeSafetensors(
      new Map([
        [A, tensor([2, 576], Number.NaN)],
        [B, tensor([576, 2])],
      ]),
    ),
    /finite/,
  ],
  ['modules_to_save', encodeSafetensors(good()), /modules_to_save/, { modules_to_save: ['lm_head'] }],
  ['another PEFT type', encodeSafetensors(good()), /peft_type/, { peft_type: 'IA3' }],
  ['a rank of 2^31', encodeSafetensors(good()), /\br is 2147483648/, { r: 2 ** 31 }],
  [
    'a layer that the base has not',
    encodeSafetensors(good()),
    /matches no module/,
    { layers_to_transform: [30] },
  ],
];

function write(name: string, tensors: Buffer | undefined, settings: object = {}): string {
  const folder = join(parent, name.replaceAll(/\W+/g, '-'));
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'adapter_config.json'), JSON.stringify({ ...config, ...settings }));
  if (tensors) writeFileSync(join(folder, 'adapter_model.safetensors'), tensors);
  return folder;
}

async function expectServing(): Promise<void> {
  const answer = await server.openai.completions.create({
    model: server.base,
    prompt: 'The capital of France is',
    temperature: 0,
    max_tokens: 1,
  });
  expect(answer.choices[0]!.text).toContain('Paris');
}

/** OpenAI's envelope, with a sentence. */
function expectError(answer: { status: number; body: unknown }, statuses: number[], says: RegExp): void {
  expect(statuses, JSON.stringify(answer.body)).toContain(answer.status);
  const { error } = answer.body as {
    error: { message: string; type: string; code: string | null; param: string | null };
  };
  expect(error.message).toMatch(says);
  expect(error.message).not.toMatch(/\n\s+at /);
  expect(Object.keys(error).sort()).toEqual(['code', 'message', 'param', 'type']);
}

test('the good one is loaded, served and unloaded', async () => {
  const path = write('good', encodeSafetensors(good()));
  expect((await server.post('/v1/load_lora_adapter', { lora_name: 'mine', lora_path: path })).status).toBe(
    200,
  );
  expect((await server.post('/v1/completions', { model: 'mine', prompt: 'x', max_tokens: 1 })).status).toBe(
    200,
  );
  expect((await server.post('/v1/unload_lora_adapter', { lora_name: 'mine' })).status).toBe(200);
  expectError(await server.post('/v1/completions', { model: 'mine', prompt: 'x' }), [404], /mine/);
});

test.each(cases)('%s', async (name, tensors, says, settings) => {
  const path = write(name, tensors, settings);
  expectError(await server.post('/v1/load_lora_adapter', { lora_name: 'bad', lora_path: path }), [400], says);
  const found = path.slice(parent.length + 1);
  expectError(
    await server.post('/v1/completions', { model: found, prompt: 'x', max_tokens: 1 }),
    [400],
    says,
  );
  await expectServing();
});

test('a .bin adapter is refused as a pickle, and never opened', async () => {
  const path = write('binary', undefined);
  writeFileSync(join(path, 'adapter_model.bin'), 'cos\nsystem\n');
  expectError(
    await server.post('/v1/load_lora_adapter', { lora_name: 'bad', lora_path: path }),
    [400],
    /pickle/,
  );
});

test('names and paths that climb are refused', async () => {
  for (const name of ['../up', 'a/../../b', '..', '.hidden', 'nul\0', 'x'.repeat(200)]) {
    expectError(
      await server.post('/v1/load_lora_adapter', { lora_name: name, lora_path: parent }),
      [400],
      /./,
    );
    expectError(await server.post('/v1/completions', { model: name, prompt: 'x' }), [400, 404], /./);
  }
  for (const path of ['../../etc', '/etc/../etc', '/etc', '/etc/passwd', '/dev/zero', '\0', '']) {
    expectError(
      await server.post('/v1/load_lora_adapter', { lora_name: 'bad', lora_path: path }),
      [400, 404],
      /./,
    );
  }
  const outside = mkdtempSync(join(tmpdir(), 'colophon-'));
  writeFileSync(join(outside, 'adapter_config.json'), JSON.stringify(config));
  writeFileSync(join(outside, 'adapter_model.safetensors'), encodeSafetensors(good()));
  symlinkSync(outside, join(parent, 'link'));
  expectError(await server.post('/v1/completions', { model: 'link', prompt: 'x' }), [400], /leaves/);
  rmSync(outside, { recursive: true });
  await expectServing();
});

test('a cut or lying GGUF is a sentence', async () => {
  const whole = readFileSync(modelPath());
  const path = join(parent, 'cut.gguf');
  const create = () =>
    native().createEngine({ model: { format: 'gguf', path }, kvBytes: 16 << 20, adapterBytes: 1 << 20 });
  for (const bytes of [0, 3, 24, 1000, 2_000_000, whole.length - 1]) {
    writeFileSync(path, whole.subarray(0, bytes));
    await expect(create(), `${bytes} bytes`).rejects.toMatchObject({
      code: 'bad_model',
      message: expect.stringContaining('cut.gguf'),
    });
  }
  for (const at of [8, 16]) {
    const lying = Buffer.from(whole);
    lying.writeBigUInt64LE(1n << 62n, at);
    writeFileSync(path, lying);
    await expect(create()).rejects.toMatchObject({ code: 'bad_model' });
  }
  rmSync(path);
  await expect(create()).rejects.toMatchObject({ code: 'not_found' });
});

import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Registry } from 'prom-client';
import { expect, test } from 'vitest';
import type { GeneratePart, GenerateRequest } from '../../../gateway/contract/index.ts';
import { until } from '../../../gateway/http/testing.ts';
import { FinishReason } from '../../../native/binding/index.ts';
import { AdapterFolders } from './adapter_folders.ts';
import { AdapterMetrics } from './adapter_metrics.ts';
import { NativeBackend } from './backend.ts';
import { registerMetrics } from './metrics.ts';
import { writeAdapter } from './safetensors_writer.ts';
import { FakeEngine } from './testing/fake_engine.ts';
import { temporaryFolder } from './testing/temporary.ts';

const request: GenerateRequest = {
  model: 'base',
  prompt: [1, 2, 3],
  maxTokens: 8,
  minTokens: 0,
  ignoreEnd: false,
  stopTokenIds: [7],
  sampling: {
    temperature: 0,
    topP: 1,
    topK: 0,
    minP: 0,
    repetitionPenalty: 1,
    presencePenalty: 0,
    frequencyPenalty: 0,
    seed: 0n,
  },
};

function setUp(
  options: { folders?: string[]; maxQueued?: number; onlyFolders?: boolean; home?: string } = {},
) {
  const engine = new FakeEngine();
  const warnings: string[] = [];
  const adapterMetrics = new AdapterMetrics(engine, 100);
  const backend = new NativeBackend({
    adapterMetrics,
    engine,
    folders: new AdapterFolders(options.folders ?? []),
    hashFile: async (path) =>
      createHash('sha256')
        .update(await readFile(path))
        .digest('hex'),
    onlyFolders: options.onlyFolders ?? false,
    registryFolder: options.home ?? temporaryFolder(),
    log: { warn: () => {} },
    model: 'base',
    root: 'source',
    created: 1,
    text: {
      tokenizer: {},
      tokenizerConfig: {},
      chatTemplate: undefined,
      endTokenIds: [2],
      vocabularySize: 10,
    },
    maxQueued: options.maxQueued ?? 100,
    warn: (sentence) => warnings.push(sentence),
  });
  return { engine, backend, warnings, adapterMetrics };
}

async function readAll(stream: AsyncIterable<GeneratePart[]>): Promise<GeneratePart[][]> {
  const batches = [];
  for await (const batch of stream) batches.push(batch);
  return batches;
}

async function start(backend: NativeBackend, engine: FakeEngine, change: Partial<GenerateRequest> = {}) {
  const abort = new AbortController();
  const before = new Set(engine.submitted.keys());
  const stream = backend.generate({ ...request, ...change }, abort.signal);
  await until(() => engine.submitted.size > before.size);
  const sequence = [...engine.submitted.keys()].find((id) => !before.has(id))!;
  return { stream, abort, sequence };
}

async function makeAdapter(folder: string, name: string, r = 1): Promise<string> {
  const path = join(folder, name);
  const tensor = { type: 'F16' as const, shape: [2], values: new Float32Array(2) };
  await writeAdapter(path, { r, target_modules: ['q_proj'] }, new Map([['t', tensor]]));
  return path;
}

test('a generation starts at once, before anyone reads, and the model’s end ids stop it', async () => {
  const { backend, engine } = setUp();
  const { sequence } = await start(backend, engine);
  expect(engine.submitted.get(sequence)).toMatchObject({
    prompt: [1, 2, 3],
    adapter: undefined,
    stopTokenIds: [2, 7],
  });
  const ignoring = await start(backend, engine, { ignoreEnd: true });
  expect(engine.submitted.get(ignoring.sequence)!.stopTokenIds).toEqual([7]);
});

test('one step is one batch; what a slow reader left is one batch too', async () => {
  const { backend, engine } = setUp();
  const { stream, sequence } = await start(backend, engine);
  engine.step([{ sequence, token: 4, position: 3, cachedTokens: 2 }]);
  engine.step([{ sequence, token: 5, position: 4 }]);
  const iterator = stream[Symbol.asyncIterator]();
  const first = (await iterator.next()).value;
  const second = iterator.next();
  engine.step([{ sequence, token: 7, position: 5, finish: FinishReason.stop }]);
  expect([first, (await second).value]).toEqual([
    [
      { type: 'token', id: 4, cachedTokens: 2 },
      { type: 'token', id: 5 },
    ],
    [
      { type: 'token', id: 7 },
      {
        type: 'finish',
        reason: 'stop',
        stopTokenId: 7,
        usage: { promptTokens: 3, cachedTokens: 2, completionTokens: 3 },
      },
    ],
  ]);
});

test('sequences of one step go to their own readers', async () => {
  const { backend, engine } = setUp();
  const one = await start(backend, engine);
  const two = await start(backend, engine);
  engine.step([
    { sequence: two.sequence, token: 8, position: 3, finish: FinishReason.length },
    { sequence: one.sequence, token: 9, position: 3, finish: FinishReason.length },
    { sequence: 12345, token: 1 },
  ]);
  const first = (await readAll(one.stream)).flat();
  const second = (await readAll(two.stream)).flat();
  expect(first[0]).toEqual({ type: 'token', id: 9, cachedTokens: 0 });
  expect(second[0]).toEqual({ type: 'token', id: 8, cachedTokens: 0 });
  expect(second[1]).toMatchObject({ type: 'finish', reason: 'length' });
});

test('log-probabilities of tokens, and the prompt’s in one part before them', async () => {
  const { backend, engine } = setUp();
  const { stream, sequence } = await start(backend, engine, { logprobs: 2, promptLogprobs: 1 });
  const value = (rank: number) => ({ value: -rank, rank, top: [[rank, -0.5]] as Array<[number, number]> });
  engine.step([{ sequence, token: 2, position: 1, logprob: value(1) }]);
  engine.step([
    { sequence, token: 3, position: 2, logprob: value(2) },
    { sequence, token: 4, position: 3, logprob: value(3), finish: FinishReason.length },
  ]);
  const parts = (await readAll(stream)).flat();
  expect(parts.slice(0, 2)).toEqual([
    {
      type: 'prompt-logprobs',
      tokens: [
        null,
        { logprob: -1, rank: 1, top: [{ id: 1, logprob: -0.5 }] },
        { logprob: -2, rank: 2, top: [{ id: 2, logprob: -0.5 }] },
      ],
    },
    {
      type: 'token',
      id: 4,
      cachedTokens: 0,
      logprob: { logprob: -3, rank: 3, top: [{ id: 3, logprob: -0.5 }] },
    },
  ]);
});

test('tokens say where the corpus has them, and what they were drawn from where that was asked for', async () => {
  const { backend, engine } = setUp();
  const asking = await start(backend, engine, { answerStates: true });
  const other = await start(backend, engine);
  expect(engine.submitted.get(asking.sequence)!.answerStates).toBe(true);
  expect(engine.submitted.get(other.sequence)!.answerStates).toBeUndefined();
  const match = { length: 2, row: 5, count: 3 };
  engine.step([{ sequence: asking.sequence, token: 4, position: 3, state: [3, 4] }]);
  engine.step([
    { sequence: other.sequence, token: 8, position: 3, finish: FinishReason.length },
    { sequence: asking.sequence, token: 7, position: 4, match, state: [1, -2], finish: FinishReason.stop },
  ]);
  const parts = (await readAll(asking.stream)).flat();
  expect(parts[0]).toEqual({ type: 'token', id: 4, cachedTokens: 0, state: Float32Array.of(3, 4) });
  expect(parts[1]).toEqual({ type: 'token', id: 7, match, state: Float32Array.of(1, -2) });
  expect(parts[2]).toMatchObject({ type: 'finish', reason: 'stop' });
  const [token] = (await readAll(other.stream)).flat();
  expect(token).not.toHaveProperty('match');
  expect(token).not.toHaveProperty('state');
});

test('abort cancels the sequence and ends the reader', async () => {
  const { backend, engine } = setUp();
  const { stream, abort, sequence } = await start(backend, engine);
  const iterator = stream[Symbol.asyncIterator]();
  engine.step([{ sequence, token: 4, position: 3 }]);
  expect((await iterator.next()).value).toHaveLength(1);
  const next = iterator.next();
  abort.abort();
  expect((await next).done).toBe(true);
  expect(engine.cancelled).toEqual([sequence]);
  engine.step([{ sequence, finish: FinishReason.cancelled }]);
});

test('leaving the loop cancels; a finished sequence is not cancelled', async () => {
  const { backend, engine } = setUp();
  const left = await start(backend, engine);
  engine.step([{ sequence: left.sequence, token: 4, position: 3 }]);
  for await (const _ of left.stream) break;
  expect(engine.cancelled).toEqual([left.sequence]);
  const done = await start(backend, engine);
  engine.step([{ sequence: done.sequence, token: 4, position: 3, finish: FinishReason.length }]);
  for await (const _ of done.stream) break;
  done.abort.abort();
  expect(engine.cancelled).toEqual([left.sequence]);
});

test('an abort before the adapter is found never reaches the engine', async () => {
  const folder = temporaryFolder();
  await makeAdapter(folder, 'one');
  const { backend, engine } = setUp({ folders: [folder] });
  const abort = new AbortController();
  const stream = backend.generate({ ...request, model: 'one' }, abort.signal);
  abort.abort();
  expect(await readAll(stream)).toEqual([]);
  // The same name once more: it is found after the first request's look-up has ended.
  await start(backend, engine, { model: 'one' });
  expect(engine.submitted.size).toBe(1);
  expect(await readAll(backend.generate(request, AbortSignal.abort()))).toEqual([]);
});

test.each([
  ['bad_adapter', 400, 'bad_adapter'],
  ['resource_exhausted', 503, 'resource_exhausted'],
  ['invalid_argument', 400, null],
  ['internal', 500, 'internal'],
] as const)('the engine’s error %s becomes status %d', async (code, status, wire) => {
  const { backend, engine } = setUp();
  const { stream, sequence } = await start(backend, engine);
  engine.step([{ sequence, finish: FinishReason.error }], [{ sequence, code, message: 'A sentence.' }]);
  await expect(readAll(stream)).rejects.toMatchObject({
    name: 'ColophonError',
    status,
    code: wire,
    message: 'A sentence.',
  });
});

test('an engine that closes is a 503, and parts before it are kept', async () => {
  const { backend, engine } = setUp();
  const { stream, sequence } = await start(backend, engine);
  engine.step([{ sequence, token: 4, position: 3 }]);
  await backend.close();
  const iterator = stream[Symbol.asyncIterator]();
  expect((await iterator.next()).value).toEqual([{ type: 'token', id: 4, cachedTokens: 0 }]);
  await expect(iterator.next()).rejects.toMatchObject({ status: 503 });
  expect((await iterator.next()).done).toBe(true);
  expect(backend.health().ready).toBe(false);
  await expect(readAll(backend.generate(request, new AbortController().signal))).rejects.toMatchObject({
    status: 503,
  });
});

test('a full queue is a 429 with a time to come back', async () => {
  const { backend, engine } = setUp({ maxQueued: 2 });
  await start(backend, engine);
  await start(backend, engine);
  await expect(readAll(backend.generate(request, new AbortController().signal))).rejects.toMatchObject({
    status: 429,
    retryAfterSeconds: 1,
  });
});

test('a prompt longer than the context is refused with OpenAI’s code', async () => {
  const { backend } = setUp();
  const prompt = new Array(64).fill(1);
  await expect(
    readAll(backend.generate({ ...request, prompt }, new AbortController().signal)),
  ).rejects.toMatchObject({
    status: 400,
    code: 'context_length_exceeded',
  });
});

test('adapters are found by name, registered once and listed with parent, hash and residency', async () => {
  const folder = temporaryFolder();
  await makeAdapter(folder, 'one');
  await makeAdapter(folder, 'two');
  await mkdir(join(folder, 'no-adapter'));
  const { backend, engine } = setUp({ folders: [folder, join(folder, 'missing')] });
  expect((await backend.models()).map(({ id, parent, residency }) => [id, parent, residency])).toEqual([
    ['base', null, undefined],
    ['one', 'base', 'disk'],
    ['two', 'base', 'disk'],
  ]);
  expect(engine.adapters.size).toBe(0);
  const results = await Promise.all([
    start(backend, engine, { model: 'one' }),
    backend.model('one'),
    backend.model('one'),
  ]);
  expect(engine.adapters.size).toBe(1);
  expect(results[1]).toMatchObject({ id: 'one', parent: 'base', root: expect.stringContaining(folder) });
  expect(results[1]!.contentHash).toMatch(/^[0-9a-f]{64}$/);
  expect(await backend.model('three')).toBeUndefined();
  expect(await backend.text('two')).toMatchObject({ endTokenIds: [2] });
  await expect(backend.text('three')).rejects.toMatchObject({ status: 404, code: 'model_not_found' });
});

test('an unknown model is a 404', async () => {
  const { backend } = setUp();
  for (const model of ['nobody', '../x', '', '\0', 'a'.repeat(5000), '.hidden']) {
    await expect(
      readAll(backend.generate({ ...request, model }, new AbortController().signal)),
    ).rejects.toMatchObject({
      status: 404,
      code: 'model_not_found',
    });
  }
});

test('changed files become a new registration under a new hash; the old one is let go', async () => {
  const folder = temporaryFolder();
  const path = await makeAdapter(folder, 'one');
  const { backend, engine } = setUp({ folders: [folder] });
  const first = await backend.model('one');
  await makeAdapter(folder, 'one', 2);
  const second = await backend.model('one');
  expect(second!.contentHash).not.toBe(first!.contentHash);
  expect(engine.live()).toHaveLength(1);
  await utimes(join(path, 'adapter_config.json'), 1, 1);
  expect((await backend.model('one'))!.contentHash).toBe(second!.contentHash);
  await rm(path, { recursive: true });
  expect(await backend.model('one')).toBeUndefined();
  expect(engine.live()).toEqual([]);
  expect(await backend.models()).toHaveLength(1);
});

test('a link out of the folder is refused, one into another configured folder is not', async () => {
  const [inside, outside] = [temporaryFolder(), temporaryFolder()];
  await symlink(await makeAdapter(outside, 'secret'), join(inside, 'linked'));
  await expect(setUp({ folders: [inside] }).backend.model('linked')).rejects.toMatchObject({
    status: 400,
    message: expect.stringContaining('leaves'),
  });
  expect(await setUp({ folders: [inside, outside] }).backend.model('linked')).toBeDefined();
  const own = await makeAdapter(inside, 'own');
  await rename(join(own, 'adapter_model.safetensors'), join(outside, 'weights'));
  await symlink(join(outside, 'weights'), join(own, 'adapter_model.safetensors'));
  await expect(setUp({ folders: [inside] }).backend.model('own')).rejects.toMatchObject({ status: 400 });
});

test('load waits for residency, refuses a second load, replaces where asked', async () => {
  const folder = temporaryFolder();
  const path = await makeAdapter(folder, 'one');
  const { backend, engine } = setUp();
  const card = await backend.adapters.load('mine', path, { replace: false });
  expect(card).toMatchObject({ id: 'mine', parent: 'base', residency: 'ram', root: path });
  await expect(backend.adapters.load('mine', path, { replace: false })).rejects.toMatchObject({
    status: 400,
    message: expect.stringContaining('has already been loaded'),
  });
  const running = await start(backend, engine, { model: 'mine' });
  await makeAdapter(folder, 'one', 2);
  const replaced = await backend.adapters.load('mine', path, { replace: true });
  expect(replaced.contentHash).not.toBe(card.contentHash);
  expect(engine.live()).toHaveLength(1);
  expect(engine.submitted.get(running.sequence)!.adapter).not.toBe(engine.live()[0]);
  await backend.adapters.unload('mine');
  expect(engine.live()).toEqual([]);
  expect(await backend.model('mine')).toBeUndefined();
  await expect(backend.adapters.unload('mine')).rejects.toMatchObject({ status: 404 });
});

test("the engine's warnings are told to whoever runs the server", async () => {
  const { engine, warnings } = setUp();
  engine.step([], undefined, ['The disk is full.']);
  engine.step([]);
  expect(warnings).toEqual(['The disk is full.']);
});

test('a pin lasts over replacements and new content, until it is taken back', async () => {
  const folder = temporaryFolder();
  const path = await makeAdapter(folder, 'one');
  const { backend, engine } = setUp({ folders: [folder] });
  const pinned = () => engine.live().map((handle) => engine.adapterState(handle).pinned);
  await backend.adapters.load('mine', path, { replace: false, pin: true });
  expect(pinned()).toEqual([true]);
  const [handle] = engine.live();
  await makeAdapter(folder, 'one', 2);
  await backend.adapters.load('mine', path, { replace: true });
  expect(engine.live()).not.toEqual([handle]);
  expect(pinned()).toEqual([true]);
  await makeAdapter(folder, 'one', 3);
  await backend.model('mine');
  expect(pinned()).toEqual([true]);
  await backend.adapters.load('mine', path, { replace: true, pin: false });
  expect(pinned()).toEqual([false]);
  await backend.adapters.unload('mine');
  await backend.pin('one');
  expect(pinned()).toEqual([true]);
  await expect(backend.pin('none')).rejects.toMatchObject({ status: 404 });
});

test('a load that fails leaves nothing behind and keeps what was there', async () => {
  const folder = temporaryFolder();
  const path = await makeAdapter(folder, 'one');
  const { backend, engine } = setUp();
  engine.failure = Object.assign(new Error('Wrong shape.'), { code: 'bad_adapter' });
  await expect(backend.adapters.load('mine', path, { replace: false })).rejects.toMatchObject({
    status: 400,
    code: 'bad_adapter',
  });
  expect(await backend.models()).toHaveLength(1);
  await backend.adapters.load('mine', path, { replace: false });
  const [handle] = engine.live();
  engine.failure = Object.assign(new Error('No room.'), { code: 'resource_exhausted' });
  await expect(backend.adapters.load('mine', path, { replace: true })).rejects.toMatchObject({ status: 503 });
  expect(engine.live()).toEqual([handle]);
});

test.each([
  ['base', '/x', 400],
  ['', '/x', 400],
  ['../up', '/x', 400],
  ['a/b', '/x', 400],
  ['nul\0', '/x', 400],
  ['.dot', '/x', 400],
  ['a'.repeat(129), '/x', 400],
  ['fine', '/nowhere/at/all', 404],
  ['fine', '../../etc', 400],
  ['fine', '/etc/../etc', 400],
  ['fine', '/etc', 404],
  ['fine', '/etc/passwd', 404],
  ['fine', 'relative', 404],
  ['fine', '', 400],
  ['fine', '/a\0b', 400],
])('load %j from %j is a %d', async (name, path, status) => {
  const { backend } = setUp();
  await expect(backend.adapters.load(name, path, { replace: false })).rejects.toMatchObject({
    name: 'ColophonError',
    status,
  });
});

test('paths outside the folders are refused where the config says so', async () => {
  const [inside, outside] = [temporaryFolder(), temporaryFolder()];
  await makeAdapter(inside, 'one');
  const { backend } = setUp({ folders: [inside], onlyFolders: true });
  await expect(
    backend.adapters.load('x', await makeAdapter(outside, 'two'), { replace: false }),
  ).rejects.toMatchObject({
    status: 400,
    message: expect.stringContaining('COLOPHON_ADAPTER_DIRS'),
  });
  expect(await backend.adapters.load('x', 'one', { replace: false })).toMatchObject({ id: 'x' });
});

test('a name that lies in a folder can be loaded from there and not be taken by another path', async () => {
  const [inside, outside] = [temporaryFolder(), temporaryFolder()];
  const path = await makeAdapter(inside, 'one');
  const other = await makeAdapter(outside, 'one', 2);
  const { backend, engine } = setUp({ folders: [inside] });
  await expect(backend.adapters.load('one', other, { replace: false })).rejects.toMatchObject({
    status: 400,
  });
  await backend.model('one');
  await backend.adapters.load('one', path, { replace: false });
  expect(engine.adapters.size).toBe(1);
  await expect(backend.adapters.load('one', path, { replace: false })).rejects.toMatchObject({ status: 400 });
});

test('files that change while they are read are given up with a sentence', async () => {
  const folder = temporaryFolder();
  const path = await makeAdapter(folder, 'one');
  const { backend, engine } = setUp({ folders: [folder] });
  let writes = 0;
  const register = engine.registerAdapter.bind(engine);
  engine.registerAdapter = async (spec) => {
    await writeFile(join(path, 'adapter_model.safetensors'), 'x'.repeat(++writes));
    return register(spec);
  };
  await expect(backend.model('one')).rejects.toMatchObject({
    status: 400,
    message: expect.stringContaining('keep changing'),
  });
  expect(engine.live()).toEqual([]);
});

test('a reload between finding and submitting is no error for the request', async () => {
  const folder = temporaryFolder();
  await makeAdapter(folder, 'one');
  const { backend, engine } = setUp({ folders: [folder] });
  const submit = engine.submit.bind(engine);
  let once = true;
  engine.submit = (sequence) => {
    if (once) {
      once = false;
      throw Object.assign(new Error('gone'), { code: 'not_found' });
    }
    return submit(sequence);
  };
  expect((await start(backend, engine, { model: 'one' })).sequence).toBeDefined();
});

test('the engine’s figures are metrics', async () => {
  const registry = new Registry();
  const { engine } = setUp();
  registerMetrics(registry, engine);
  const text = await registry.metrics();
  expect(text).toContain('colophon_engine_kv_pages_used 2');
  expect(text).toContain('colophon_engine_steps_total 5');
  expect(await registry.metrics()).toBe(text);
});

test('what adapters are used for is counted under their names, whatever the base does', async () => {
  const registry = new Registry();
  const folder = temporaryFolder();
  await makeAdapter(folder, 'one');
  const { engine, backend, adapterMetrics } = setUp({ folders: [folder] });
  adapterMetrics.register(registry);
  const base = await start(backend, engine);
  const adapted = await start(backend, engine, { model: 'one', tenant: 'press', priority: -4 });
  expect(engine.submitted.get(adapted.sequence)).toMatchObject({ tenant: 'press', priority: -4 });
  // The prompt's own entries are no generated tokens.
  engine.step([{ sequence: adapted.sequence, token: 5, position: 1 }]);
  engine.step([
    { sequence: base.sequence, token: 5, position: 3, queueSeconds: 9 },
    { sequence: adapted.sequence, token: 5, position: 3, queueSeconds: 0.5 },
  ]);
  engine.step([{ sequence: adapted.sequence, token: 6, position: 4, finish: FinishReason.length }]);
  const text = await registry.metrics();
  for (const [name, value] of [
    ['requests', 1],
    ['prompt_tokens', 3],
    ['generated_tokens', 2],
    ['queue_seconds', 0.5],
  ])
    expect(text).toContain(`colophon_adapter_${name}_total{adapter="one"} ${value}`);
  expect(text).toContain('colophon_adapter_generated_tokens_total{adapter="other"} 0');
});

test('an embedding is the state that its sequence pooled, counted for its adapter', async () => {
  const folder = temporaryFolder();
  await makeAdapter(folder, 'tuned');
  const { backend, engine, adapterMetrics } = setUp({ folders: [folder] });
  const registry = new Registry();
  adapterMetrics.register(registry);
  const pooled = backend.embed(
    { model: 'tuned', prompt: [1, 2, 3], pool: 'last', tenant: 'a', priority: 2 },
    new AbortController().signal,
  );
  await until(() => engine.submitted.size === 1);
  const [sequence] = [...engine.submitted.keys()] as [number];
  expect(engine.submitted.get(sequence)).toMatchObject({
    prompt: [1, 2, 3],
    adapter: engine.live()[0],
    pool: 'last',
    tenant: 'a',
    priority: 2,
  });
  const values = Float32Array.of(1, 2);
  engine.step([{ sequence, finish: FinishReason.pooled, cachedTokens: 1 }], undefined, undefined, [
    { sequence: sequence + 1, values: Float32Array.of(9) },
    { sequence, values },
  ]);
  expect(await pooled).toEqual({ values, usage: { promptTokens: 3, cachedTokens: 1 } });
  expect(await registry.metrics()).toContain('colophon_adapter_prompt_tokens_total{adapter="tuned"} 3');
});

test('an embedding that is aborted, fails or is too long rejects, and its sequence ends', async () => {
  const { backend, engine } = setUp();
  const embed = (prompt: number[], abort = new AbortController()) =>
    backend.embed({ model: 'base', prompt, pool: 'mean' }, abort.signal);
  const abort = new AbortController();
  const left = embed([1], abort);
  await until(() => engine.submitted.size === 1);
  const [first] = engine.submitted.keys();
  abort.abort();
  await expect(left).rejects.toBe(abort.signal.reason);
  expect(engine.cancelled).toEqual([first]);
  const failing = embed([1]);
  await until(() => engine.submitted.size === 2);
  const [, second] = engine.submitted.keys();
  engine.step(
    [{ sequence: second!, finish: FinishReason.error }],
    [{ sequence: second!, code: 'bad_adapter', message: 'A sentence.' }],
  );
  await expect(failing).rejects.toMatchObject({ message: 'A sentence.', code: 'bad_adapter' });
  // The fake's context is 64: as many tokens fit, since none is generated.
  await expect(embed(Array(65).fill(1))).rejects.toMatchObject({ code: 'context_length_exceeded' });
  void embed(Array(64).fill(1)).catch(() => {});
  await until(() => engine.submitted.size === 3);
  await backend.close();
});

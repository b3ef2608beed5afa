/** Adapter files that are cut, replaced or deleted while they load and while they are used, and many bad ones beside live traffic. */
import { cpSync, mkdtempSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { makeAdapter, recipe } from './adapters.ts';
import { randomSource } from './engine.ts';
import { type EngineServer, startEngineServer } from './server.ts';

const TENSORS = 'adapter_model.safetensors';
/** Room for one or two of the adapters here, so that most requests load. */
const ADAPTER_BYTES = 2 << 20;

let parent: string;
let originals: string;
let server: EngineServer;
/** Answers of the contents, alone. */
const solo = new Map<string, string>();

beforeAll(async () => {
  parent = mkdtempSync(join(tmpdir(), 'colophon-'));
  originals = mkdtempSync(join(tmpdir(), 'colophon-'));
  server = await startEngineServer({
    COLOPHON_ADAPTER_DIRS: parent,
    COLOPHON_ADAPTER_BYTES: String(ADAPTER_BYTES),
    COLOPHON_LEND_MEMORY: 'false',
  });
  // Two contents under one config, so that a swap of the tensors alone is a replacement; two more to push them out of memory.
  const shape = { ...recipe(3), rank: 8 };
  await makeAdapter(originals, 'one', { ...shape, seed: 901 });
  await makeAdapter(originals, 'two', { ...shape, seed: 902 });
  for (const name of ['other', 'another']) await makeAdapter(parent, name, { ...shape, seed: name.length });
  for (const name of ['one', 'two']) {
    cpSync(join(originals, name), join(parent, `solo-${name}`), { recursive: true });
    solo.set(name, await answer(`solo-${name}`));
  }
  solo.set('other', await answer('other'));
  solo.set('another', await answer('another'));
  expect(new Set(solo.values()).size).toBe(4);
});

afterAll(async () => {
  await server?.close();
  for (const folder of [parent, originals]) rmSync(folder, { recursive: true, force: true });
});

beforeEach(() => restore('one'));

/** The adapter "it" with this content, whole. */
function restore(content: string): void {
  const aside = join(parent, '.it.part');
  rmSync(aside, { recursive: true, force: true });
  cpSync(join(originals, content), aside, { recursive: true });
  rmSync(join(parent, 'it'), { recursive: true, force: true });
  renameSync(aside, join(parent, 'it'));
}

const file = () => join(parent, 'it', TENSORS);
const faults: Record<string, () => void> = {
  // In place: who has the file open sees it.
  cut: () => truncateSync(file(), 20_000),
  overwritten: () => writeFileSync(file(), readFileSync(join(originals, 'two', TENSORS))),
  replaced: () => {
    const aside = join(parent, '.tensors.part');
    cpSync(join(originals, 'two', TENSORS), aside);
    renameSync(aside, file());
  },
  deleted: () => rmSync(join(parent, 'it'), { recursive: true }),
};

function request(model: string, tokens = 16) {
  return { model, prompt: 'The old harbour', max_tokens: tokens, temperature: 0, ignore_eos: true };
}

async function post(model: string) {
  return server.post('/v1/completions', request(model)) as Promise<{
    status: number;
    body: { choices: Array<{ text: string }>; error: { message: string } };
  }>;
}

async function answer(model: string): Promise<string> {
  const { status, body } = await post(model);
  expect(status, JSON.stringify(body)).toBe(200);
  return body.choices[0]!.text;
}

/** Pushes "it" out of memory. */
async function makeCold(): Promise<void> {
  expect(await answer('other')).toBe(solo.get('other'));
  expect(await answer('another')).toBe(solo.get('another'));
}

test.each(
  Object.keys(faults),
)('a file that is %s while it is used: the running answer goes on as it began', async (fault) => {
  const chunks = await server.openai.completions.create({ ...request('it', 64), stream: true });
  let text = '';
  for await (const chunk of chunks) {
    if (text === '') faults[fault]!();
    text += chunk.choices[0]?.text ?? '';
  }
  restore('one');
  const whole = await server.openai.completions.create(request('it', 64));
  expect(text).toBe(whole.choices[0]!.text);
});

test.each(
  Object.keys(faults),
)('a file that is %s while it loads: the right answer or a sentence, and then it mends', async (fault) => {
  const random = randomSource(fault.length);
  for (let round = 0; round < 12; round++) {
    restore('one');
    await makeCold();
    const asked = post('it');
    await new Promise((resolve) => setTimeout(resolve, random() * 12));
    faults[fault]!();
    const { status, body } = await asked;
    if (status === 200) {
      // Of one of the two contents, whole; never of a mixture.
      const right = fault === 'overwritten' || fault === 'replaced' ? ['one', 'two'] : ['one'];
      expect(right.map((content) => solo.get(content))).toContain(body.choices[0]!.text);
    } else {
      expect([400, 404], JSON.stringify(body)).toContain(status);
      expect(body.error.message).toMatch(/\bit\b.{10}/);
      expect(body.error.message).not.toMatch(/\n\s+at /);
    }
    restore('two');
    expect(await answer('it')).toBe(solo.get('two'));
  }
});

test('fifty bad loads beside live traffic: each a sentence, and the traffic answers as alone', async () => {
  const bad = join(parent, 'bad');
  cpSync(join(originals, 'one'), bad, { recursive: true });
  truncateSync(join(bad, TENSORS), 50_000);
  let loading = true;
  const traffic = ['solo-one', 'solo-two', 'other', 'another'].map(async (name) => {
    let answers = 0;
    do {
      expect(await answer(name), name).toBe(solo.get(name.replace('solo-', '')));
      answers++;
    } while (loading);
    return answers;
  });
  const results = await Promise.all(
    Array.from({ length: 50 }, (_, i) =>
      i % 2 === 0
        ? server.post('/v1/load_lora_adapter', { lora_name: `bad-${i}`, lora_path: bad })
        : server.post('/v1/completions', request('bad')),
    ),
  );
  loading = false;
  for (const { status, body } of results) {
    expect(status).toBe(400);
    expect((body as { error: { message: string } }).error.message).toContain(TENSORS);
  }
  expect(Math.min(...(await Promise.all(traffic)))).toBeGreaterThan(0);
  const { data } = await server.openai.models.list();
  expect(data.filter(({ id }) => id.startsWith('bad-'))).toEqual([]);
  rmSync(bad, { recursive: true });
});

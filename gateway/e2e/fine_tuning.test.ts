/** A file in, a served model out, through the openai client; jobs that are paused, cancelled, cut and refused. */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import OpenAI, { toFile } from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type EngineServer, startEngineServer } from './server.ts';

let server: EngineServer;
beforeAll(async () => {
  server = await startEngineServer();
});
afterAll(() => server.close());

const animals = ['cat', 'dog', 'owl', 'fox', 'bee', 'cow', 'hen', 'pig', 'ant', 'bat', 'elk', 'emu'];
const line = (value: unknown) => `${JSON.stringify(value)}\n`;
const example = (animal: string, answer = 'ZORP') => ({
  messages: [
    { role: 'system', content: 'Be brief.' },
    { role: 'user', content: `What says the ${animal}?` },
    { role: 'assistant', content: answer },
  ],
});
const upload = async (content: string, name = 'data.jsonl') =>
  (await server.openai.files.create({ purpose: 'fine-tune', file: await toFile(Buffer.from(content), name) }))
    .id;
const training = () => upload(animals.map((animal) => line(example(animal))).join(''));

/** Settings of ours beside OpenAI's, which its client does not know. */
const create = (body: object) => server.openai.fineTuning.jobs.create({ model: 'base', ...body } as never);
const quick = {
  rank: 4,
  targets: ['q', 'v', 'down'],
  batch_size: 4,
  epochs: 4,
  learning_rate: 2e-3,
  evaluations: 3,
  seed: 3,
};

async function until(id: string, states: string[]) {
  for (;;) {
    const job = await server.openai.fineTuning.jobs.retrieve(id);
    if (states.includes(job.status)) return job;
    if (['failed', 'succeeded', 'cancelled'].includes(job.status))
      throw new Error(`The job is ${job.status}: ${JSON.stringify(job.error)}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
const stepOf = async (id: string) => {
  const events = await server.openai.fineTuning.jobs.listEvents(id);
  return Math.max(0, ...events.data.map(({ data }) => (data as { step?: number })?.step ?? 0));
};
const adapterOf = (id: string) => join(server.home, 'data', 'training', id, 'adapter');
const digestOf = (id: string) =>
  createHash('sha256')
    .update(readFileSync(join(adapterOf(id), 'adapter_model.safetensors')))
    .digest('hex');

describe('a job', () => {
  let id: string;

  test('trains, deploys, and answers as it was taught', async () => {
    const validation = await upload(line(example('yak')) + line(example('gnu')), 'held-out.jsonl');
    const created = await create({
      training_file: await training(),
      validation_file: validation,
      suffix: 'farm yard',
      metadata: { purpose: 'test' },
      recipe: quick,
    });
    id = created.id;
    expect(created).toMatchObject({
      object: 'fine_tuning.job',
      model: 'base',
      status: 'validating_files',
      fine_tuned_model: null,
      metadata: { purpose: 'test' },
      method: { type: 'supervised' },
      seed: 3,
    });
    const done = await until(id, ['succeeded']);
    expect(done.fine_tuned_model).toMatch(/^ft:base:default:farm-yard:[0-9a-f]{8}$/);
    expect(done.error).toBeNull();
    expect(done.trained_tokens).toBeGreaterThan(200);
    const chat = await server.openai.chat.completions.create({
      model: done.fine_tuned_model!,
      messages: example('rat').messages.slice(0, 2) as never,
      max_tokens: 8,
      temperature: 0,
    });
    expect(chat.choices[0]!.message.content).toBe('ZORP');
    const models = await server.openai.models.list();
    expect(models.data.find((model) => model.id === done.fine_tuned_model)).toMatchObject({ parent: 'base' });
  });

  test('tells of its steps, in pages and as a stream', async () => {
    const events = await server.openai.fineTuning.jobs.listEvents(id, { limit: 100 });
    expect(events.data[0]!.message).toBe('The job has successfully completed');
    const metrics = events.data.filter(({ type }) => type === 'metrics');
    expect(metrics).toHaveLength(12);
    expect(metrics[0]!.message).toMatch(/^Step 12\/12: training loss=\d+\.\d\d, validation loss=\d+\.\d\d$/);
    expect(metrics[0]!.data).toMatchObject({ step: 12, total_steps: 12, general_loss: expect.any(Number) });
    const first = await server.openai.fineTuning.jobs.listEvents(id, { limit: 2 });
    expect(first.data.map((event) => event.id)).toEqual(events.data.slice(0, 2).map((event) => event.id));
    const stream = await (await fetch(`${server.url}/v1/fine_tuning/jobs/${id}/events?stream=true`)).text();
    expect(stream.split('\n\n').filter((one) => one.startsWith('data: {'))).toHaveLength(events.data.length);
    expect(stream.endsWith('data: [DONE]\n\n')).toBe(true);
  });

  test('keeps checkpoints, each a model, and a file of results', async () => {
    const checkpoints = await server.openai.fineTuning.jobs.checkpoints.list(id);
    expect(checkpoints.data.map(({ step_number }) => step_number)).toEqual([12, 8, 4]);
    const name = checkpoints.data[2]!.fine_tuned_model_checkpoint;
    expect(name).toMatch(/:ckpt-step-4$/);
    const completion = await server.openai.completions.create({
      model: name,
      prompt: 'Hello',
      max_tokens: 2,
    });
    expect(completion.model).toBe(name);
    const { result_files } = await server.openai.fineTuning.jobs.retrieve(id);
    const csv = await (await server.openai.files.content(result_files[0]!)).text();
    expect(csv.split('\n')[0]).toBe('step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy');
    expect(csv.trim().split('\n')).toHaveLength(13);
  });

  test('leaves what says how it was made', () => {
    const read = (name: string) => readFileSync(join(adapterOf(id), name), 'utf8');
    expect(JSON.parse(read('adapter_config.json'))).toMatchObject({
      peft_type: 'LORA',
      r: 4,
      lora_alpha: 32,
    });
    expect(JSON.parse(read('recipe.json'))).toMatchObject({ recipe: quick, base: 'base' });
    expect(read('README.md')).toContain('held-out examples');
    for (const entry of read('SHA256SUMS').trim().split('\n')) {
      const [digest, name] = entry.split('  ');
      expect(
        createHash('sha256')
          .update(readFileSync(join(adapterOf(id), name!)))
          .digest('hex'),
      ).toBe(digest);
    }
  });

  test('gives the same bytes again, though it was paused', async () => {
    const validation = await upload(line(example('yak')) + line(example('gnu')), 'held-out.jsonl');
    const again = await create({
      training_file: await training(),
      validation_file: validation,
      recipe: quick,
    });
    await until(again.id, ['running']);
    while ((await stepOf(again.id)) < 3) await new Promise((resolve) => setTimeout(resolve, 50));
    expect((await server.openai.fineTuning.jobs.pause(again.id)).status).toBe('paused');
    const at = await stepOf(again.id);
    await expect(server.openai.fineTuning.jobs.pause(again.id)).rejects.toThrow('cannot be paused');
    expect((await server.openai.fineTuning.jobs.resume(again.id)).status).toMatch(/queued|running/);
    await until(again.id, ['succeeded']);
    expect(at).toBeLessThan(12);
    expect(digestOf(again.id)).toBe(digestOf(id));
  });

  test('can be cancelled', async () => {
    const job = await create({ training_file: await training(), recipe: { ...quick, epochs: 50 } });
    await until(job.id, ['running']);
    expect((await server.openai.fineTuning.jobs.cancel(job.id)).status).toBe('cancelled');
    await expect(server.openai.fineTuning.jobs.resume(job.id)).rejects.toThrow('cannot be resumed');
    const listed = await server.openai.fineTuning.jobs.list({ limit: 2 });
    expect(listed.data[0]).toMatchObject({ id: job.id, status: 'cancelled' });
    expect(listed.has_more).toBe(true);
  });
});

test('a job whose disk is full rests, says so, and goes on to the same bytes', async () => {
  const training_file = await training();
  const settings = { ...quick, evaluations: 1, epochs: 1 };
  const whole = await create({ training_file, recipe: settings });
  await until(whole.id, ['succeeded']);
  // One job runs at once: while this one does, the next one's disk is filled.
  const first = await create({ training_file, recipe: { ...quick, epochs: 50 } });
  await until(first.id, ['running']);
  const job = await create({ training_file, recipe: settings });
  const folder = join(server.home, 'data', 'training', job.id, 'checkpoints', 'step-3');
  mkdirSync(folder, { recursive: true });
  symlinkSync('/dev/full', join(folder, 'adapter_model.safetensors.part'));
  await server.openai.fineTuning.jobs.cancel(first.id);
  const resting = await until(job.id, ['paused']);
  expect(resting.error).toMatchObject({
    code: 'disk_full',
    message: expect.stringMatching(/^The disk is full: .*Make room, then resume the job; nothing is lost\.$/),
  });
  const { data } = await server.openai.fineTuning.jobs.listEvents(job.id);
  expect(data.some(({ level, message }) => level === 'error' && message.startsWith('The disk is full'))).toBe(
    true,
  );
  expect((await server.openai.fineTuning.jobs.resume(job.id)).error).toBeNull();
  await until(job.id, ['succeeded']);
  expect(digestOf(job.id)).toBe(digestOf(whole.id));
});

describe('a job that cannot be', () => {
  const failed = async (content: string, body: object = {}) => {
    const job = await create({ training_file: await upload(content), ...body });
    return (await until(job.id, ['failed'])).error!;
  };
  const ten = animals.slice(0, 10).map((animal) => line(example(animal)));

  test.each([
    [
      'too few examples',
      ten.slice(0, 7).join(''),
      'invalid_n_examples',
      'Training file has 7 example(s), but must have at least 10 examples.',
    ],
    ['a broken line', `${ten.join('')}{"messages": [\n`, 'invalid_file_format', 'Line 11 is not JSON'],
    [
      'an unknown role',
      ten.join('') + line({ messages: [{ role: 'wizard', content: 'x' }] }),
      'unrecognized_role',
      'line 11',
    ],
    [
      'a weight of 2',
      ten.join('') + line({ messages: [{ role: 'assistant', content: 'x', weight: 2 }] }),
      'invalid_weight',
      'Weight must be either 0 or 1 on line 11.',
    ],
    [
      'no answer',
      ten.join('') + line({ messages: [{ role: 'user', content: 'x' }] }),
      'example_missing_assistant_message',
      'line 11',
    ],
    ['a table of other columns', 'question,answer\na,b\nc\n', 'invalid_file_format', 'Line 1 is not JSON'],
    [
      'a giant line',
      `${ten.join('')}{"messages": "${'x'.repeat(9 * 2 ** 20)}"}\n`,
      'invalid_file_format',
      'Line 11 is longer than 8388608 bytes.',
    ],
    ['no text', ten.join('') + line({ messages: [{ role: 'assistant' }] }), 'missing_content', 'line 11'],
    ['no messages', ten.join('') + line({ text: 'x' }), 'missing_messages_list', 'line 11'],
  ])('with %s fails and says why', async (_what, content, code, sentence) => {
    const error = await failed(content);
    expect(error.code).toBe(code);
    expect(error.message).toContain(sentence);
  });

  test.each([
    ['an unknown file', { training_file: 'file-none' }, 404, 'file_not_found'],
    ['an unknown base', { model: 'nobody' }, 404, 'model_not_found'],
    ['an integration', { integrations: [{ type: 'wandb' }] }, 400, 'unsupported_parameter'],
    ['a setting that is no number', { recipe: { learning_rate: 'NaN' } }, 400, undefined],
    ['an infinite setting', { recipe: { alpha: 1e308 * 10 } }, 400, undefined],
    ['an impossible recipe', { recipe: { rank: 0 } }, 400, undefined],
    ['a learning rate that is none', { hyperparameters: { learning_rate_multiplier: -1 } }, 400, undefined],
    ['a long suffix', { suffix: 'x'.repeat(65) }, 400, undefined],
  ])('for %s is refused at once', async (_what, change, status, code) => {
    const file = await training();
    const refused = await create({ training_file: file, ...change }).catch((error) => error);
    expect(refused).toBeInstanceOf(OpenAI.APIError);
    expect(refused.status).toBe(status);
    if (code) expect(refused.code).toBe(code);
  });

  test('of a file of no byte cannot be: it is refused when it comes', async () => {
    await expect(upload('')).rejects.toMatchObject({
      status: 400,
      message: expect.stringContaining('empty'),
    });
  });

  test('is a 404 where there is none', async () => {
    await expect(server.openai.fineTuning.jobs.retrieve('ftjob-none')).rejects.toMatchObject({
      status: 404,
      code: 'fine_tune_not_found',
    });
  });
});

test('preferences are learned too', async () => {
  const pairs = animals.map((animal) => ({
    input: { messages: example(animal).messages.slice(0, 2) },
    preferred_output: [{ role: 'assistant', content: 'ZORP' }],
    non_preferred_output: [{ role: 'assistant', content: 'Nothing at all.' }],
  }));
  const job = await create({
    training_file: await upload(pairs.map(line).join('')),
    method: { type: 'dpo', dpo: { hyperparameters: { beta: 0.2, n_epochs: 2 } } },
    recipe: { ...quick, epochs: 2 },
  });
  await until(job.id, ['succeeded']);
  const events = await server.openai.fineTuning.jobs.listEvents(job.id, { limit: 100 });
  const losses = events.data.flatMap(({ data }) =>
    data ? [(data as { train_loss: number }).train_loss] : [],
  );
  expect(losses.at(-1)).toBeCloseTo(Math.log(2), 3);
  expect(losses[0]).toBeLessThan(0.5);
});

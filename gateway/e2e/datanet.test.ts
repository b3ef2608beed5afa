/** Examples given, accepted, frozen, proved, trained on, and taken back, through a running server. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { checkProof } from '../../plugins/datanet/snapshots/proof.ts';
import { colophon } from '../cli/testing.ts';
import { modelPath } from './engine.ts';
import { type EngineServer, startEngineServer } from './server.ts';

let server: EngineServer;
beforeAll(async () => {
  server = await startEngineServer();
});
afterAll(() => server.close());

const sounds = ['cat', 'dog', 'owl', 'fox', 'bee', 'cow', 'hen', 'pig', 'ant', 'bat', 'elk', 'emu'].map(
  (animal) => ({
    messages: [
      { role: 'user', content: `What says the ${animal}?` },
      { role: 'assistant', content: 'ZORP' },
    ],
  }),
);

async function ask(method: string, path: string, body?: unknown) {
  const file = typeof body === 'string';
  const answer = await fetch(server.url + path, {
    method,
    ...(body === undefined
      ? {}
      : {
          headers: { 'content-type': file ? 'application/octet-stream' : 'application/json' },
          body: file ? body : JSON.stringify(body),
        }),
  });
  const text = await answer.text();
  // biome-ignore lint/suspicious/noExplicitAny: answers of many shapes
  return { status: answer.status, body: (text.startsWith('{') ? JSON.parse(text) : text) as any };
}

async function until(path: string, states: string[]) {
  for (;;) {
    const { body } = await ask('GET', path);
    const state = body.state ?? body.status;
    if (states.includes(state)) return body;
    if (['failed', 'cancelled'].includes(state)) throw new Error(JSON.stringify(body));
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function contribute(contributor: string, lines: unknown[], filename: string) {
  const query = new URLSearchParams({
    contributor,
    filename,
    licence: 'CC0-1.0',
    source: 'own work',
    rights: 'Mine.',
  });
  const content = lines.map((line) => `${JSON.stringify(line)}\n`).join('');
  const given = await ask('POST', `/datanets/farm/contributions?${query}`, content);
  expect(given.status, JSON.stringify(given.body)).toBe(200);
  await until(`/datanets/farm/contributions/${given.body.id}`, ['checked']);
  const word = await ask('POST', `/datanets/farm/contributions/${given.body.id}/review`, {
    decision: 'accept',
  });
  expect(word.body.state).toBe('accepted');
  return given.body.id as string;
}

async function freeze(settings: object): Promise<string> {
  const job = await ask('POST', '/datanets/farm/snapshots', settings);
  expect(job.status, JSON.stringify(job.body)).toBe(200);
  return (await until(`/datanets/farm/jobs/${job.body.id}`, ['succeeded'])).report.snapshot;
}

const shares = { train: 1, validation: 0, test: 0 };
let first: string;
let second: string;
let secret: string;

test('contributions become a snapshot, the same one each time', async () => {
  expect((await ask('POST', '/datanets', { name: 'farm', domain: 'animals' })).status).toBe(200);
  const contributor = (await ask('POST', '/datanets/farm/contributors', { name: 'Ada' })).body.id;
  await contribute(contributor, sounds, 'sounds.jsonl');
  first = await freeze({ shares });
  expect(first).toMatch(/^[0-9a-f]{64}$/);
  expect(await freeze({ shares })).toBe(first);
  secret = await contribute(
    contributor,
    [
      {
        messages: [
          { role: 'user', content: 'The hidden word?' },
          { role: 'assistant', content: 'Xylograph' },
        ],
      },
    ],
    'secret.jsonl',
  );
  second = await freeze({ shares });
  const { body } = await ask('GET', '/datanets/farm/snapshots/latest');
  expect(body).toMatchObject({ id: second, parent: first, counts: { examples: 13, contributors: 1 } });
  const diff = await ask('GET', `/datanets/farm/snapshots/${first}/diff/${second}`);
  expect(diff.body).toMatchObject({ added: 1, removed: 0 });
});

test('every example of it can be proved, offline', async () => {
  const { body } = await ask('GET', `/datanets/farm/snapshots/${second}/entries?limit=1000`);
  expect(body.data).toHaveLength(13);
  for (const { hash } of body.data) {
    const proof = (await ask('GET', `/datanets/farm/snapshots/${second}/proofs/${hash}`)).body;
    expect(checkProof(proof)).toBeNull();
    expect(checkProof({ ...proof, leafIndex: proof.leafIndex + 1 })).not.toBeNull();
  }
  const proof = (await ask('GET', `/datanets/farm/snapshots/${second}/proofs/${body.data[0].hash}`)).body;
  expect(
    checkProof(proof, { content: { messages: [{ role: 'user', content: 'Something else.' }] } }),
  ).not.toBeNull();
});

test('it is a file wherever OpenAI takes one, and is trained on', async () => {
  const id = `datanet:farm@${first}`;
  const content = await (await server.openai.files.content(id)).text();
  expect(
    content
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line)),
  ).toHaveLength(12);
  const { body: job } = await ask('POST', '/v1/fine_tuning/jobs', {
    model: 'base',
    training_file: id,
    recipe: { rank: 2, targets: ['q', 'v'], epochs: 1, batch_size: 6, evaluations: 1, learning_rate: 1e-3 },
  });
  expect(job.status).toBe('validating_files');
  const done = await until(`/v1/fine_tuning/jobs/${job.id}`, ['succeeded']);
  expect(done).toMatchObject({ training_file: id, fine_tuned_model: expect.stringMatching(/^ft:base:/) });
  const models = await server.openai.models.list();
  expect(models.data.map((model) => model.id)).toContain(done.fine_tuned_model);
  const left = (name: string) =>
    readFileSync(join(server.home, 'data', 'training', job.id, 'adapter', name), 'utf8');
  expect(JSON.parse(left('recipe.json')).data.training).toMatchObject({
    file: id,
    snapshot: first,
    examples: 12,
  });
  expect(left('README.md')).toContain(`snapshot \`${first}\``);
  const env = { COLOPHON_HOME: server.home, COLOPHON_MODEL: modelPath() };
  const again = await colophon(['verify', 'adapter', done.fine_tuned_model, '--retrain'], env);
  expect(again.stdout).toMatch(/ was trained again: every byte is the same\.\n$/);
});

test('training on a snapshot with an example that was taken back is refused, and says which', async () => {
  const entries = (await ask('GET', `/datanets/farm/snapshots/${second}/entries`)).body.data;
  const { hash } = entries.find(({ contribution }: { contribution: string }) => contribution === secret);
  const taken = await ask('POST', `/datanets/farm/examples/${hash}/withdraw`, { reason: 'A slip.' });
  expect(taken).toMatchObject({ status: 200, body: { withdrawn: 1, remaining: 0 } });
  const training_file = `datanet:farm@${second}`;
  const refused = await ask('POST', '/v1/fine_tuning/jobs', { model: 'base', training_file });
  expect(refused.status).toBe(409);
  expect(refused.body.error).toMatchObject({
    code: 'example_withdrawn',
    message: expect.stringContaining(hash),
  });
});

test('what is taken back leaves no text, and old proofs still hold', async () => {
  const texts = {
    messages: [
      { role: 'user', content: 'The hidden word?' },
      { role: 'assistant', content: 'Xylograph' },
    ],
  };
  const hash = (await ask('GET', `/datanets/farm/snapshots/${second}/entries`)).body.data.find(
    (entry: { contribution: string }) => entry.contribution === secret,
  ).hash;
  const taken = await ask('POST', `/datanets/farm/contributions/${secret}/withdraw`, {
    reason: 'Mine again.',
  });
  expect(taken.body.state, JSON.stringify(taken.body)).toBe('withdrawn');
  const proof = (await ask('GET', `/datanets/farm/snapshots/${second}/proofs/${hash}`)).body;
  expect(checkProof(proof, { content: texts })).toBeNull();
  const files = readdirSync(join(server.home, 'data', 'datanets'), { recursive: true, withFileTypes: true });
  for (const file of files.filter((entry) => entry.isFile()))
    expect(readFileSync(join(file.parentPath, file.name)).includes('Xylograph'), file.name).toBe(false);
  expect(await freeze({ shares })).toBe(first);
  const refused = await ask('POST', '/v1/fine_tuning/jobs', {
    model: 'base',
    training_file: `datanet:farm@${second}`,
  });
  expect(refused.status).toBe(409);
  expect(refused.body.error).toMatchObject({
    code: 'contribution_withdrawn',
    message: expect.stringContaining(secret),
  });
});

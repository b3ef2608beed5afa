/** Rows curated through a running server: what the stages find, what a curator says to it, what is frozen of it. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type EngineServer, startEngineServer } from './server.ts';

let server: EngineServer;
beforeAll(async () => {
  server = await startEngineServer();
});
afterAll(() => server.close());

async function ask(method: string, path: string, body?: unknown) {
  const file = typeof body === 'string';
  const type = file ? 'application/octet-stream' : 'application/json';
  const answer = await fetch(`${server.url}/datanets${path}`, {
    method,
    ...(body === undefined
      ? {}
      : { headers: { 'content-type': type }, body: file ? body : JSON.stringify(body) }),
  });
  // biome-ignore lint/suspicious/noExplicitAny: answers of many shapes
  return { status: answer.status, body: (await answer.json()) as any };
}

async function until(path: string, states: string[]) {
  for (;;) {
    const { body } = await ask('GET', path);
    if (states.includes(body.state)) return body;
    if (['failed', 'cancelled'].includes(body.state)) throw new Error(JSON.stringify(body));
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function contribute(lines: object[], filename: string) {
  const { body: contributor } = await ask('POST', '/ward/contributors', { name: filename });
  const said = new URLSearchParams({
    ...{ contributor: contributor.id, filename, licence: 'CC0-1.0', source: 'own work', rights: 'Mine.' },
  });
  const text = lines.map((line) => `${JSON.stringify(line)}\n`).join('');
  const given = await ask('POST', `/ward/contributions?${said}`, text);
  expect(given.status, JSON.stringify(given.body)).toBe(200);
  await until(`/ward/contributions/${given.body.id}`, ['checked']);
  await ask('POST', `/ward/contributions/${given.body.id}/review`, { decision: 'accept' });
}

async function curate(settings: object = {}) {
  const job = await ask('POST', '/ward/curate', { settings });
  expect(job.status, JSON.stringify(job.body)).toBe(200);
  return until(`/ward/jobs/${job.body.id}`, ['succeeded']);
}

async function freeze(settings: object = {}) {
  const shares = { train: 1, validation: 0, test: 0 };
  const job = await ask('POST', '/ward/snapshots', { shares, ...settings });
  expect(job.status, JSON.stringify(job.body)).toBe(200);
  const { report } = await until(`/ward/jobs/${job.body.id}`, ['succeeded']);
  return (await ask('GET', `/ward/snapshots/${report.snapshot}`)).body;
}

const row = (question: string, answer: string) => ({
  messages: [
    { role: 'user', content: question },
    { role: 'assistant', content: answer },
  ],
});
const held =
  'Which code stands for a closed fracture of the upper end of the left humerus at the first visit?';
/** Seq 1 to 7. */
const rows = [
  row('What is the code for cholera that is due to Vibrio cholerae?', 'A00.0, in the chapter on infections.'),
  row('What is the code for cholera that is due to Vibrio cholerae?', 'A00.0, in the chapter on infections.'),
  row('What is the code for cholera due to Vibrio cholerae?', 'A00.0, in the chapter on infections.'),
  row('Whom do I ask about typhoid fever?', 'Write to jane.doe@example.org, she knows it all by heart.'),
  row(`Please tell: ${held}`, 'S42.2, I think it is.'),
  row(
    'Welcher Schlüssel steht für eine Lungenentzündung durch Viren?',
    'Das ist J12, im Kapitel über die Atmung.',
  ),
  row('And for a sunburn of the second degree?', 'L55.1, among the disorders of the skin.'),
];

test('the stages find what is wrong, and the snapshot has what is left', async () => {
  const made = await ask('POST', '', {
    name: 'ward',
    curation: { language: { allowed: ['en'], minCharacters: 20 } },
  });
  expect(made.body.curation).toEqual({ language: { allowed: ['en'], minCharacters: 20 } });
  await contribute(rows, 'ward.jsonl');
  const file = await server.openai.files.create({
    purpose: 'fine-tune',
    file: new File([`${JSON.stringify(row(held, 'S42.2'))}\n`], 'held.jsonl'),
  });
  const job = await curate({ contamination: { heldOut: [file.id] } });
  expect(job.report).toMatchObject({
    totals: { rows: 7, kept: 3, quarantined: 2, linked: 2, refused: 0, masked: 1 },
    heldOut: { texts: 1, refused: 0 },
    stages: { pii: { mask: 1, counts: { email: 1 } }, duplicates: { counts: { exact: 1, near: 1 } } },
  });
  const { body } = await ask('GET', `/ward/curations/${job.id}/verdicts`);
  expect(
    body.data.map((one: Record<string, unknown>) => [one.seq, one.stage, one.action, one.canonical]),
  ).toEqual([
    [2, 'duplicates', 'duplicate', 1],
    [3, 'duplicates', 'duplicate', 1],
    [4, 'pii', 'mask', null],
    [5, 'contamination', 'quarantine', null],
    [6, 'language', 'quarantine', null],
  ]);
  const only = await ask('GET', `/ward/curations/${job.id}/verdicts?stage=language&action=quarantine`);
  expect(only.body.data).toMatchObject([{ seq: 6, reason: expect.stringContaining('German') }]);
  const first = await ask('GET', `/ward/curations/${job.id}/verdicts?limit=1&after=2`);
  expect(first.body).toMatchObject({ data: [{ seq: 3 }], has_more: true });

  const snapshot = await freeze();
  expect(snapshot).toMatchObject({ settings: { curation: job.id }, counts: { examples: 3 } });
  const text = await (await server.openai.files.content(`datanet:ward@${snapshot.id}`)).text();
  expect(text).toContain('[EMAIL]');
  expect(text).not.toContain('jane.doe');
});

test('what is set aside is seen with its reasons, and a curator may say otherwise', async () => {
  const aside = await ask('GET', '/ward/quarantine');
  expect(aside.body.data.map(({ seq }: { seq: number }) => seq)).toEqual([2, 3, 5, 6]);
  expect(aside.body.data[3]).toMatchObject({
    ...{ line: 6, content: rows[5], word: null },
    verdicts: [{ stage: 'language', reason: expect.stringContaining('German') }],
  });
  const said = { name: 'Dr. Cura', reason: 'German is welcome here.' };
  const word = await ask('PUT', '/ward/examples/6/word', { decision: 'accept', ...said });
  expect(word.body).toMatchObject({ object: 'datanet.word', seq: 6, decision: 'accept', ...said });
  await ask('PUT', '/ward/examples/7/word', { decision: 'refuse', reason: 'Out of scope.' });
  const now = await ask('GET', '/ward/quarantine');
  expect(now.body.data.map(({ seq }: { seq: number }) => seq)).toEqual([2, 3, 5, 7]);
  expect(now.body.data[3]).toMatchObject({
    verdicts: [],
    word: { decision: 'refuse', reason: 'Out of scope.' },
  });
  expect((await ask('GET', '/ward/words?limit=1')).body).toMatchObject({
    data: [{ seq: 6 }],
    has_more: true,
  });

  // Without a held-out file its row stays; the words go on to stand above the stages.
  const job = await curate();
  expect(job.report.totals).toEqual({ rows: 7, kept: 4, quarantined: 0, linked: 2, refused: 1, masked: 1 });
  const seqs = (await ask('GET', '/ward/quarantine')).body.data.map(({ seq }: { seq: number }) => seq);
  expect(seqs).toEqual([2, 3, 7]);
  expect(await freeze()).toMatchObject({ settings: { curation: job.id }, counts: { examples: 4 } });
  expect((await ask('DELETE', '/ward/examples/7/word')).body).toMatchObject({ deleted: true });
  expect(await freeze()).toMatchObject({ counts: { examples: 5 } });
  expect(await freeze({ curation: null })).toMatchObject({ counts: { examples: 6 } });
});

test('the stages that ask the model: tokens, meaning, surprise', async () => {
  const garbage = row('x7#q )) zzkw 0x0x vv~~ %%%% qqzx jjjw', 'kq!! wz9 ]]]] ~~^^ vvvv xxqj 77zz ##');
  const plain = Array.from({ length: 12 }, (_, at) =>
    row(
      `What do we do on day ${at + 1} of the week of the harvest?`,
      `On day ${at + 1} we go out to the fields and bring the corn home.`,
    ),
  );
  await contribute([...plain, garbage], 'harvest.jsonl');
  const refused = await ask('POST', '/ward/snapshots', {});
  expect(
    await until(`/ward/jobs/${refused.body.id}`, ['succeeded']).catch(({ message }) => message),
  ).toContain('Curate again');
  const file = await server.openai.files.create({
    purpose: 'fine-tune',
    file: new File(
      [`${JSON.stringify(row('And for a sunburn of the second degree?', 'L55.1'))}\n`],
      'held.jsonl',
    ),
  });
  const job = await curate({
    length: { maxTokens: 1000 },
    contamination: { heldOut: [file.id], paraphrase: true, cosine: 0.999 },
    surprise: { enabled: true, action: 'quarantine' },
    duplicates: { enabled: false },
  });
  const { stages } = job.report;
  expect(stages.tokens.measures.tokens).toMatchObject({ count: 19, min: expect.any(Number) });
  expect(stages.paraphrase.measures.cosine.count).toBeGreaterThan(0);
  expect(stages.surprise.measures.loss.max).toBeGreaterThan(stages.surprise.measures.loss.p50 + 1);
  const { body } = await ask('GET', `/ward/curations/${job.id}/verdicts?stage=surprise`);
  expect(body.data).toContainEqual(expect.objectContaining({ seq: 20, action: 'quarantine' }));
});

test('a job is told as it goes on, and can be ended', async () => {
  const { body: job } = await ask('POST', '/ward/curate', {});
  const events = await (await fetch(`${server.url}/datanets/ward/jobs/${job.id}/events`)).text();
  const told = events
    .trim()
    .split('\n\n')
    .map((event) => JSON.parse(/^event: job\ndata: (.*)$/.exec(event)![1]!));
  expect(told.at(-1)).toMatchObject({ id: job.id, state: 'succeeded', done: 20, total: 20 });
  // One at a time: the last of these waits for all before it.
  for (let before = 0; before < 3; before++) await ask('POST', '/ward/curate', {});
  const { body: other } = await ask('POST', '/ward/curate', {});
  const cancelled = await ask('POST', `/ward/jobs/${other.id}/cancel`, {});
  expect(cancelled.body.state).toBe('cancelled');
  expect((await ask('GET', `/ward/curations/${other.id}/verdicts`)).body.error.code).toBe(
    'curation_not_done',
  );
  const running = await ask('POST', '/ward/snapshots', { curation: other.id });
  expect(running.status).toBe(409);
  const jobs = await ask('GET', '/ward/jobs?state=cancelled');
  expect(jobs.body.data.map(({ id }: { id: string }) => id)).toEqual([other.id]);
});

test('what cannot be is refused with a sentence', async () => {
  const settings = { contamination: { heldOut: ['file-none'] } };
  expect(await ask('POST', '/ward/curate', { settings })).toMatchObject({
    status: 404,
    body: { error: { code: 'file_not_found' } },
  });
  for (const wrong of [{ duplicates: { threshold: 2 } }, { nonsense: {} }, { length: { most: 3 } }]) {
    const { status, body } = await ask('POST', '/ward/curate', { settings: wrong });
    expect([status, typeof body.error.message], JSON.stringify(wrong)).toEqual([400, 'string']);
  }
  expect((await ask('GET', '/ward/curations/job_none/verdicts')).status).toBe(404);
  expect((await ask('PUT', '/ward/examples/999/word', { decision: 'refuse', reason: 'No.' })).status).toBe(
    404,
  );
  expect((await ask('PUT', '/ward/examples/1/word', { decision: 'refuse' })).status).toBe(400);
});

/** The life of contributions, on every store; licences and signatures are asked of plain functions. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { ColophonError } from '../../gateway/contract/index.ts';
import { Contributions, type Statement } from './contributions.ts';
import { readRows } from './formats/read_rows.ts';
import { checkWork } from './jobs/check.ts';
import { JobRunner } from './jobs/runner.ts';
import type { Contributor, Datanet } from './model.ts';
import { checkLicence } from './snapshots/licences.ts';
import type { BlobStore } from './store/blob_store.ts';
import { newContributor, newDatanet } from './store/conformance/samples.ts';
import type { DatanetStore } from './store/datanet_store.ts';
import { openBlobs } from './store/open_blobs.ts';
import { openStore } from './store/open_store.ts';
import { storeKinds, type TestPlace, type TestStores } from './testing/stores.ts';

const log = { debug() {}, info() {}, warn() {}, error() {} };
const limits = { rowBytes: 1000, ratio: 100, expandedBytes: 1e9, refusedRows: 100 };

let place: TestPlace;
let store: DatanetStore;
let blobs: BlobStore;
let jobs: JobRunner;
let contributions: Contributions;
let datanet: Datanet;
let contributor: Contributor;

async function open() {
  store = await openStore(place.options.store);
  blobs = await openBlobs(place.options.blobs);
  const check = checkWork({
    store,
    blobs,
    readRows,
    canonical: (content) => Buffer.from(JSON.stringify(content)),
    limits,
    takenBy: async () => datanet,
  });
  jobs = new JobRunner(store, { check }, log);
  contributions = new Contributions({
    store,
    blobs,
    jobs,
    uploadBytes: 1e6,
    checkLicence,
    isSigned: (_datanet, _contribution, key) => key === 'ab'.repeat(32),
  });
}

const statement: Statement = {
  filename: 'rows.jsonl',
  format: {},
  licence: 'CC0-1.0',
  source: 'own work',
  rights: 'Mine.',
  signature: null,
};

async function* bytesOf(text: string) {
  yield Buffer.from(text);
}

const chat = (word: string) =>
  JSON.stringify({
    messages: [
      { role: 'user', content: word },
      { role: 'assistant', content: 'Yes.' },
    ],
  });

async function ended(id: string) {
  return await expect.poll(async () => (await store.job(id))?.state).toMatch(/succeeded|failed|cancelled/);
}

async function submit(text: string, fields: Partial<Statement> = {}, from = contributor) {
  return contributions.submit(datanet, from, { ...statement, ...fields }, bytesOf(text));
}

async function checked(text: string, fields: Partial<Statement> = {}) {
  const { contribution, job } = await submit(text, fields);
  await ended(job.id);
  return (await store.contribution(contribution.id))!;
}

const codeOf = async (promise: Promise<unknown>) =>
  promise.then(
    () => 'no error',
    (error) => (error instanceof ColophonError ? error.code : error),
  );

describe.each(storeKinds)('$name', ({ here, start }) => {
  let stores: TestStores;
  beforeAll(async () => {
    if (here) stores = await start();
  });
  afterAll(() => stores?.close());

  describe.skipIf(!here)('with its servers', () => {
    beforeEach(async () => {
      place = await stores.fresh();
      await open();
      datanet = await newDatanet(store, { contributorBytes: 5000, schema: null });
      contributor = await newContributor(store, { publicKey: null });
    });
    afterEach(async () => {
      await jobs.drain();
      await store.close();
      await blobs.close();
    });
    contributionCases();
  });
});

function contributionCases(): void {
  test('a file is checked row by row; what is refused says where and why', async () => {
    const contribution = await checked(`${chat('one')}\n{broken\n${chat('two')}\n`);
    expect(contribution).toMatchObject({ state: 'checked', rows: 3, refused: 1 });
    const { data } = await store.examples(datanet.id, { contribution: contribution.id }, { limit: 10 });
    const texts: string[] = [];
    for (const { place } of data) {
      for await (const chunk of blobs.read(place!.blob, place!)) texts.push(Buffer.from(chunk).toString());
    }
    expect(texts).toEqual([chat('one'), chat('two')]);
    const refused = await store.refusedRows(contribution.id, { limit: 10 });
    expect(refused.data).toMatchObject([{ line: 2, raw: '{broken' }]);
  });

  test('a file with more refused rows than are kept is given up, and leaves none', async () => {
    const most = await checked('x\n'.repeat(100));
    expect(most).toMatchObject({ state: 'checked', refused: 100 });
    const more = await checked('x\n'.repeat(101));
    expect(more).toMatchObject({
      state: 'failed',
      reason: expect.stringMatching(/^More than 100 rows of '.*' would be refused .* One of them: .* line 1/),
    });
    expect((await store.refusedRows(more.id, { limit: 1 })).data).toEqual([]);
  });

  test('an example of a kind that the Datanet does not take is a refused row', async () => {
    const contribution = await checked('{"prompt":"a","completion":"b"}\n');
    expect(contribution).toMatchObject({ state: 'checked', rows: 1, refused: 1 });
    const { data } = await store.refusedRows(contribution.id, { limit: 1 });
    expect(data[0]!.reason).toBe("An example of kind 'completion' on line 1; the Datanet takes chat, text.");
  });

  test("a row that does not meet the Datanet's schema is refused with its line, field and why", async () => {
    const messages = { items: { properties: { content: { maxLength: 6 } } } };
    const schema = { properties: { messages } };
    datanet = { ...datanet, schema };
    await store.updateDatanet(datanet.id, { schema });
    const broken = '{"no row"';
    const contribution = await checked(
      `${chat('short')}\n${chat('far too long')}\n${broken}\n${chat('brief')}\n`,
    );
    expect(contribution).toMatchObject({ state: 'checked', rows: 4, refused: 2 });
    expect((await store.refusedRows(contribution.id, { limit: 9 })).data).toMatchObject([
      {
        line: 2,
        field: 'messages[0].content',
        reason:
          "On line 2: messages[0].content must NOT have more than 6 characters by the Datanet's schema at #/properties/messages/items/properties/content/maxLength.",
        raw: chat('far too long'),
      },
      { line: 3 },
    ]);
    expect((await store.examples(datanet.id, {}, { limit: 9 })).data.map(({ line }) => line)).toEqual([1, 4]);
    // What an earlier version let in.
    datanet = { ...datanet, schema: { type: 'strin' } };
    const failed = await checked(chat('any'));
    expect(failed).toMatchObject({ state: 'failed', reason: expect.stringContaining("at '/type'") });
  });

  test('a file that cannot be read fails with a reason, and can come again', async () => {
    const broken = `PAR1${'7'.repeat(40)}`;
    const parquet: Partial<Statement> = { format: { format: 'parquet' } };
    const failed = await checked(broken, parquet);
    expect(failed.state).toBe('failed');
    expect(failed.reason).toContain('rows.jsonl');
    expect((await checked(broken, parquet)).state).toBe('failed');
  });

  test('what may not come is refused, and leaves nothing', async () => {
    expect(await codeOf(submit(chat('a'), { licence: 'MIT' }))).toBe('licence_forbidden');
    expect(await codeOf(submit(''))).toBe('empty_file');
    expect(await codeOf(submit(chat('a'.repeat(6000))))).toBe('contributor_over_quota');
    expect(await codeOf(submit(chat('a'), { signature: 'ff' }))).toBe('bad_signature');
    const signer = await newContributor(store, { publicKey: 'cd'.repeat(32) });
    expect(await codeOf(submit(chat('a'), {}, signer))).toBe('bad_signature');
    expect(await codeOf(submit(chat('a'), { signature: 'ff' }, signer))).toBe('bad_signature');
    expect((await store.contributions({ datanet: datanet.id }, { limit: 10 })).data).toEqual([]);
    expect((await store.jobs({ datanet: datanet.id }, { limit: 10 })).data).toEqual([]);
    const known = await newContributor(store, { publicKey: 'ab'.repeat(32) });
    expect(await codeOf(submit(chat('a'), { signature: 'ff' }, known))).toBe('no error');
  });

  test('the same file at once is taken once', async () => {
    const results = await Promise.all([1, 2, 3].map(() => codeOf(submit(chat('same')))));
    expect(results.sort()).toEqual(['duplicate_upload', 'duplicate_upload', 'no error']);
    const { data } = await store.contributions({ datanet: datanet.id }, { limit: 10 });
    expect(data).toHaveLength(1);
    expect(await blobs.size(data[0]!.sha256)).toBe(chat('same').length);
  });

  test('a review needs a checked contribution, and may be changed', async () => {
    const contribution = await checked(chat('a'));
    const word = { reviewer: 'tenant-a', reason: 'Good.' };
    expect((await contributions.review(contribution, { ...word, accept: true })).state).toBe('accepted');
    expect((await contributions.review(contribution, { ...word, accept: false })).state).toBe('rejected');
    expect(await store.contribution(contribution.id)).toMatchObject({ state: 'rejected', ...word });
    await contributions.withdraw(contribution, null);
    expect(await codeOf(contributions.review(contribution, { ...word, accept: true }))).toBe(
      'contribution_not_reviewable',
    );
  });

  test('a withdrawal takes upload and texts away; hashes stay', async () => {
    const contribution = await checked(`${chat('secret')}\nnot secret\n`);
    const [example] = (await store.examples(datanet.id, {}, { limit: 1 })).data;
    expect((await contributions.withdraw(contribution, 'Mine.')).state).toBe('withdrawn');
    expect(await blobs.size(contribution.sha256)).toBeUndefined();
    expect(await blobs.size(example!.place!.blob)).toBeUndefined();
    expect(await store.example(datanet.id, example!.seq)).toMatchObject({ hash: example!.hash, place: null });
    expect((await store.refusedRows(contribution.id, { limit: 1 })).data[0]?.raw ?? '').toBe('');
  });

  test('a check that a stop cut goes on at the next start, and has every row once', async () => {
    const { contribution, job } = await submit(`${chat('a')}\n${chat('b')}\n`);
    await jobs.drain();
    await store.close();
    await blobs.close();
    await open();
    await jobs.resume();
    await ended(job.id);
    expect(await store.contribution(contribution.id)).toMatchObject({ state: 'checked', rows: 2 });
    expect((await store.examples(datanet.id, {}, { limit: 10 })).data.map(({ line }) => line)).toEqual([
      1, 2,
    ]);
  });
}

/** A curation as a job, on a real store, with real threads (of the build). */
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type CurateParams, curateWork } from '../jobs/curate.ts';
import { JobRunner } from '../jobs/runner.ts';
import type { Content, Contribution, Datanet } from '../model.ts';
import { canonicalContent } from '../snapshots/canonical.ts';
import { makeSnapshot } from '../snapshots/make.ts';
import type { BlobStore } from '../store/blob_store.ts';
import { all, allPages, newContribution, newDatanet, newJob } from '../store/conformance/samples.ts';
import type { DatanetStore, Job, Verdict } from '../store/datanet_store.ts';
import { eraseTexts } from '../store/erase_texts.ts';
import { openBlobs } from '../store/open_blobs.ts';
import { openStore } from '../store/open_store.ts';
import { withoutModels } from '../testing/without_models.ts';
import type { CurationTotals, StageReport } from './report.ts';
import { type CurationChange, settingsOf } from './settings.ts';

const log = { debug() {}, info() {}, warn() {}, error() {} };
const limits = { rowBytes: 1e6, ratio: 100, expandedBytes: 1e9 };

let folder: string;
let store: DatanetStore;
let blobs: BlobStore;
let datanet: Datanet;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'colophon-curation-'));
  store = await openStore({ kind: 'sqlite', path: join(folder, 'datanets.db') });
  blobs = await openBlobs({ kind: 'files', folder: join(folder, 'blobs') });
  datanet = await newDatanet(store, { curation: {}, schema: null });
});

afterEach(async () => {
  await store.close();
  await blobs.close();
  await rm(folder, { recursive: true });
});

/** An accepted contribution of these contents. */
async function give(contents: Content[], fields: Partial<Contribution> = {}): Promise<Contribution> {
  const contribution = await newContribution(store, datanet.id, { state: 'accepted', ...fields });
  const job = await newJob(store, datanet.id);
  const texts = contents.map((content) => canonicalContent(content));
  const { sha256: blob } = await blobs.write(
    (async function* () {
      yield Buffer.concat(texts.map(({ bytes }) => bytes));
    })(),
  );
  let offset = 0;
  const examples = texts.map(({ bytes, hash }, at) => {
    const place = { blob, offset, bytes: bytes.length };
    offset += bytes.length;
    const { id, contributor } = contribution;
    return {
      ...{ datanet: datanet.id, contribution: id, contributor, line: at + 1, hash, place },
      ...{ originalHash: null, source: null, group: null },
    };
  });
  await store.addRows(contribution.id, { examples, refused: [] }, { id: job.id, checkpoint: {}, done: 0 });
  await store.updateJob(job.id, { state: 'succeeded' });
  return contribution;
}

function runnerOf(threads: number, over = store): JobRunner {
  const work = curateWork({
    ...{ store: over, blobs, threads, limits, host: withoutModels.host },
    datanetOf: async () => datanet,
    licenceFault: (licence) => (licence === 'Bad' ? 'The policy forbids Bad.' : undefined),
  });
  return new JobRunner(store, { curate: work }, log);
}

async function ended(id: string): Promise<Job> {
  await expect.poll(async () => (await store.job(id))!.finishedAt).not.toBeNull();
  return (await store.job(id))!;
}

const paramsOf = (change: CurationChange): CurateParams => ({
  settings: settingsOf(change),
  tenant: 'a',
  operator: false,
});

async function curated(change: CurationChange = {}, threads = 2): Promise<Job> {
  const job = await runnerOf(threads).submit(datanet.id, 'curate', paramsOf(change));
  return ended(job.id);
}

const verdictsOf = (job: string) =>
  allPages(
    (page) => store.verdicts(job, {}, page),
    ({ seq }) => seq,
    500,
  );

const reportOf = (job: Job) =>
  job.report as unknown as { totals: CurationTotals; stages: Record<string, StageReport> };

/** Distinct texts that are of no other's near duplicates. */
const text = (number: number, words = 30): string =>
  Array.from({ length: words }, (_, at) =>
    createHash('sha256')
      .update(`${number} ${at}`)
      .digest('hex')
      .slice(0, 3 + (at % 5))
      .replaceAll(/\d/g, 'o'),
  ).join(' ');

/** Rows of all sorts, many chunks of them. */
function mixed(count: number): Content[] {
  return Array.from({ length: count }, (_, at): Content => {
    if (at % 50 === 7) return { text: text(at - 7) };
    if (at % 50 === 8) return { text: text(at - 8).replace(/ \S+$/, ' other') };
    if (at % 50 === 9) return { text: `${text(at)} jane@example.org` };
    if (at % 50 === 10) return { text: `${text(at)} lost \ufffd` };
    if (at % 50 === 11) return { text: `${text(at)} caf\u00c3\u00a9 joe@example.org` };
    if (at % 50 === 12) return { text: 'short' };
    return { text: text(at) };
  });
}

test('the totals are the sums of what is said of rows, and a snapshot has what is kept', async () => {
  await give(mixed(2500));
  await give([{ text: text(-1) }, { text: text(-2) }], { licence: 'Bad' });
  const job = await curated({ length: { minWords: 2 } });
  expect(job).toMatchObject({ state: 'succeeded', done: 2502, total: 2502 });
  const { totals, stages } = reportOf(job);
  // Of 50 rows: one exact duplicate and one near, one with an address, one lost, one repaired and with an address, one short.
  expect(totals).toEqual({ rows: 2502, kept: 2300, quarantined: 102, linked: 100, refused: 0, masked: 100 });
  expect(stages.licence).toMatchObject({ quarantine: 2 });
  expect(stages.pii!.counts).toEqual({ email: 100 });
  expect(stages.unicode).toMatchObject({ mask: 50, quarantine: 50 });
  expect(stages.length).toMatchObject({
    quarantine: 50,
    measures: { words: { count: 2502, min: 1, max: 32 } },
  });
  expect(stages.duplicates).toMatchObject({ duplicate: 100, counts: { exact: 50, near: 50, clusters: 50 } });
  const verdicts = await verdictsOf(job.id);
  const rowsWith = (action: Verdict['action']) =>
    new Set(verdicts.flatMap((one) => (one.action === action ? [one.seq] : []))).size;
  expect([rowsWith('quarantine'), rowsWith('duplicate'), rowsWith('mask')]).toEqual([102, 100, 100]);
  for (const [name, stage] of Object.entries(stages)) {
    for (const action of ['quarantine', 'duplicate', 'mask', 'note'] as const) {
      const of = verdicts.filter((one) => one.stage === name && one.action === action);
      expect(of, `${name} ${action}`).toHaveLength(stage[action]);
    }
  }
  const kept = await all(store.kept(datanet.id, job.id));
  expect(kept).toHaveLength(totals.kept);
  const repaired = kept.find(({ seq }) => seq === 12)!;
  const chunks: Uint8Array[] = [];
  for await (const chunk of blobs.read(repaired.place!.blob, repaired.place!)) chunks.push(chunk);
  const content = JSON.parse(Buffer.concat(chunks).toString());
  expect(content).toEqual({ text: `${text(11)} caf\u00e9 [EMAIL]` });
  expect(repaired).toMatchObject({ hash: canonicalContent(content).hash, originalHash: expect.any(String) });
  // A cluster's rows are those of its first.
  expect(kept.find(({ seq }) => seq === 1)!.cluster).toBe(1);
});

test('any number of threads finds the same, in the same order', async () => {
  await give(mixed(3300));
  const found = [];
  for (const threads of [1, 2, 3]) {
    const job = await curated({}, threads);
    found.push({
      report: job.report,
      verdicts: await verdictsOf(job.id),
      kept: (await all(store.kept(datanet.id, job.id))).map(({ seq, hash, cluster }) => [seq, hash, cluster]),
    });
  }
  // Masks lie in blobs of the same texts.
  expect(found[1]).toEqual(found[0]);
  expect(found[2]).toEqual(found[0]);
});

test('stages that are off say nothing', async () => {
  await give(mixed(100));
  const job = await curated({
    unicode: { enabled: false },
    pii: { email: 'off', phone: 'off', card: 'off', iban: 'off', ip: 'off', ssn: 'off', secret: 'off' },
    duplicates: { enabled: false },
    ...{ length: { enabled: false }, language: { enabled: false }, contamination: { enabled: false } },
    ...{ schema: { enabled: false }, licence: { enabled: false } },
  });
  expect(reportOf(job)).toMatchObject({ totals: { rows: 100, kept: 100 }, stages: {} });
  expect(await verdictsOf(job.id)).toEqual([]);
});

test('a curator’s word stands above a stage’s, in the curation and in the snapshot', async () => {
  await give([
    { text: text(1) },
    { text: text(1) },
    { text: text(1) },
    { text: 'short' },
    { text: 'brief' },
    { text: text(2) },
    { text: text(2) },
  ]);
  const word = { by: 'Cura', reason: 'So I say.' };
  await store.override(datanet.id, 4, { keep: true, ...word });
  await store.override(datanet.id, 3, { keep: true, ...word });
  // The first of a cluster is refused: the next stands for it.
  await store.override(datanet.id, 6, { keep: false, ...word });
  const job = await curated({ length: { minWords: 2 } });
  expect(reportOf(job).totals).toEqual({
    rows: 7,
    kept: 4,
    quarantined: 1,
    linked: 1,
    refused: 1,
    masked: 0,
  });
  expect((await all(store.kept(datanet.id, job.id))).map(({ seq }) => seq)).toEqual([1, 3, 4, 7]);
});

/** Runs a curation up to its so-manieth write, and does something then. */
async function interrupted(at: number, how: (runner: JobRunner, id: string) => Promise<unknown>) {
  let writes = 0;
  let id = '';
  let done: Promise<unknown> | undefined;
  const over: DatanetStore = {
    ...store,
    addVerdicts: async (...given) => {
      await store.addVerdicts(...given);
      if (++writes === at) done = how(runner, id);
    },
  };
  const runner = runnerOf(2, over);
  id = (await runner.submit(datanet.id, 'curate', paramsOf({}))).id;
  await expect.poll(() => done !== undefined).toBe(true);
  await done;
  expect(writes).toBe(at);
  return id;
}

test('one that was cut goes on at the next start, and leaves nothing of the first attempt', async () => {
  await give(mixed(4000));
  const whole = await curated();
  for (const writes of [1, 2]) {
    const id = await interrupted(writes, (runner) => runner.drain());
    expect(await store.job(id)).toMatchObject({ state: 'running', finishedAt: null });
    // What the first attempt has said of a row, and would not be said of it now, is not said again.
    await store.addVerdicts(
      id,
      [{ seq: 1, stage: 'language', action: 'quarantine', reason: 'An earlier attempt.' }],
      { checkpoint: {}, done: 1, stage: 'rows', report: {} },
    );
    await runnerOf(1).resume();
    const job = await ended(id);
    expect(job.report).toEqual(whole.report);
    expect(await verdictsOf(id)).toEqual(await verdictsOf(whole.id));
  }
});

test('cancelled, it ends soon and leaves no verdicts and no masks', async () => {
  await give(mixed(4000));
  const id = await interrupted(1, (runner, job) => runner.cancel(job));
  expect(await store.job(id)).toMatchObject({ state: 'cancelled' });
  expect(await verdictsOf(id)).toEqual([]);
  expect(await store.erasures()).toEqual([]);
  expect(await store.latestCuration(datanet.id)).toBeUndefined();
});

test('what is withdrawn meanwhile leaves no mask', async () => {
  const address = { text: `${text(1)} jane@example.org` };
  const gone = await give([address]);
  const job = await newJob(store, datanet.id, { kind: 'curate' });
  const { bytes, hash } = canonicalContent({ text: `${text(1)} [EMAIL]` });
  const { sha256: blob } = await blobs.write(
    (async function* () {
      yield bytes;
    })(),
  );
  await store.moveContribution(gone.id, ['accepted'], { state: 'withdrawn' });
  await store.eraseContribution(gone.id);
  await eraseTexts(store, blobs);
  const masked = { hash, place: { blob, offset: 0, bytes: bytes.length } };
  await store.addVerdicts(
    job.id,
    [{ seq: 1, stage: 'pii', action: 'mask', reason: 'Masked: text has 1 e-mail address.', masked }],
    { checkpoint: {}, done: 1, stage: 'rows', report: {} },
  );
  expect((await store.verdicts(job.id, {}, { limit: 9 })).data).toEqual([
    { seq: 1, stage: 'pii', action: 'mask', reason: 'Masked: text has 1 e-mail address.' },
  ]);
  await eraseTexts(store, blobs);
  expect(await blobs.size(blob)).toBeUndefined();
});

test('a snapshot by a curation that has not seen all of its rows is refused', async () => {
  await give([{ text: text(1) }, { text: text(1) }]);
  const job = await curated();
  const settings = {
    ...{ curation: job.id as string | null, seed: 1, apart: 'cluster' as const },
    shares: { train: 1, validation: 0, test: 0 },
  };
  const options = { datanet: datanet.id, name: datanet.name, settings, now: 1 };
  expect((await makeSnapshot(store, blobs, options)).counts.examples).toBe(1);
  await give([{ text: text(2) }]);
  await expect(makeSnapshot(store, blobs, options)).rejects.toMatchObject({ code: 'curation_outdated' });
  settings.curation = null;
  expect((await makeSnapshot(store, blobs, options)).counts.examples).toBe(2);
});

test('a stage that asks a model fails clearly where none is served', async () => {
  await give([{ text: text(1) }]);
  for (const change of [{ surprise: { enabled: true } }, { length: { maxTokens: 5 } }]) {
    const job = await curated(change);
    expect(job).toMatchObject({ state: 'failed', error: expect.stringContaining('No model is served') });
  }
});

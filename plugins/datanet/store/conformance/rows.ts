/** Of a DatanetStore: rows, curation and what is kept by it. */
import { expect, test } from 'vitest';
import type { StoredExample } from '../../model.ts';
import type { DatanetStore, Verdict } from '../datanet_store.ts';
import {
  all,
  allPages,
  newAccepted,
  newContribution,
  newDatanet,
  newJob,
  sha256,
  someExamples,
  someRefused,
} from './samples.ts';

export function rowCases(the: () => DatanetStore): void {
  test('adds rows with the job’s checkpoint, and gives them back as they were', async () => {
    const store = the();
    const { id: datanet } = await newDatanet(store);
    const contribution = await newContribution(store, datanet);
    const job = await newJob(store, datanet);
    const examples = someExamples(contribution, 1_500);
    const refused = someRefused(1_200);
    const first = { examples: examples.slice(0, 1_000), refused: refused.slice(0, 700) };
    const second = { examples: examples.slice(1_000), refused: refused.slice(700) };
    await store.addRows(contribution.id, first, { id: job.id, checkpoint: { line: 1_700 }, done: 1_700 });
    await store.addRows(contribution.id, second, { id: job.id, checkpoint: { line: 2_700 }, done: 2_700 });
    expect(await store.job(job.id)).toMatchObject({ checkpoint: { line: 2_700 }, done: 2_700 });
    expect(await store.contribution(contribution.id)).toMatchObject({ rows: 2_700, refused: 1_200 });
    const stored = await allPages(
      (page) => store.examples(datanet, {}, page),
      ({ seq }) => seq,
      400,
    );
    expect(stored).toEqual(examples.map((example, index) => ({ seq: index + 1, ...example })));
    const told = await allPages(
      (page) => store.refusedRows(contribution.id, page),
      ({ seq }) => seq,
      500,
    );
    // A lone surrogate, U+0000 and the rest of it: a refused row is shown as it came.
    expect(told).toEqual(refused.map((row, index) => ({ seq: index + 1, ...row })));
    expect(await store.example(datanet, 3)).toEqual(stored[2]);
    expect(await store.example(datanet, 9_999)).toBeUndefined();
  });

  test('adds nothing where a row cannot be added: neither rows nor checkpoint', async () => {
    const store = the();
    const { id: datanet } = await newDatanet(store);
    const contribution = await newContribution(store, datanet);
    const job = await newJob(store, datanet);
    const examples = someExamples(contribution, 900);
    examples[899]!.line = null as never;
    const adding = store.addRows(
      contribution.id,
      { examples, refused: someRefused(2) },
      { id: job.id, checkpoint: { line: 1 }, done: 1 },
    );
    await expect(adding).rejects.toThrow();
    expect(await store.job(job.id)).toMatchObject({ checkpoint: null, done: 0 });
    expect(await store.contribution(contribution.id)).toMatchObject({ rows: 0, refused: 0 });
    expect((await store.examples(datanet, {}, { limit: 5 })).data).toEqual([]);
    const unknown = store.addRows(
      'con_none',
      { examples: [], refused: [] },
      { id: job.id, checkpoint: {}, done: 1 },
    );
    await expect(unknown).rejects.toMatchObject({ code: 'invalid_value' });
  });

  test('numbers the examples of a Datanet in one order, however many are added at a time', async () => {
    const store = the();
    const { id: datanet } = await newDatanet(store);
    const accepted = await Promise.all([1, 2, 3, 4].map(() => newAccepted(store, datanet, 2_300)));
    const stored = await all(store.accepted(datanet));
    expect(stored.map(({ seq }) => seq)).toEqual(Array.from({ length: 9_200 }, (_, index) => index + 1));
    for (const { id } of accepted) {
      const lines = stored.filter(({ contribution }) => contribution === id).map(({ line }) => line);
      expect(lines).toEqual(Array.from({ length: 2_300 }, (_, index) => index + 1));
    }
    expect((await all(store.accepted(datanet, 9_000))).map(({ seq }) => seq)).toEqual(
      Array.from({ length: 200 }, (_, index) => 9_001 + index),
    );
  });

  test('gives only examples of accepted contributions that have text', async () => {
    const store = the();
    const { id: datanet } = await newDatanet(store);
    const waiting = await newContribution(store, datanet, { state: 'checked' });
    const job = await newJob(store, datanet);
    const rows = { examples: someExamples(waiting, 3), refused: [] };
    await store.addRows(waiting.id, rows, { id: job.id, checkpoint: {}, done: 3 });
    await newAccepted(store, datanet, 3);
    await store.replaceExamples([{ datanet, seq: 5, place: null }]);
    expect((await all(store.accepted(datanet))).map(({ seq }) => seq)).toEqual([4, 6]);
    expect((await all(store.kept(datanet, null))).map(({ seq }) => seq)).toEqual([4, 6]);
    const kept = await store.examples(datanet, { standing: 'kept' }, { limit: 9 });
    expect(kept.data.map(({ seq }) => seq)).toEqual([4, 6]);
    const first = await store.examples(datanet, { contribution: waiting.id }, { after: 1, limit: 9 });
    expect(first.data.map(({ seq }) => seq)).toEqual([2, 3]);
    expect((await store.examples(datanet, { hash: rows.examples[1]!.hash }, { limit: 9 })).data).toHaveLength(
      1,
    );
  });

  test('keeps what curation and curators leave, with masks and clusters', async () => {
    const store = the();
    const { id: datanet } = await newDatanet(store);
    await newAccepted(store, datanet, 8);
    const job = await newJob(store, datanet, { kind: 'curate' });
    const place = (offset: number) => ({ blob: sha256(`masks of ${job.id}`), offset, bytes: 4 });
    const verdicts: Verdict[] = [
      {
        seq: 1,
        stage: 'pii',
        action: 'mask',
        reason: 'An address.',
        masked: { hash: sha256('m1'), place: place(0) },
      },
      { seq: 2, stage: 'language', action: 'quarantine', reason: 'Not English.' },
      { seq: 3, stage: 'duplicates', action: 'duplicate', reason: 'As 4.', canonical: 4 },
      { seq: 5, stage: 'duplicates', action: 'duplicate', reason: 'As 4.', canonical: 4 },
      { seq: 6, stage: 'length', action: 'note', reason: 'Short.' },
    ];
    const progress = { checkpoint: { seq: 8 }, done: 8, stage: 'pii', report: { pii: { masked: 1 } } };
    await store.addVerdicts(job.id, verdicts, progress);
    const later = { seq: 1, stage: 'secrets', action: 'mask', reason: 'A key.' } as const;
    const masked = { hash: sha256('m2'), place: place(4) };
    await store.addVerdicts(job.id, [{ ...later, masked }], { ...progress, stage: 'secrets' });
    await store.override(datanet, 5, { keep: true, by: 'curator', reason: 'It differs.' });
    await store.override(datanet, 7, { keep: false, by: 'curator', reason: 'Boilerplate.' });
    await store.override(datanet, 8, { keep: false, by: 'curator', reason: 'A slip.' });
    await store.override(datanet, 8, null);

    expect(await store.job(job.id)).toMatchObject({ ...progress, stage: 'secrets' });
    const kept = await all(store.kept(datanet, job.id));
    const [first] = await all(store.accepted(datanet));
    expect(kept.map(({ seq, cluster }) => [seq, cluster])).toEqual([
      [1, null],
      [4, 4],
      [5, 4],
      [6, null],
      [8, null],
    ]);
    expect(kept[0]).toMatchObject({ hash: masked.hash, originalHash: first!.hash, place: masked.place });
    expect((await store.overrides(datanet, { limit: 1 })).data).toMatchObject([
      { seq: 5, keep: true, by: 'curator' },
    ]);

    // A curation counts once it is done.
    const standing = async (which: 'kept' | 'set_aside') =>
      (await store.examples(datanet, { standing: which }, { limit: 9 })).data.map(({ seq }) => seq);
    expect(await standing('set_aside')).toEqual([7]);
    await store.updateJob(job.id, { state: 'succeeded', finishedAt: 1_700_000_009 });
    expect(await standing('set_aside')).toEqual([2, 3, 7]);
    expect(await standing('kept')).toEqual([1, 4, 5, 6, 8]);

    const page = await store.verdicts(job.id, {}, { limit: 2 });
    expect(page).toEqual({ data: [verdicts[0], { ...later, masked }, verdicts[1]], hasMore: true });
    expect((await store.verdicts(job.id, {}, { after: 2, limit: 9 })).data).toEqual(verdicts.slice(2));
    expect((await store.verdicts(job.id, { action: 'duplicate' }, { limit: 9 })).data).toHaveLength(2);
    expect((await store.verdicts(job.id, { stage: 'pii', seq: 1 }, { limit: 9 })).data).toEqual([
      verdicts[0],
    ]);
    expect((await store.verdicts(job.id, { seq: 8 }, { limit: 9 })).data).toEqual([]);
  });

  test('takes the same verdicts twice, from a stage that begins anew', async () => {
    const store = the();
    const { id: datanet } = await newDatanet(store);
    await newAccepted(store, datanet, 2);
    const job = await newJob(store, datanet, { kind: 'curate' });
    const progress = { checkpoint: {}, done: 0, stage: 's', report: {} };
    const note = { seq: 1, stage: 's', action: 'note' } as const;
    await store.addVerdicts(job.id, [{ ...note, reason: 'Old.' }], progress);
    await store.addVerdicts(
      job.id,
      [
        { ...note, reason: 'One.' },
        { ...note, reason: 'Two.' },
      ],
      progress,
    );
    expect((await store.verdicts(job.id, {}, { limit: 9 })).data).toEqual([{ ...note, reason: 'One. Two.' }]);
  });

  test('takes all verdicts of a job away, notes the blobs of its masks, and knows the latest curation', async () => {
    const store = the();
    const { id: datanet } = await newDatanet(store);
    await newAccepted(store, datanet, 1_200);
    expect(await store.latestCuration(datanet)).toBeUndefined();
    const [job, other] = [
      await newJob(store, datanet, { kind: 'curate' }),
      await newJob(store, datanet, { kind: 'curate' }),
    ];
    const blob = sha256(`masks of ${job.id}`);
    const progress = { checkpoint: {}, done: 0, stage: 's', report: {} };
    const verdicts = Array.from({ length: 1_200 }, (_, at): Verdict[] => [
      { seq: at + 1, stage: 'a', action: 'note', reason: 'One.' },
      {
        ...{ seq: at + 1, stage: 'b', action: 'mask', reason: 'Two.' },
        masked: { hash: sha256(`${at}`), place: { blob, offset: at, bytes: 1 } },
      },
    ]).flat();
    await store.addVerdicts(job.id, verdicts, progress);
    await store.addVerdicts(other.id, verdicts.slice(0, 1), progress);
    await store.clearVerdicts(job.id);
    expect((await store.verdicts(job.id, {}, { limit: 9 })).data).toEqual([]);
    expect((await store.verdicts(other.id, {}, { limit: 9 })).data).toHaveLength(1);
    expect(await store.erasures()).toContain(blob);
    await store.erased(blob);
    await store.updateJob(other.id, { state: 'succeeded', finishedAt: 1_700_000_001 });
    expect(await store.latestCuration(datanet)).toMatchObject({ id: other.id });
  });

  test('stores no mask of a text that was erased', async () => {
    const store = the();
    const { id: datanet } = await newDatanet(store);
    const contribution = await newAccepted(store, datanet, 1);
    await newAccepted(store, datanet, 1);
    const job = await newJob(store, datanet, { kind: 'curate' });
    await store.eraseContribution(contribution.id);
    for (const blob of await store.erasures()) await store.erased(blob);
    const blob = sha256(`masks of ${job.id}`);
    const mask = (seq: number) => ({
      ...({ seq, stage: 'pii', action: 'mask', reason: 'A name.' } as const),
      masked: { hash: sha256(`${seq}`), place: { blob, offset: seq, bytes: 1 } },
    });
    await store.addVerdicts(job.id, [mask(1), mask(2)], {
      checkpoint: {},
      done: 2,
      stage: 'pii',
      report: {},
    });
    const { masked: _, ...bare } = mask(1);
    expect((await store.verdicts(job.id, {}, { limit: 9 })).data).toEqual([bare, mask(2)]);
    expect(await store.erasures()).toEqual([blob]);
    await store.erased(blob);
  });

  test('finds the texts of a snapshot’s entries, as they came or masked, in their order', async () => {
    const store = the();
    const { id: datanet } = await newDatanet(store);
    const contribution = await newAccepted(store, datanet, 4);
    const job = await newJob(store, datanet, { kind: 'curate' });
    const masked = {
      hash: sha256(`masked ${datanet}`),
      place: { blob: sha256('masks'), offset: 0, bytes: 9 },
    };
    const verdict = { seq: 2, stage: 'pii', action: 'mask', reason: 'A name.', masked } as const;
    await store.addVerdicts(job.id, [verdict], { checkpoint: {}, done: 4, stage: 'pii', report: {} });
    await store.replaceExamples([{ datanet, seq: 3, place: null }]);
    const examples = someExamples(contribution, 4);
    const entry = (index: number, hash = examples[index]!.hash) => {
      const { contribution: id, contributor, line } = examples[index]!;
      return { hash, contribution: id, contributor, line, split: 'train', cluster: index } as const;
    };
    const entries = [entry(3), entry(1, masked.hash), entry(2), entry(0), entry(1), entry(0, sha256('none'))];
    const text = ({ place, source, group }: Omit<StoredExample, 'seq'>) => ({ ...place!, source, group });
    expect(await store.placesOf(datanet, entries)).toEqual([
      text(examples[3]!),
      { ...text(examples[1]!), ...masked.place },
      null,
      text(examples[0]!),
      text(examples[1]!),
      null,
    ]);
    await store.eraseContribution(contribution.id);
    expect(await store.placesOf(datanet, entries)).toEqual(entries.map(() => null));
  });
}

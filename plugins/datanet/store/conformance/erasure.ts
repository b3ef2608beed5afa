/** Of a DatanetStore: taking texts away. */
import { expect, test } from 'vitest';
import type { DatanetStore } from '../datanet_store.ts';
import {
  all,
  newAccepted,
  newContribution,
  newDatanet,
  newJob,
  oddText,
  sha256,
  someExamples,
  someRefused,
} from './samples.ts';

export function erasureCases(the: () => DatanetStore): void {
  const done = { checkpoint: {}, done: 0, stage: 'pii', report: {} };

  test('deletes the rows of a contribution, to begin anew, and names the blobs that nobody needs', async () => {
    const store = the();
    const { id: datanet } = await newDatanet(store);
    const shared = sha256(`shared ${datanet}`);
    const [one, other] = [
      await newContribution(store, datanet),
      await newAccepted(store, datanet, 5, { blob: shared }),
    ];
    const job = await newJob(store, datanet);
    const progress = { id: job.id, checkpoint: {}, done: 0 };
    await store.addRows(
      one.id,
      { examples: someExamples(one, 1_300), refused: someRefused(1_100) },
      progress,
    );
    await store.addRows(one.id, { examples: someExamples(one, 2, { blob: shared }), refused: [] }, progress);
    expect(await store.deleteRows(one.id)).toEqual([sha256(one.id)]);
    expect((await store.examples(datanet, { contribution: one.id }, { limit: 5 })).data).toEqual([]);
    expect((await store.refusedRows(one.id, { limit: 5 })).data).toEqual([]);
    expect(await store.contribution(one.id)).toMatchObject({ rows: 0, refused: 0 });
    expect(await all(store.accepted(datanet))).toHaveLength(5);
    expect(await store.deleteRows(one.id)).toEqual([]);
    await store.addRows(one.id, { examples: someExamples(one, 2), refused: someRefused(1) }, progress);
    expect(await store.contribution(one.id)).toMatchObject({ rows: 3, refused: 1 });
    expect((await store.refusedRows(one.id, { limit: 5 })).data).toMatchObject([{ seq: 1 }]);
    expect((await store.examples(datanet, { contribution: other.id }, { limit: 9 })).data).toHaveLength(5);
  });

  test('moves texts and takes them away, and names the blobs that nobody needs', async () => {
    const store = the();
    const { id: datanet } = await newDatanet(store);
    const contribution = await newAccepted(store, datanet, 3);
    const blob = sha256(contribution.id);
    const place = { blob: sha256(`new ${datanet}`), offset: 77, bytes: 5 };
    const moved = store.replaceExamples([
      { datanet, seq: 1, place },
      { datanet, seq: 2, place: null },
    ]);
    expect(await moved).toEqual([]);
    const stored = (await store.examples(datanet, {}, { limit: 9 })).data;
    expect(stored.map((example) => example.place)).toEqual([place, null, { blob, offset: 20, bytes: 10 }]);
    // Where a row came from is text of the contributor too.
    expect(stored[1]).toMatchObject({
      source: null,
      group: null,
      hash: someExamples(contribution, 2)[1]!.hash,
    });
    expect(await store.replaceExamples([{ datanet, seq: 3, place: null }])).toEqual([blob]);
  });

  test('erases a contribution: hashes stay, texts, masks, reasons and refused rows do not', async () => {
    const store = the();
    const { id: datanet } = await newDatanet(store);
    const one = await newAccepted(store, datanet, 1_200);
    await newAccepted(store, datanet, 2);
    const job = await newJob(store, datanet, { kind: 'curate' });
    const refused = { examples: [], refused: someRefused(3) };
    await store.addRows(one.id, refused, { id: job.id, checkpoint: {}, done: 0 });
    const masks = sha256(`masks of ${job.id}`);
    const mask = (seq: number) =>
      ({
        seq,
        stage: 'pii',
        action: 'mask',
        reason: `It has "ann@example.org".`,
        masked: { hash: sha256(`${job.id} ${seq}`), place: { blob: masks, offset: seq, bytes: 1 } },
      }) as const;
    await store.addVerdicts(job.id, [mask(7), mask(1_201)], done);
    await store.moveContribution(one.id, ['accepted'], { state: 'withdrawn' });
    await store.eraseContribution(one.id);

    const erased = await store.example(datanet, 7);
    expect(erased).toMatchObject({
      hash: someExamples(one, 7)[6]!.hash,
      place: null,
      source: null,
      group: null,
    });
    expect((await store.verdicts(job.id, {}, { limit: 9 })).data).toEqual([
      { seq: 7, stage: 'pii', action: 'mask', reason: 'Its text was erased.' },
      mask(1_201),
    ]);
    expect((await store.refusedRows(one.id, { limit: 9 })).data).toEqual([]);
    expect(await store.contribution(one.id)).toMatchObject({ rows: 1_203, refused: 3 });
    expect((await all(store.kept(datanet, job.id))).map(({ seq }) => seq)).toEqual([1_201, 1_202]);

    const erasures = await store.erasures();
    for (const blob of [one.sha256, sha256(one.id), masks]) expect(erasures).toContain(blob);
    expect(await store.usesBlob(sha256(one.id))).toBe(false);
    expect(await store.usesBlob(one.sha256)).toBe(false);
    expect(await store.usesBlob(masks)).toBe(true);
    await store.erased(masks);
    expect(await store.erasures()).not.toContain(masks);
  });

  test('withdraws examples of one hash: theirs alone go, with the files in which they came', async () => {
    const store = the();
    const { id: datanet } = await newDatanet(store);
    const one = await newAccepted(store, datanet, 1_200);
    const again = await newContribution(store, datanet, { sha256: one.sha256, state: 'failed' });
    const arriving = await newContribution(store, datanet);
    const other = await newAccepted(store, datanet, 2);
    const { hash } = someExamples(one, 8)[7]!;
    const job = await newJob(store, datanet, { kind: 'curate', state: 'succeeded' });
    const masks = sha256(`masks of ${job.id}`);
    const masked = { hash: sha256(`masked ${job.id}`), place: { blob: masks, offset: 0, bytes: 1 } };
    const said = {
      seq: 8,
      stage: 'pii',
      action: 'mask',
      reason: 'It has "ann@example.org".',
      masked,
    } as const;
    await store.addVerdicts(job.id, [said, { ...said, seq: 1_201 }], done);

    const copy = { contribution: one.id, contributor: one.contributor, state: 'accepted' };
    expect(await all(store.copiesOf(datanet, hash))).toEqual([{ ...copy, seq: 8, hasText: true }]);
    expect(await all(store.copiesOf(datanet, masked.hash))).toEqual([
      { ...copy, seq: 8, hasText: true },
      { ...copy, contribution: other.id, contributor: other.contributor, seq: 1_201, hasText: true },
    ]);
    expect(await all(store.copiesOf(datanet, sha256('nobody’s')))).toEqual([]);

    const withdrawal = { datanet, hash, by: 'tenant-a', reason: oddText, at: 7 };
    expect(await store.withdrawExamples(withdrawal, [8])).toBe(1);
    expect(await store.withdrawExamples(withdrawal, [8])).toBe(0);
    expect(await store.example(datanet, 8)).toMatchObject({ hash, place: null, source: null, group: null });
    expect((await store.example(datanet, 9))?.place).not.toBeNull();
    expect(await all(store.copiesOf(datanet, hash))).toEqual([{ ...copy, seq: 8, hasText: false }]);
    const [verdict] = (await store.verdicts(job.id, { seq: 8 }, { limit: 1 })).data;
    expect(verdict).toEqual({ seq: 8, stage: 'pii', action: 'mask', reason: 'Its text was erased.' });
    expect((await store.contribution(one.id))?.state).toBe('accepted');
    expect((await all(store.kept(datanet, null))).length).toBe(1_201);

    const erasures = await store.erasures();
    for (const blob of [one.sha256, sha256(one.id), masks]) expect(erasures).toContain(blob);
    expect(await store.usesBlob(one.sha256)).toBe(false);
    for (const blob of [sha256(one.id), masks, arriving.sha256, other.sha256])
      expect(await store.usesBlob(blob)).toBe(true);
    // Another Datanet's file of the same bytes is its own.
    await newContribution(store, (await newDatanet(store)).id, { sha256: again.sha256 });
    expect(await store.usesBlob(one.sha256)).toBe(true);

    const [told] = (await store.exampleWithdrawals(datanet, { limit: 9 })).data;
    expect(told).toEqual({ ...withdrawal, id: expect.any(Number), examples: 1 });
    expect(await store.exampleWithdrawals(datanet, { after: told!.id, limit: 9 })).toMatchObject({
      data: [],
    });
    expect(await store.openExampleWithdrawals()).toContain(told!.id);
    await store.scrub();
    await store.exampleWithdrawalsEnded([told!.id]);
    expect(await store.openExampleWithdrawals()).not.toContain(told!.id);
  });

  test('tells the texts of a blob and moves them, of examples and of masks', async () => {
    const store = the();
    const { id: datanet } = await newDatanet(store);
    const blob = sha256(`blob of ${datanet}`);
    await newAccepted(store, datanet, 2_100, { blob });
    const job = await newJob(store, datanet, { kind: 'curate' });
    const masked = { hash: sha256(`mask ${datanet}`), place: { blob, offset: 50_000, bytes: 3 } };
    await store.addVerdicts(job.id, [{ seq: 4, stage: 's', action: 'mask', reason: 'X.', masked }], done);
    const places = await all(store.placesIn(blob));
    expect(places).toHaveLength(2_101);
    expect(places.map(({ offset }) => offset)).toEqual(
      places.map(({ offset }) => offset).sort((a, b) => a - b),
    );
    const to = sha256(`other ${datanet}`);
    await store.moveTexts(
      blob,
      to,
      places.map(({ offset }, index) => ({ from: offset, to: index })),
    );
    expect(await store.usesBlob(blob)).toBe(false);
    expect((await store.example(datanet, 2_000))?.place).toEqual({ blob: to, offset: 1_999, bytes: 10 });
    expect((await store.verdicts(job.id, {}, { limit: 1 })).data[0]?.masked?.place).toEqual({
      blob: to,
      offset: 2_100,
      bytes: 3,
    });
    expect(await all(store.placesIn(blob))).toEqual([]);
    expect(await all(store.placesIn(sha256('never seen')))).toEqual([]);
  });

  test('knows what needs a blob', async () => {
    const store = the();
    const { id: datanet } = await newDatanet(store);
    expect(await store.usesBlob(sha256('nobody’s'))).toBe(false);
    const upload = await newContribution(store, datanet);
    expect(await store.usesBlob(upload.sha256)).toBe(true);
    await store.moveContribution(upload.id, ['submitted'], { state: 'withdrawn' });
    expect(await store.usesBlob(upload.sha256)).toBe(false);
    const parked = sha256(`parked ${datanet}`);
    const job = await newJob(store, datanet, { kind: 'import', params: { file: parked } });
    expect(await store.usesBlob(parked)).toBe(true);
    await store.updateJob(job.id, { state: 'cancelled' });
    expect(await store.usesBlob(parked)).toBe(false);
    const manifest = sha256(`manifest ${datanet}`);
    await store.createSnapshot({
      id: sha256('r'),
      datanet,
      parent: null,
      settings: { curation: null, seed: 1, shares: { train: 1, validation: 0, test: 0 }, apart: 'cluster' },
      counts: {
        examples: 0,
        contributions: 0,
        contributors: 0,
        splits: { train: 0, validation: 0, test: 0 },
      },
      manifest,
      provenance: null,
      createdAt: 1,
    });
    expect(await store.usesBlob(manifest)).toBe(true);
  });

  test('deletes a Datanet with all that is in it, and frees its name', async () => {
    const store = the();
    const { id: datanet, name } = await newDatanet(store);
    const one = await newAccepted(store, datanet, 2_500);
    const other = await newAccepted(store, (await newDatanet(store)).id, 3);
    const job = await newJob(store, datanet, { kind: 'curate' });
    await store.addVerdicts(job.id, [{ seq: 1, stage: 's', action: 'note', reason: 'N.' }], done);
    await store.override(datanet, 1, { keep: false, by: 'c', reason: 'r' });
    await store.setRole(datanet, 'a', 'owner');
    const hash = someExamples(one, 1)[0]!.hash;
    await store.withdrawExamples({ datanet, hash, by: 'a', reason: null, at: 1 }, [1]);
    await store.deleteDatanet(datanet);
    expect(await store.datanet(name)).toBeUndefined();
    expect(await store.contribution(one.id)).toBeUndefined();
    expect(await store.job(job.id)).toBeUndefined();
    expect(await store.role(datanet, 'a')).toBeUndefined();
    for (const blob of [one.sha256, sha256(one.id)]) {
      expect(await store.usesBlob(blob)).toBe(false);
      expect(await store.erasures()).toContain(blob);
    }
    expect(await store.usesBlob(sha256(other.id))).toBe(true);
    await store.deleteDatanet(datanet);
    await newDatanet(store, { name });
  });
}

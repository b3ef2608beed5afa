/** Of a DatanetStore: Datanets, roles, contributors, contributions, snapshots and jobs. */
import { expect, test } from 'vitest';
import type { Contribution, Snapshot } from '../../model.ts';
import type { DatanetStore } from '../datanet_store.ts';
import { allPages, newContribution, newContributor, newDatanet, newJob, oddText, sha256 } from './samples.ts';

export function recordCases(the: () => DatanetStore): void {
  test('gives a Datanet back as it was made, by its name, and refuses another of that name', async () => {
    const store = the();
    const datanet = await newDatanet(store);
    expect(await store.datanet(datanet.name)).toEqual(datanet);
    expect(await store.datanet('no-such')).toBeUndefined();
    await expect(newDatanet(store, { name: datanet.name })).rejects.toMatchObject({
      code: 'datanet_exists',
      status: 409,
      param: 'name',
    });
  });

  test('changes a Datanet, but not to the name of another', async () => {
    const store = the();
    const [one, other] = [await newDatanet(store), await newDatanet(store)];
    const change = {
      schema: null,
      open: false,
      licencePolicy: { allowed: [], denied: ['x'], outbound: 'MIT' },
    };
    await store.updateDatanet(one.id, change);
    expect(await store.datanet(one.name)).toEqual({ ...one, ...change });
    await expect(store.updateDatanet(one.id, { name: other.name })).rejects.toMatchObject({
      code: 'datanet_exists',
    });
    await store.updateDatanet(one.id, { name: `${one.name}-b` });
    expect(await store.datanet(one.name)).toBeUndefined();
    expect((await store.datanet(`${one.name}-b`))?.id).toBe(one.id);
  });

  test('lists Datanets in their order, page by page', async () => {
    const store = the();
    const first = await newDatanet(store);
    const ids = [];
    for (let made = 0; made < 5; made++) ids.push((await newDatanet(store)).id);
    const page = await store.datanets({ after: first.id, limit: 3 });
    expect(page.data.map(({ id }) => id)).toEqual(ids.slice(0, 3));
    expect(page.hasMore).toBe(true);
    const rest = await store.datanets({ after: ids[2]!, limit: 2 });
    expect(rest).toMatchObject({ data: [{ id: ids[3] }, { id: ids[4] }], hasMore: false });
    await expect(store.datanets({ after: 'dn_none', limit: 2 })).rejects.toMatchObject({ param: 'after' });
  });

  test('gives, changes and takes roles', async () => {
    const store = the();
    const { id } = await newDatanet(store);
    await store.setRole(id, 'b', 'curator');
    await store.setRole(id, 'a', 'contributor');
    await store.setRole(id, 'a', 'owner');
    expect(await store.roles(id)).toEqual([
      { tenant: 'a', role: 'owner' },
      { tenant: 'b', role: 'curator' },
    ]);
    expect(await store.role(id, 'b')).toBe('curator');
    await store.setRole(id, 'b', null);
    expect(await store.role(id, 'b')).toBeUndefined();
    await expect(store.setRole('dn_none', 'a', 'owner')).rejects.toMatchObject({ code: 'invalid_value' });
  });

  test('keeps contributors, by tenant and by Datanet', async () => {
    const store = the();
    const { id } = await newDatanet(store);
    const [one, two, elsewhere] = [
      await newContributor(store),
      await newContributor(store),
      await newContributor(store),
    ];
    for (const { id: contributor } of [two, one, two]) await newContribution(store, id, { contributor });
    expect(await store.contributor(one.id)).toEqual(one);
    await store.updateContributor(one.id, { payoutAddress: oddText, publicKey: null });
    const changed = { ...one, payoutAddress: oddText, publicKey: null };
    expect(await store.contributors({ datanet: id }, { limit: 9 })).toEqual({
      data: [changed, two],
      hasMore: false,
    });
    expect((await store.contributors({ datanet: id, tenant: two.tenant }, { limit: 9 })).data).toEqual([two]);
    expect((await store.contributors({ datanet: id }, { after: one.id, limit: 9 })).data).toEqual([two]);
    expect((await store.contributors({ tenant: elsewhere.tenant }, { limit: 9 })).data).toEqual([elsewhere]);
  });

  test('moves a contribution only from the states that are named', async () => {
    const store = the();
    const { id } = await newDatanet(store);
    const contribution = await newContribution(store, id);
    expect(await store.contribution(contribution.id)).toEqual(contribution);
    const change: Partial<Contribution> = {
      state: 'accepted',
      reviewer: 'r',
      reason: oddText,
      reviewedAt: 5,
    };
    expect(await store.moveContribution(contribution.id, ['checked', 'rejected'], change)).toBe(false);
    expect(await store.contribution(contribution.id)).toEqual(contribution);
    expect(await store.moveContribution(contribution.id, ['submitted'], change)).toBe(true);
    expect(await store.contribution(contribution.id)).toEqual({ ...contribution, ...change });
  });

  test('moves a contribution once, however many ask for it at a time', async () => {
    const store = the();
    const { id } = await newContribution(store, (await newDatanet(store)).id);
    const moved = await Promise.all(
      Array.from({ length: 8 }, (_, n) =>
        store.moveContribution(id, ['submitted'], { state: 'rejected', reason: `${n}` }),
      ),
    );
    expect(moved.filter(Boolean)).toHaveLength(1);
  });

  test('finds contributions by state, contributor and upload, and counts what a contributor holds', async () => {
    const store = the();
    const { id: datanet } = await newDatanet(store);
    const { id: contributor } = await newContributor(store);
    const states: Contribution['state'][] = [
      'submitted',
      'checked',
      'accepted',
      'rejected',
      'failed',
      'withdrawn',
    ];
    const made = [];
    for (const state of states) made.push(await newContribution(store, datanet, { state, contributor }));
    const other = await newContribution(store, datanet);
    const list = async (filter: object) =>
      (await store.contributions({ datanet, ...filter }, { limit: 20 })).data.map((one) => one.id);
    expect(await list({})).toEqual([...made, other].map((one) => one.id));
    expect(await list({ state: 'checked' })).toEqual([made[1]!.id]);
    expect(await list({ contributor, state: 'failed' })).toEqual([made[4]!.id]);
    expect(await list({ sha256: other.sha256 })).toEqual([other.id]);
    expect(await list({ sha256: 'no hash' })).toEqual([]);
    expect(await store.contributedBytes(datanet, contributor)).toBe(9_000_000_000);
    expect(await store.contributedBytes(datanet, 'ctr_none')).toBe(0);
    const paged = await allPages(
      (page) => store.contributions({ datanet }, page),
      ({ id }) => id,
      3,
    );
    expect(paged.map((one) => one.id)).toEqual(await list({}));
  });

  test('keeps one snapshot of a root, and refuses it with other settings', async () => {
    const store = the();
    const { id: datanet } = await newDatanet(store);
    const snapshot: Snapshot = {
      id: sha256('root'),
      datanet,
      parent: null,
      settings: {
        curation: null,
        seed: 7,
        shares: { train: 0.8, validation: 0.1, test: 0.1 },
        apart: 'source',
      },
      counts: {
        examples: 3,
        contributions: 2,
        contributors: 1,
        splits: { train: 3, validation: 0, test: 0 },
      },
      manifest: sha256('manifest'),
      provenance: sha256('provenance'),
      createdAt: 1_700_000_001,
    };
    expect(await store.latestSnapshot(datanet)).toBeUndefined();
    await store.createSnapshot(snapshot);
    await store.createSnapshot({ ...snapshot, createdAt: 1_800_000_000 });
    expect(await store.snapshot(datanet, snapshot.id)).toEqual(snapshot);
    const otherwise = { ...snapshot, settings: { ...snapshot.settings, seed: 8 } };
    await expect(store.createSnapshot(otherwise)).rejects.toMatchObject({
      code: 'snapshot_exists',
      status: 409,
    });
    const next = { ...snapshot, id: sha256('next'), parent: snapshot.id };
    await store.createSnapshot(next);
    // The same examples in another Datanet have the same root.
    await store.createSnapshot({ ...snapshot, datanet: (await newDatanet(store)).id });
    expect(await store.latestSnapshot(datanet)).toEqual(next);
    expect((await store.snapshots(datanet, { limit: 1 })).data).toEqual([snapshot]);
    expect(await store.snapshots(datanet, { after: snapshot.id, limit: 1 })).toEqual({
      data: [next],
      hasMore: false,
    });
  });

  test('keeps jobs, and changes them only in the states that are named', async () => {
    const store = the();
    const { id: datanet } = await newDatanet(store);
    const job = await newJob(store, datanet, { state: 'queued', params: { text: oddText } });
    expect(await store.job(job.id)).toEqual(job);
    expect(await store.updateJob(job.id, { state: 'running' }, ['running'])).toBe(false);
    expect(
      await store.updateJob(job.id, { state: 'running', total: 3, checkpoint: { at: 1 } }, ['queued']),
    ).toBe(true);
    const done = await newJob(store, datanet, { state: 'succeeded' });
    expect((await store.jobs({ datanet, state: ['queued', 'running'] }, { limit: 5 })).data).toEqual([
      { ...job, state: 'running', total: 3, checkpoint: { at: 1 } },
    ]);
    expect((await store.jobs({ datanet }, { after: job.id, limit: 5 })).data).toEqual([done]);
    expect((await store.jobs({ datanet, state: [] }, { limit: 5 })).data).toEqual([]);
    expect(await store.updateJob('job_none', { done: 1 })).toBe(false);
  });
}

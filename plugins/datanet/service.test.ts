/** The service as it is opened by a server, on every store: crashes, outages, what is erased, and that snapshots are equal. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ColophonError } from '../../gateway/contract/index.ts';
import { Contributions } from './contributions.ts';
import { readRows } from './formats/read_rows.ts';
import { checkWork } from './jobs/check.ts';
import { JobRunner } from './jobs/runner.ts';
import { canonicalContent } from './snapshots/canonical.ts';
import type { BlobStore } from './store/blob_store.ts';
import { newContributor, newDatanet } from './store/conformance/samples.ts';
import {
  accept,
  bytesOf,
  chat,
  ended,
  filesWith,
  freeze,
  give,
  killedAt,
  limits,
  log,
  open,
} from './testing/life.ts';
import { storeKinds, type TestStores } from './testing/stores.ts';

const snapshotIds: unknown[] = [];

describe.each(storeKinds)('$name', ({ name, here, start }) => {
  let stores: TestStores;
  beforeAll(async () => {
    if (here) stores = await start();
  });
  afterAll(() => stores?.close());

  describe.skipIf(!here)('with its servers', () => {
    serviceCases(() => stores, name);
  });
});

test.skipIf(!storeKinds.every(({ here }) => here))('a snapshot has one id on all stores', () => {
  expect(snapshotIds).toHaveLength(storeKinds.length);
  expect(new Set(snapshotIds).size).toBe(1);
});

function serviceCases(stores: () => TestStores, name: string): void {
  test('a withdrawal that is killed between any two of its steps is ended by the next start', async () => {
    const writes = [
      'withdrawContribution',
      'eraseContribution',
      'moveTexts',
      'erased',
      'withdrawalEnded',
      'write',
      'delete',
    ];
    let steps = 0;
    for (let whole = false; !whole; steps++) {
      const place = await stores().fresh();
      const before = await open(place);
      const word = `Xylograph${name.length}x${steps}y`;
      const { contribution } = await give(before, `${chat(word)}\n{broken ${word}\n`);
      const left = { calls: steps };
      const killed = new Contributions({
        ...before,
        store: killedAt(before.store, writes, left),
        blobs: killedAt(before.blobs, writes, left),
        uploadBytes: 1,
        checkLicence: () => {},
        isSigned: () => false,
      });
      whole = await killed.withdraw(contribution, null).then(
        () => true,
        (error) => {
          expect(error.message).toBe('killed');
          return false;
        },
      );
      await before.close();
      const after = await open(place);
      const { state } = (await after.store.contribution(contribution.id))!;
      expect(state).toBe(steps === 0 ? 'checked' : 'withdrawn');
      expect(await after.store.withdrawals()).toEqual([]);
      expect(await after.store.erasures()).toEqual([]);
      await after.close();
      if (steps === 0) expect(filesWith(place, word)).not.toEqual([]);
      else expect(filesWith(place, word), `killed at step ${steps}`).toEqual([]);
    }
    expect(steps).toBeGreaterThan(4);
  });

  test('what is withdrawn is in no byte of any file, while others keep theirs', async () => {
    const place = await stores().fresh();
    const service = await open(place);
    const mine = await give(service, `${chat('Quixotry mine')}\n${chat('shared row')}\n{broken Quixotry\n`);
    const other = await give(service, `${chat('shared row')}\n${chat('Kept')}\n`, mine.net.name);
    await accept(service, mine.contribution);
    await accept(service, other.contribution);
    await freeze(service, mine.net.id);
    expect(filesWith(place, 'Quixotry')).not.toEqual([]);
    await service.contributions.withdraw((await service.store.contribution(mine.contribution.id))!, null);
    expect(filesWith(place, 'Quixotry')).toEqual([]);
    expect(filesWith(place, 'Kept')).not.toEqual([]);
    await service.close();
    expect(filesWith(place, 'Quixotry')).toEqual([]);
  });

  test('a snapshot is the same each time, and warns of splits that are empty', async () => {
    const service = await open(await stores().fresh());
    const rows = Array.from({ length: 40 }, (_, at) => chat(`question ${at}`)).join('\n');
    const { net, contribution } = await give(service, rows);
    await accept(service, contribution);
    const first = await freeze(service, net.id, [0.8, 0.1, 0.1]);
    expect(first.counts).toMatchObject({ examples: 40, splits: { train: 40, validation: 0, test: 0 } });
    expect(first.warnings).toEqual([
      expect.stringContaining("The split 'validation' is empty"),
      expect.stringContaining("The split 'test' is empty"),
    ]);
    expect((await freeze(service, net.id, [0.8, 0.1, 0.1])).snapshot).toBe(first.snapshot);
    snapshotIds.push(first.snapshot);
    await service.close();
  });

  test('a check that meets an outage waits, says why, and ends when that is over', async () => {
    const service = await open(await stores().fresh());
    const { store } = service;
    const outage = new ColophonError('The Datanet store cannot be reached now (gone). Try again.', {
      type: 'service_unavailable_error',
      code: 'store_unavailable',
    });
    const fault = { now: outage as Error | undefined };
    const blobs = new Proxy(service.blobs, {
      get: (target: BlobStore, called: keyof BlobStore) =>
        called === 'read' && fault.now
          ? () => {
              throw fault.now;
            }
          : (target[called] as () => unknown).bind(target),
    });
    const check = checkWork({
      store,
      blobs,
      readRows,
      canonical: (content) => canonicalContent(content).bytes,
      limits,
      takenBy: async () => ({ kinds: ['chat'], schema: null }),
    });
    const jobs = new JobRunner(store, { check }, log, { first: 1, longest: 4, attempts: 3 });
    const contributions = new Contributions({
      ...service,
      jobs,
      uploadBytes: 1e6,
      checkLicence: () => {},
      isSigned: () => true,
    });
    const net = await newDatanet(store);
    const contributor = await newContributor(store, { publicKey: null });
    const said = {
      filename: 'a.jsonl',
      format: {},
      licence: 'CC0-1.0',
      source: 's',
      rights: 'r',
      signature: null,
    };
    const given = await contributions.submit(net, contributor, said, bytesOf(chat('waits')));
    const state = async () => store.contribution(given.contribution.id);
    await expect
      .poll(async () => (await state())!.reason)
      .toBe(`Its check waits to be tried again: ${outage.message}`);
    // More often than `attempts`: an outage is waited for without end.
    await expect
      .poll(async () => (await store.job(given.job.id))!.error)
      .toMatch(/cannot be reached.*Attempt ([4-9]|\d\d+) ended so/);
    expect((await state())!.state).toBe('submitted');
    fault.now = undefined;
    expect(await ended(store, given.job.id)).toMatchObject({ state: 'succeeded', error: null });
    expect(await state()).toMatchObject({ state: 'checked', reason: null, rows: 1 });

    // What nobody foresaw is tried so many times; then it says so, and the file can come again.
    fault.now = new Error('a bug');
    const again = await contributions.submit(net, contributor, said, bytesOf(chat('fails')));
    expect(await ended(store, again.job.id)).toMatchObject({ state: 'failed' });
    expect(await store.contribution(again.contribution.id)).toMatchObject({
      state: 'failed',
      reason: 'It could not be checked: The server had a fault; its log says more. Send it again.',
    });
    fault.now = undefined;
    const third = await contributions.submit(net, contributor, said, bytesOf(chat('fails')));
    expect(await ended(store, third.job.id)).toMatchObject({ state: 'succeeded' });
    await jobs.drain();
    await service.close();
  });
}

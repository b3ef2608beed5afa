/** One example that is taken back, on every store: no byte of it is left, its neighbours and old proofs stay. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Contributions } from './contributions.ts';
import { settingsOf } from './curation/settings.ts';
import type { CurateParams } from './jobs/curate.ts';
import type { Content, Datanet } from './model.ts';
import type { OpenService } from './service.ts';
import { snapshotFiles } from './snapshot_files.ts';
import { canonicalContent } from './snapshots/canonical.ts';
import { Manifest } from './snapshots/manifest.ts';
import { checkProof, proveExample } from './snapshots/proof.ts';
import { newContribution, newDatanet, newJob, someExamples } from './store/conformance/samples.ts';
import { accept, chat, ended, filesWith, freeze, give, killedAt, open } from './testing/life.ts';
import { storeKinds, type TestStores } from './testing/stores.ts';

const hashOf = (row: string) => canonicalContent(JSON.parse(row) as Content).hash;
const everyone = { by: 'r', reason: null, isTheirs: async () => true };

async function prove(
  { store, blobs }: OpenService,
  { id: datanet, name }: Datanet,
  id: string,
  hash: string,
) {
  const snapshot = (await store.snapshot(datanet, id))!;
  return proveExample(hash, {
    snapshot,
    manifest: await Manifest.open(blobs, snapshot.manifest),
    contribution: (one) => store.contribution(one),
    contributor: (one) => store.contributor(one),
    datanet: name,
  });
}

async function textOf(service: OpenService, { name }: Datanet, snapshot: string) {
  const file = await snapshotFiles(async () => service).find(`datanet:${name}@${snapshot}`, {
    tenant: 'o',
    operator: true,
  });
  const chunks: Uint8Array[] = [];
  for await (const chunk of await file!.content()) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

describe.each(storeKinds)('$name', ({ name, here, start }) => {
  let stores: TestStores;
  beforeAll(async () => {
    if (here) stores = await start();
  });
  afterAll(() => stores?.close());

  describe.skipIf(!here)('with its servers', () => {
    test('its text is in no byte of any file; its neighbours, and proofs of it, stay', async () => {
      const place = await stores.fresh();
      const service = await open(place);
      const { store, blobs, jobs, contributions } = service;
      const secret = chat('Quixotry, write to jane@example.org');
      const { net, contribution } = await give(service, `${secret}\n${chat('Kept one')}\n{broken\n`);
      await accept(service, contribution);
      const other = await give(service, `${chat('Kept two')}\n${secret}\n`, net.name);
      await accept(service, other.contribution);
      const params: CurateParams = { settings: settingsOf(), tenant: 'o', operator: true };
      const curation = await jobs.submit(net.id, 'curate', { ...params });
      expect(await ended(store, curation.id)).toMatchObject({
        state: 'succeeded',
        report: { stages: { pii: { mask: 2 } } },
      });
      const old = (await freeze(service, net.id)).snapshot as string;
      const masked = (await store.verdicts(curation.id, { action: 'mask' }, { limit: 1 })).data[0]!.masked!;
      expect(filesWith(place, 'Quixotry')).not.toEqual([]);

      const word = { ...everyone, reason: 'It names a person.' };
      // By the hash that a snapshot of the curated rows would have: the same rows.
      expect(await contributions.withdrawExample(net, masked.hash, word)).toEqual({
        withdrawn: 2,
        remaining: 0,
      });
      expect(filesWith(place, 'Quixotry')).toEqual([]);
      for (const { sha256 } of [contribution, other.contribution])
        expect(await blobs.size(sha256)).toBeUndefined();
      expect((await store.refusedRows(contribution.id, { limit: 9 })).data).toMatchObject([{ line: 3 }]);
      expect(await store.contribution(contribution.id)).toMatchObject({ state: 'accepted', rows: 3 });
      expect(await contributions.withdrawExample(net, hashOf(secret), word)).toEqual({
        withdrawn: 0,
        remaining: 0,
      });
      expect((await store.exampleWithdrawals(net.id, { limit: 9 })).data).toMatchObject([
        { hash: masked.hash, examples: 2, by: 'r', reason: 'It names a person.' },
      ]);

      const later = (await freeze(service, net.id)).snapshot as string;
      expect(await textOf(service, net, later)).toBe(
        [chat('Kept one'), chat('Kept two')]
          .sort((a, b) => (hashOf(a) < hashOf(b) ? -1 : 1))
          .map((row) => `${Buffer.from(canonicalContent(JSON.parse(row)).bytes)}\n`)
          .join(''),
      );
      await expect(textOf(service, net, old)).rejects.toMatchObject({
        code: 'example_withdrawn',
        message: expect.stringContaining(`(line 1 of the contribution '${contribution.id}')`),
      });
      const proof = await prove(service, net, old, hashOf(secret));
      expect(checkProof(proof, { content: JSON.parse(secret) })).toBeNull();
      await expect(prove(service, net, later, hashOf(secret))).rejects.toMatchObject({
        code: 'example_not_in_snapshot',
      });

      await service.close();
      const next = await open(place);
      expect(filesWith(place, 'Quixotry')).toEqual([]);
      expect(await textOf(next, net, later)).toContain('Kept one');
      await next.close();
    });

    test('not before its contribution is checked: what is not read yet would be missed', async () => {
      const service = await open(await stores.fresh());
      const { store, contributions } = service;
      const net = await newDatanet(store);
      const contribution = await newContribution(store, net.id);
      const { id } = await newJob(store, net.id);
      const examples = someExamples(contribution, 3);
      await store.addRows(contribution.id, { examples, refused: [] }, { id, checkpoint: {}, done: 3 });
      const { hash } = examples[1]!;
      await expect(contributions.withdrawExample(net, hash, everyone)).rejects.toMatchObject({
        code: 'example_being_checked',
        status: 409,
        message: expect.stringContaining(contribution.id),
      });
      expect((await store.example(net.id, 2))?.place).not.toBeNull();
      await service.close();
    });

    test('killed between any two of its steps, it is ended by the next start', async () => {
      const writes = [
        'withdrawExamples',
        'scrub',
        'moveTexts',
        'erased',
        'exampleWithdrawalsEnded',
        'write',
        'delete',
      ];
      let steps = 0;
      for (let whole = false; !whole; steps++) {
        const place = await stores.fresh();
        const before = await open(place);
        const word = `Xylograph${name.length}x${steps}y`;
        const row = JSON.stringify({ ...JSON.parse(chat(word)), source: word });
        const { net, contribution } = await give(before, `${row}\n${chat('Kept')}\n`);
        const left = { calls: steps };
        const killed = new Contributions({
          ...before,
          store: killedAt(before.store, writes, left),
          blobs: killedAt(before.blobs, writes, left),
          uploadBytes: 1,
          checkLicence: () => {},
          isSigned: () => false,
        });
        whole = await killed.withdrawExample(net, hashOf(chat(word)), everyone).then(
          () => true,
          (error) => {
            expect(error.message).toBe('killed');
            return false;
          },
        );
        await before.close();
        const after = await open(place);
        const { data } = await after.store.examples(net.id, {}, { limit: 9 });
        expect(data.map(({ place: text }) => text !== null)).toEqual([steps === 0, true]);
        expect(await after.store.openExampleWithdrawals()).toEqual([]);
        expect(await after.store.erasures()).toEqual([]);
        expect((await after.store.contribution(contribution.id))?.state).toBe('checked');
        await after.close();
        if (steps === 0) expect(filesWith(place, word)).not.toEqual([]);
        else expect(filesWith(place, word), `killed at step ${steps}`).toEqual([]);
      }
      expect(steps).toBeGreaterThan(5);
    });
  });
});

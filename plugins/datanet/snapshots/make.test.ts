import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { SnapshotEntry } from '../model.ts';
import { makeSnapshot } from './make.ts';
import { inclusionProof, merkleRoot, verifyInclusion } from './merkle.ts';
import { blobsInMemory, hashOf, kept, made, settings, storeOf } from './testing/snapshots.ts';

test('the root is over the distinct hashes in ascending order, and every entry is found and proved', async () => {
  const rows = [...Array.from({ length: 50 }, (_, at) => kept(at)), kept(50, { hash: hashOf('example 3') })];
  const { snapshot, manifest, entries } = await made(rows);
  const hashes = [...new Set(rows.map(({ hash }) => hash))].sort();
  const tree = { leaves: Buffer.from(hashes.join(''), 'hex'), leafBytes: 32 };
  expect(entries.map(({ hash }) => hash)).toEqual(hashes);
  expect(await manifest.leaves()).toEqual(tree.leaves);
  expect(snapshot.id).toBe(merkleRoot(tree).toString('hex'));
  expect(snapshot.counts.examples).toBe(50);
  expect(entries.find(({ hash }) => hash === hashOf('example 3'))).toMatchObject({ line: 3 });
  for (const [at, entry] of entries.entries()) {
    expect(await manifest.find(entry.hash)).toEqual({ at, entry });
    const leaf = Buffer.from(entry.hash, 'hex');
    const root = Buffer.from(snapshot.id, 'hex');
    expect(verifyInclusion(leaf, at, 50, inclusionProof(tree, at), root)).toBe(true);
  }
  expect(await manifest.find('00'.repeat(32))).toBeUndefined();
});

test('made again it is the same snapshot, and a new one follows it', async () => {
  const rows = Array.from({ length: 10 }, (_, at) => kept(at));
  const store = storeOf(rows);
  const blobs = blobsInMemory();
  const first = await makeSnapshot(store, blobs, { datanet: 'd', name: 'demo', settings, now: 1 });
  expect(await makeSnapshot(store, blobs, { datanet: 'd', name: 'demo', settings, now: 2 })).toEqual(first);
  rows.push(kept(10));
  const next = await makeSnapshot(store, blobs, { datanet: 'd', name: 'demo', settings, now: 3 });
  expect(next).toMatchObject({ parent: first.id, createdAt: 3 });
});

test('of nothing, and with shares that are none, there is none', async () => {
  await expect(made([])).rejects.toMatchObject({ code: 'empty_snapshot' });
  const shares = { train: 0.9, validation: 0.2, test: 0 };
  await expect(made([kept(1)], { shares })).rejects.toMatchObject({ code: 'invalid_shares' });
});

describe('splits', () => {
  const row = fc.record({
    cluster: fc.option(fc.nat(20)),
    group: fc.option(fc.nat(30).map(String)),
    source: fc.option(fc.nat(10).map(String)),
    contributor: fc.nat(8).map(String),
    hash: fc.nat(60).map((at) => hashOf(String(at))),
  });
  const rows = fc
    .array(row, { minLength: 1, maxLength: 80 })
    .map((some) => some.map((fields, seq) => kept(seq, fields)));

  test.each([
    'cluster',
    'source',
    'contributor',
  ] as const)('never share a cluster, a group or a %s', async (apart) => {
    await fc.assert(
      fc.asyncProperty(rows, async (some) => {
        const { entries } = await made(some, { apart });
        const splitOf = new Map(entries.map(({ hash, split }) => [hash, split]));
        for (const key of ['cluster', 'group', apart] as const) {
          const seen = new Map<unknown, string>();
          for (const one of some) {
            if (one[key] === null) continue;
            const split = splitOf.get(one.hash)!;
            expect(seen.get(one[key]) ?? split).toBe(split);
            seen.set(one[key], split);
          }
        }
      }),
    );
  });

  test('do not depend on the order in which examples came', async () => {
    await fc.assert(
      fc.asyncProperty(rows, fc.infiniteStream(fc.nat()), async (some, order) => {
        const turned = some
          .map((one) => ({ one, at: order.next().value as number }))
          .sort((a, b) => a.at - b.at)
          .map(({ one }) => one);
        const splitsOf = (entries: SnapshotEntry[]) => entries.map(({ hash, split }) => [hash, split]);
        const [a, b] = [await made(some), await made(turned)];
        expect(splitsOf(b.entries)).toEqual(splitsOf(a.entries));
        expect(b.snapshot.id).toBe(a.snapshot.id);
      }),
    );
  });

  test('meet the shares of many small components, and another seed draws others', async () => {
    const many = Array.from({ length: 1000 }, (_, at) => kept(at));
    const { snapshot, entries } = await made(many);
    expect(snapshot.counts.splits).toEqual({ train: 800, validation: 100, test: 100 });
    const other = await made(many, { seed: 2 });
    expect(other.entries.map(({ split }) => split)).not.toEqual(entries.map(({ split }) => split));
    const all = await made(many, { shares: { train: 1, validation: 0, test: 0 } });
    expect(all.snapshot.counts.splits).toEqual({ train: 1000, validation: 0, test: 0 });
  });
});

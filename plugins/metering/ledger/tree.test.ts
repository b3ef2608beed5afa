import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { verifyConsistency, verifyInclusion } from '../../datanet/snapshots/merkle.ts';
import { PlainTiles, plainPath, plainProof, plainRoot } from './testing/plain_tree.ts';
import {
  longestEntry,
  newTiles,
  parseBundle,
  parseTilePath,
  type TileName,
  tilePath,
  widthIn,
  writeBundle,
} from './tiles.ts';
import { Tree } from './tree.ts';

const entries = Array.from({ length: 600 }, (_, at) => Buffer.from(`entry ${at}`));
const treeOf = (size: number, fanout = 256) => new Tree(new PlainTiles(entries.slice(0, size), fanout), size);
const hex = (path: readonly Buffer[]) => path.map((one) => one.toString('hex'));

/** The leaves, roots and proofs that Certificate Transparency's implementations of RFC 6962 are tested with. */
test('the published vectors', () => {
  const leaves = [
    '',
    '00',
    '10',
    '2021',
    '3031',
    '40414243',
    '5051525354555657',
    '606162636465666768696a6b6c6d6e6f',
  ].map((one) => Buffer.from(one, 'hex'));
  const tree = (size: number) => new Tree(new PlainTiles(leaves), size);
  expect(tree(0).root().toString('hex')).toBe(
    'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  );
  expect(tree(8).root().toString('hex')).toBe(
    '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
  );
  expect(hex(tree(8).inclusion(5))).toEqual([
    'bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b',
    'ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0',
    'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  ]);
  expect(hex(tree(8).consistency(6))).toEqual([
    '0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a',
    'ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0',
    'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  ]);
});

describe('a tree of tiles is the tree of RFC 6962', () => {
  test('roots of every size from 0 to 300', () => {
    for (let size = 0; size <= 300; size++)
      expect(treeOf(size).root()).toEqual(plainRoot(entries.slice(0, size)));
  });

  test('proofs of any entry and any beginning, and they verify', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 600 }),
        fc.nat(),
        fc.nat(),
        fc.constantFrom(16, 256),
        (size, a, b, fanout) => {
          const tree = treeOf(size, fanout);
          const d = entries.slice(0, size);
          const [index, first] = [a % size, (b % size) + 1];
          const path = tree.inclusion(index);
          expect(hex(path)).toEqual(hex(plainPath(index, d)));
          expect(verifyInclusion(d[index]!, index, size, path, tree.root())).toBe(true);
          const proof = tree.consistency(first);
          expect(hex(proof)).toEqual(hex(plainProof(first, d)));
          expect(verifyConsistency(first, tree.rootAt(first), size, tree.root(), proof)).toBe(true);
        },
      ),
      { numRuns: 60 },
    );
  });

  test('a bit changed anywhere in a proof of consistency breaks it', () => {
    for (const [first, size] of [
      [6, 8],
      [255, 257],
      [256, 300],
      [129, 600],
    ] as const) {
      const tree = treeOf(size);
      const proof = tree.consistency(first);
      const [old, now] = [tree.rootAt(first), tree.root()];
      for (let bit = 0; bit < proof.length * 256; bit++) {
        const changed = proof.map((one) => Buffer.from(one));
        changed[bit >> 8]![(bit >> 3) % 32]! ^= 1 << (bit & 7);
        expect(verifyConsistency(first, old, size, now, changed)).toBe(false);
      }
    }
  });

  test('of nothing, and of what is not there', () => {
    expect(treeOf(5).consistency(0)).toEqual([]);
    expect(treeOf(5).consistency(5)).toEqual([]);
    expect(() => treeOf(5).inclusion(5)).toThrow('The log has 5 entries; there is none at 5.');
    expect(() => treeOf(5).consistency(6)).toThrow('The log has 5 entries; it did not begin with 6.');
  });
});

describe('tiles', () => {
  test.each<[TileName, string]>([
    [{ level: 0, number: 1234067, width: 256 }, 'tile/0/x001/x234/067'],
    [{ level: 0, number: 0, width: 256 }, 'tile/0/000'],
    [{ level: 1, number: 1000, width: 17 }, 'tile/1/x001/000.p/17'],
    [{ level: 'entries', number: 999, width: 1 }, 'tile/entries/999.p/1'],
  ])('%j is at %s', (name, path) => {
    expect(tilePath(name)).toBe(path);
    expect(parseTilePath(path)).toEqual(name);
  });

  test.each([
    '',
    'tile/0',
    'tile/0/',
    'tile/0/0',
    'tile/00/000',
    'tile/64/000',
    'tile/-1/000',
    'tile/0/000.p/0',
    'tile/0/000.p/256',
    'tile/0/000.p/01',
    'tile/0/x000/001',
    'tile/0/000/001',
    'tile/0/x001',
    'tile/0/x999/x999/x999/x999/x999/999',
    'tile/entries/../../keys/0001.pem',
    'tile/0/000/../001',
    'tile/0/000\n',
    '/tile/0/000',
  ])('%j is no path', (path) => {
    expect(parseTilePath(path)).toBeUndefined();
  });

  test("the specification's example of 70,000 entries", () => {
    const width = (level: number, number: number) => widthIn(70_000, level, number);
    expect([width(0, 272), width(0, 273), width(0, 274)]).toEqual([256, 112, 0]);
    expect([width(1, 0), width(1, 1), width(1, 2)]).toEqual([256, 17, 0]);
    expect([width(2, 0), width(2, 1), width(3, 0)]).toEqual([1, 0, 0]);
    expect([widthIn(256, 0, 0), widthIn(256, 1, 0)]).toEqual([256, 1]);
    expect(widthIn(70_000, 'entries', 273)).toBe(112);
  });

  test('what is new between any two sizes is all that the larger has and the smaller has not', () => {
    const all = (size: number) => new Set([...newTiles(0, size)].map(tilePath));
    fc.assert(
      fc.property(fc.nat(200_000), fc.nat(3000), (before, more) => {
        const fresh = [...newTiles(before, before + more)].map(tilePath);
        const old = all(before);
        expect(new Set(fresh)).toEqual(new Set([...all(before + more)].filter((path) => !old.has(path))));
      }),
      { numRuns: 30 },
    );
  });

  test('bundles come back, and no cut of one is a bundle of as many', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 400 }), { minLength: 1, maxLength: 40 }), (given) => {
        const bytes = writeBundle(given);
        expect(parseBundle(bytes)?.map((one) => [...one])).toEqual(given.map((one) => [...one]));
        for (let end = 0; end < bytes.length; end++)
          expect(parseBundle(bytes.subarray(0, end))?.length ?? -1).toBeLessThan(given.length);
      }),
      { numRuns: 30 },
    );
    expect(parseBundle(writeBundle([Buffer.alloc(longestEntry)]))![0]).toHaveLength(longestEntry);
    expect(() => writeBundle([Buffer.alloc(longestEntry + 1)])).toThrow('An entry has 65536 bytes');
  });
});

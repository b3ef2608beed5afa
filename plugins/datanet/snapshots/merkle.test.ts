import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  consistencyProof,
  inclusionProof,
  type Leaves,
  leafHash,
  MerkleRoot,
  merkleRoot,
  verifyConsistency,
  verifyInclusion,
} from './merkle.ts';

/** The leaves and roots that certificate-transparency's implementations of RFC 6962 are tested with. */
const knownLeaves = [
  '',
  '00',
  '10',
  '2021',
  '3031',
  '40414243',
  '5051525354555657',
  '606162636465666768696a6b6c6d6e6f',
].map((hex) => Buffer.from(hex, 'hex'));
const knownRoots = [
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
];

const leavesOf = (count: number): Leaves => {
  const leaves = Buffer.alloc(count * 4);
  for (let at = 0; at < count; at++) leaves.writeUInt32BE(at * 7919, at * 4);
  return { leaves, leafBytes: 4 };
};
const leaf = (tree: Leaves, at: number) => tree.leaves.subarray(at * 4, at * 4 + 4);

describe('the published vectors of RFC 6962', () => {
  test('roots of no leaf and of one to eight', () => {
    const root = new MerkleRoot();
    expect(root.root().toString('hex')).toBe(
      'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
    );
    for (const [at, one] of knownLeaves.entries()) {
      root.add(one);
      expect(root.root().toString('hex')).toBe(knownRoots[at]);
    }
    expect(root.size).toBe(8);
  });

  test.each([
    [
      0,
      8,
      [
        '96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7',
        '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
        '6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4',
      ],
    ],
    [
      5,
      8,
      [
        'bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b',
        'ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0',
        'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
      ],
    ],
    [2, 3, ['fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125']],
  ])('the path of leaf %i in a tree of %i', (index, size, path) => {
    const bytes = path.map((hex) => Buffer.from(hex, 'hex'));
    const root = Buffer.from(knownRoots[size - 1]!, 'hex');
    expect(verifyInclusion(knownLeaves[index]!, index, size, bytes, root)).toBe(true);
    expect(verifyInclusion(knownLeaves[index]!, index + 1, size, bytes, root)).toBe(false);
  });

  test('consistency of 6 with 8', () => {
    const path = [
      '0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a',
      'ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0',
      'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
    ].map((hex) => Buffer.from(hex, 'hex'));
    const root = (size: number) => Buffer.from(knownRoots[size - 1]!, 'hex');
    expect(verifyConsistency(6, root(6), 8, root(8), path)).toBe(true);
    expect(verifyConsistency(5, root(5), 8, root(8), path)).toBe(false);
  });
});

describe('proofs', () => {
  test('every leaf of every tree up to 40 leaves, and none where it is not', () => {
    for (let size = 1; size <= 40; size++) {
      const tree = leavesOf(size);
      const root = merkleRoot(tree);
      for (let index = 0; index < size; index++) {
        const path = inclusionProof(tree, index);
        expect(verifyInclusion(leaf(tree, index), index, size, path, root)).toBe(true);
        expect(verifyInclusion(leaf(tree, index), (index + 1) % size, size, path, root)).toBe(size === 1);
        expect(verifyInclusion(Buffer.from('other'), index, size, path, root)).toBe(false);
        expect(verifyInclusion(leaf(tree, index), index, size, [...path, leafHash(root)], root)).toBe(false);
      }
    }
  });

  test('every beginning of every tree up to 40 leaves', () => {
    for (let size = 1; size <= 40; size++) {
      const tree = leavesOf(size);
      const root = merkleRoot(tree);
      for (let first = 1; first <= size; first++) {
        const path = consistencyProof(tree, first);
        const before = merkleRoot(leavesOf(first));
        expect(verifyConsistency(first, before, size, root, path)).toBe(true);
        expect(verifyConsistency(first, leafHash(before), size, root, path)).toBe(false);
        if (path.length > 0) expect(verifyConsistency(first, before, size, root, path.slice(1))).toBe(false);
      }
    }
  });

  test('a bit changed anywhere in a path breaks it', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 200 }),
        fc.nat(),
        fc.nat(),
        fc.nat(255),
        (size, at, where, bit) => {
          const tree = leavesOf(size);
          const index = at % size;
          const path = inclusionProof(tree, index);
          const changed = path.map((one) => Buffer.from(one));
          changed[where % path.length]![bit >> 3]! ^= 1 << (bit & 7);
          expect(verifyInclusion(leaf(tree, index), index, size, changed, merkleRoot(tree))).toBe(false);
        },
      ),
    );
  });

  test('of leaves that are not there', () => {
    expect(() => inclusionProof(leavesOf(3), 3)).toThrow('The tree has 3 leaves; there is none at 3.');
    expect(() => consistencyProof(leavesOf(3), 4)).toThrow(RangeError);
  });
});

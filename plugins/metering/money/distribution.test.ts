import { StandardMerkleTree } from '@openzeppelin/merkle-tree';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { checksummed } from './addresses.ts';
import {
  distributionOf,
  leafTypes,
  type Payee,
  type PayoutProof,
  payoutFault,
  proofsOf,
  verifyPayout,
} from './distribution.ts';

const digits = fc.array(fc.constantFrom(...'0123456789abcdef'), { minLength: 40, maxLength: 40 });
const payees = fc.uniqueArray(
  fc.record({
    address: digits
      .filter((some) => some.some((digit) => digit !== '0'))
      .map((some) => checksummed(`0x${some.join('')}`)),
    amount: fc
      .oneof(fc.bigInt({ min: 1n, max: 1000n }), fc.bigInt({ min: 1n, max: 2n ** 256n - 1n }))
      .map(String),
  }),
  { selector: ({ address }) => address, minLength: 1, maxLength: 40 },
);

function filesOf(some: readonly Payee[]): PayoutProof[] {
  const tree = distributionOf(some)!;
  return [...proofsOf(tree.dump())].map((one) => ({
    format: 'colophon-payout-v1',
    epoch: 1,
    currency: 'unit',
    ...one,
    root: tree.root,
  }));
}

test('of any payees each has a proof, the one that the library makes, and it verifies after JSON', () => {
  fc.assert(
    fc.property(payees, (some) => {
      const tree = distributionOf(some)!;
      const loaded = StandardMerkleTree.load<[string, string]>(JSON.parse(JSON.stringify(tree.dump())));
      expect(loaded.root).toBe(tree.root);
      expect(distributionOf(some.toReversed())?.root).toBe(tree.root);
      const files = filesOf(some);
      expect(files.map(({ address, amount }) => [address, amount]).sort()).toEqual(
        some.map(({ address, amount }) => [address, amount]).sort(),
      );
      for (const file of files) {
        expect(file.proof).toEqual(loaded.getProof([file.address, file.amount]));
        expect(payoutFault(JSON.parse(JSON.stringify(file)), tree.root)).toBeNull();
        expect(verifyPayout({ ...file, amount: String(BigInt(file.amount) + 1n) }, tree.root)).toBe(false);
      }
    }),
    { numRuns: 40 },
  );
});

test('the root is that of the leaves as OpenZeppelin hashes them', () => {
  // The example of the library's own documentation, of two leaves.
  const leaves: Array<[string, string]> = [
    ['0x1111111111111111111111111111111111111111', '5000000000000000000'],
    ['0x2222222222222222222222222222222222222222', '2500000000000000000'],
  ];
  const root = '0xd4dee0beab2d53f2cc83e567171bd2820e49898130a22622b10ead383e90bd77';
  expect(distributionOf(leaves.map(([address, amount]) => ({ address, amount })))?.root).toBe(root);
  expect(leafTypes).toEqual(['address', 'uint256']);
  expect(distributionOf([])).toBeNull();
});

test('what proves nothing says why', () => {
  const [file, other] = filesOf([
    { address: '0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed', amount: '7' },
    { address: '0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359', amount: '9' },
    { address: '0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB', amount: '11' },
  ]) as [PayoutProof, PayoutProof];
  const wrong: Array<[unknown, string]> = [
    [null, 'It is no object.'],
    [[], "Its format is not 'colophon-payout-v1'."],
    [{ ...file, format: 'x' }, "Its format is not 'colophon-payout-v1'."],
    [{ ...file, address: 7 }, 'Its address is no text.'],
    [{ ...file, address: file.address.toLowerCase() }, 'has no checksum'],
    ...[0, '0', '07', '-7', '1e3', `${2n ** 256n}`, undefined].map((amount): [unknown, string] => [
      { ...file, amount },
      'Its amount is no whole number from 1 to 2^256 - 1',
    ]),
    [{ ...file, proof: 'x' }, 'Its proof is no list'],
    [{ ...file, proof: [7] }, 'Its proof is no list'],
    [{ ...file, proof: Array(65).fill(file.root) }, 'Its proof is no list of at most 64 hashes.'],
    [{ ...file, root: '0x' }, 'Its root is no hash.'],
    [{ ...file, proof: file.proof.slice(1) }, 'is not paid'],
    [{ ...file, proof: other.proof }, 'is not paid'],
    [{ ...file, address: other.address }, 'is not paid'],
    [{ ...file, root: `0x${'0'.repeat(64)}` }, 'is not paid'],
  ];
  for (const [given, why] of wrong) expect(payoutFault(given), JSON.stringify(given)).toContain(why);
  expect(payoutFault(file)).toBeNull();
  expect(payoutFault(file, `0x${'1'.repeat(64)}`)).toBe(
    `Its root is ${file.root}, and not 0x${'1'.repeat(64)}.`,
  );
});

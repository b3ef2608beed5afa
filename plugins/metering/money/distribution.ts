/** What an epoch pays, as a Merkle tree that a contract can pay from, and proofs of its leaves that need no server. */
import { StandardMerkleTree } from '@openzeppelin/merkle-tree';
import { addressFault } from './addresses.ts';

/** A leaf: keccak256(keccak256(abi.encode(address, amount))). */
export const leafTypes = ['address', 'uint256'];

/** What an address is paid in an epoch. */
export interface Payee {
  address: string;
  /** Decimal, above 0. */
  amount: string;
}

/** As `StandardMerkleTree.dump` writes it. */
export type DistributionFile = ReturnType<StandardMerkleTree<[string, string]>['dump']>;

export interface PayoutProof {
  format: 'colophon-payout-v1';
  epoch: number;
  currency: string;
  address: string;
  /** Decimal. */
  amount: string;
  /** Of the account's part of it, where it is asked for by account. */
  account?: string;
  paid?: string;
  /** Hashes, 0x and hex, from the leaf upwards. */
  proof: string[];
  root: string;
}

/** The tree, its leaves in order of their addresses; null where nobody is paid: a tree has leaves. It takes some 0.5 ms for each. */
export function distributionOf(payees: readonly Payee[]): StandardMerkleTree<[string, string]> | null {
  if (payees.length === 0) return null;
  const leaves = payees.map(({ address, amount }): [string, string] => [address, amount]);
  return StandardMerkleTree.of(
    leaves.sort(([one], [other]) => (one < other ? -1 : 1)),
    leafTypes,
  );
}

/**
 * The proof of each leaf, in their order: the siblings on its way up. The library's own getProof hashes the way again for each;
 * in an array that holds a binary tree (the children of i at 2i + 1 and 2i + 2) it takes no hash.
 */
export function* proofsOf({
  tree,
  values,
}: DistributionFile): Generator<Pick<PayoutProof, 'address' | 'amount' | 'proof'>> {
  for (const { value, treeIndex } of values) {
    const proof: string[] = [];
    for (let at = treeIndex; at > 0; at = (at - 1) >> 1) proof.push(tree[at % 2 === 1 ? at + 1 : at - 1]!);
    yield { address: value[0], amount: value[1], proof };
  }
}

const hash = /^0x[0-9a-f]{64}$/;
/** More than a tree of 2^64 leaves needs. */
const longestProof = 64;
const mostAmount = 2n ** 256n - 1n;

/** Why a proof file proves nothing, as a sentence; null where it is right for `root`, else for the root that it names. Asks nobody. */
export function payoutFault(given: unknown, root?: string): string | null {
  if (typeof given !== 'object' || given === null) return 'It is no object.';
  const file = given as Record<keyof PayoutProof, unknown>;
  if (file.format !== 'colophon-payout-v1') return "Its format is not 'colophon-payout-v1'.";
  const { address, amount, proof } = file;
  if (typeof address !== 'string') return 'Its address is no text.';
  const fault = addressFault(address);
  if (fault !== null) return fault;
  if (typeof amount !== 'string' || !/^[1-9][0-9]{0,77}$/.test(amount) || BigInt(amount) > mostAmount)
    return 'Its amount is no whole number from 1 to 2^256 - 1, written in decimal.';
  const isProof = Array.isArray(proof) && proof.length <= longestProof;
  if (!isProof || !proof.every((one) => typeof one === 'string' && hash.test(one)))
    return `Its proof is no list of at most ${longestProof} hashes.`;
  if (typeof file.root !== 'string' || !hash.test(file.root)) return 'Its root is no hash.';
  if (root !== undefined && root !== file.root) return `Its root is ${file.root}, and not ${root}.`;
  if (StandardMerkleTree.verify(file.root, leafTypes, [address, amount], proof as string[])) return null;
  return `${address} is not paid ${amount} under the root ${file.root}.`;
}

/** Whether a proof file proves its payment under `root`, else under the root that it names. */
export const verifyPayout = (file: unknown, root?: string): boolean => payoutFault(file, root) === null;

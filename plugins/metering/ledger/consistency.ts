/** Whether two checkpoints are of one log that only grew. */
import { verifyConsistency } from '../../datanet/snapshots/merkle.ts';
import type { Checkpoint, TreeHead } from './checkpoint.ts';
import { parseConsistency } from './proof_text.ts';
import { PublishedLedger } from './published.ts';
import { told } from './refused.ts';
import { Tree } from './tree.ts';

/** Where a proof comes from: a copy of the ledger's folder, or the text of one. Neither is trusted. */
export interface ProofSource {
  folder?: string;
  text?: string;
}

/** Throws an Error with a sentence where `older` is not shown to be how `newer` began. */
export function checkConsistent(one: Checkpoint, other: Checkpoint, source: ProofSource): void {
  const [older, newer] = one.size <= other.size ? [one, other] : [other, one];
  if (older.size === 0) return;
  if (older.size === newer.size) {
    if (older.root.equals(newer.root)) return;
    throw new Error(
      `Two checkpoints of ${one.size} entries have different roots, ${one.root.toString('hex')} and ${other.root.toString('hex')}: the log was forked.`,
    );
  }
  const path = proofOf(older, newer, source);
  if (!verifyConsistency(older.size, older.root, newer.size, newer.root, path))
    throw new Error(
      `The log of ${told(newer)} did not begin as the one of ${told(older)}, both signed: history was rewritten, or the proof is of other trees.`,
    );
}

function proofOf(older: TreeHead, newer: TreeHead, { folder, text }: ProofSource): Buffer[] {
  if (text !== undefined) {
    const { old, path, checkpoint } = parseConsistency(text);
    const [, size] = checkpoint.split('\n', 2);
    if (old !== older.size || size !== String(newer.size))
      throw new Error(
        `The proof is of ${old} and ${size} entries, the checkpoints are of ${older.size} and ${newer.size}.`,
      );
    return path;
  }
  if (folder === undefined)
    throw new Error(
      `Whether the log of ${newer.size} entries began as the one of ${older.size} cannot be told without a proof or a copy of the ledger's folder.`,
    );
  return new Tree(new PublishedLedger(folder), newer.size).consistency(older.size);
}

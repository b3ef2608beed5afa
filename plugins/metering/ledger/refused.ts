import type { TreeHead } from './checkpoint.ts';

/** The ledger is not what it was: nothing may be added to it, and what is published of it stays. */
export class LedgerRefused extends Error {
  constructor(sentence: string) {
    super(sentence);
    this.name = 'LedgerRefused';
  }
}

/** "12 entries, root ab…" */
export const told = ({ size, root }: TreeHead) => `${size} entries, root ${root.toString('hex')}`;

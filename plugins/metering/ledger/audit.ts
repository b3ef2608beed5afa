/** Everything of a ledger's database made again from its entries, and compared. */
import { leafHash } from '../../datanet/snapshots/merkle.ts';
import { Edge, nodeFanout } from './edge.ts';
import type { Ledger, LedgerHead } from './ledger.ts';
import type { PublishedLedger } from './published.ts';
import { told } from './refused.ts';
import { tileWidth, widthIn } from './tiles.ts';

/** Most sentences of an audit: what is wrong everywhere is not said of each entry. */
const mostProblems = 20;

/** Sentences of what is wrong; reads every entry once. */
export function auditLedger(ledger: Ledger, head: LedgerHead): string[] {
  const problems: string[] = [];
  const edge = new Edge();
  const compare = (level: number, index: number, hash: Buffer) => {
    if (ledger.node(level, index)?.equals(hash)) return;
    const span = nodeFanout ** level;
    problems.push(`Entries ${index * span} to ${(index + 1) * span - 1} are not those that were logged.`);
  };
  for (const { number, entry } of ledger.entries()) {
    if (number !== edge.size) return [...problems, `Entry ${edge.size} is missing; the next is ${number}.`];
    edge.add(leafHash(entry), compare);
    if (problems.length >= mostProblems) return problems;
  }
  const now = { size: edge.size, root: edge.root() };
  if (now.size !== head.size || !edge.bytes().equals(head.edge))
    problems.push(
      `There are ${told(now)}; the ledger's head says ${told({ size: head.size, root: headRoot(head) })}.`,
    );
  return problems;
}

const headRoot = ({ size, edge }: LedgerHead): Buffer => new Edge(size, edge).root();

/** The first of `size` published entries that the database lacks or has otherwise; undefined where there is none, or they cannot be read. */
export function firstDifference(
  ledger: Pick<Ledger, 'entries'>,
  published: PublishedLedger,
  size: number,
): number | undefined {
  let bundle: Buffer[] = [];
  let index = 0;
  try {
    for (const { number, entry } of ledger.entries()) {
      if (index >= size) return undefined;
      const at = index % tileWidth;
      const tile = Math.floor(index / tileWidth);
      if (at === 0) bundle = published.bundle(tile, widthIn(size, 'entries', tile));
      if (number !== index || !bundle[at]!.equals(entry)) return index;
      index++;
    }
    return index < size ? index : undefined;
  } catch {
    return undefined;
  }
}

/** Corrections follow their receipts: while a dispute keeps a receipt from being credited, what its correction changes does not count either. */
import type { Database } from 'better-sqlite3';
import type { AccountChanges } from '../receipts/correction.ts';
import type { CorrectionEffect } from './epoch.ts';

interface Row {
  idx: number;
  id: string;
  changes: string;
}

/** Entries of receipts that nobody is credited with. */
export const uncreditedReceipts = (db: Database): Set<number> =>
  new Set(db.prepare('SELECT idx FROM payout_uncredited').pluck().all() as number[]);

/**
 * What disputes change by corrections in an epoch whose first entry is `from`, once they are applied to receipts. A correction of this
 * epoch was counted as it came; an earlier one where its receipt was credited, `before` has those of which none was.
 */
export function heldCorrections(db: Database, from: number, before: ReadonlySet<number>): CorrectionEffect[] {
  const find = db.prepare(
    'SELECT corrections.idx, id, changes FROM corrections JOIN receipts ON receipts.idx = receipt WHERE receipt = ?',
  );
  const after = uncreditedReceipts(db);
  return [...new Set([...before, ...after])]
    .sort((one, other) => one - other)
    .flatMap((receipt) => {
      const row = find.get(receipt) as Row | undefined;
      if (!row) return [];
      const isOfThis = row.idx >= from;
      const did = isOfThis || !before.has(receipt);
      if (did === !after.has(receipt)) return [];
      const sign = did ? -1n : 1n;
      const amounts = (JSON.parse(row.changes) as AccountChanges).map(({ account, units }) => ({
        account,
        units: String(sign * BigInt(units)),
      }));
      return [{ receipt: row.id, entry: row.idx, in: isOfThis ? 'corrected' : 'adjusted', amounts }];
    });
}

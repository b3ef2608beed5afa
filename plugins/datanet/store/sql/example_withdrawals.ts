/** Examples that are withdrawn while their contributions stay. */
import { sql } from 'kysely';
import type { ExampleWithdrawal } from '../../model.ts';
import { bytes, hex, quoted, unquoted } from '../codec.ts';
import type { Copy, DatanetStore } from '../datanet_store.ts';
import { blobOrds, cut, pieces, type Queries, type Sql } from './common.ts';
import { noteErasure, scrub, takeTexts } from './erasure.ts';
import { curationsOf } from './example_rows.ts';
import { numberOf, windows } from './rows.ts';

type ExampleWithdrawalQueries = Pick<
  DatanetStore,
  | 'copiesOf'
  | 'withdrawExamples'
  | 'exampleWithdrawals'
  | 'openExampleWithdrawals'
  | 'exampleWithdrawalsEnded'
  | 'scrub'
>;

export function exampleWithdrawalQueries(store: Sql): ExampleWithdrawalQueries {
  const { db } = store;
  return {
    async *copiesOf(datanet, hash) {
      const number = await numberOf(db, datanet);
      for await (const [from, to] of windows(db, number, {})) {
        const masked = db
          .selectFrom('verdicts as v')
          .select('v.seq')
          .where('v.job', 'in', curationsOf(db, number))
          .where('v.seq', '>', from)
          .where('v.seq', '<=', to)
          .where('v.maskHash', '=', bytes(hash));
        const rows = await db
          .selectFrom('examples as e')
          .innerJoin('contributions as c', 'c.ord', 'e.contribution')
          .select(['e.seq', 'e.blob', 'c.id as contribution', 'c.contributor', 'c.state'])
          .where('e.datanet', '=', number)
          .where('e.seq', '>', from)
          .where('e.seq', '<=', to)
          .where((eb) => eb.or([eb('e.hash', '=', bytes(hash)), eb('e.seq', 'in', masked)]))
          .orderBy('e.seq')
          .execute();
        if (rows.length > 0)
          yield rows.map(({ blob, ...row }) => ({ ...row, hasText: blob !== null }) as Copy);
      }
    },

    withdrawExamples: ({ datanet, hash, by, reason, at }, seqs) =>
      db.transaction().execute(async (trx) => {
        const number = await numberOf(trx, datanet);
        let examples = 0;
        for (const some of pieces(seqs, 1)) {
          const there = await trx
            .selectFrom('examples')
            .select(['seq', 'contribution'])
            .where('datanet', '=', number)
            .where('seq', 'in', some)
            .where('blob', 'is not', null)
            .execute();
          if (there.length === 0) continue;
          examples += there.length;
          await takeTexts(
            trx,
            number,
            there.map(({ seq }) => seq),
            new Set(),
          );
          await giveUpFiles(trx, datanet, [...new Set(there.map(({ contribution }) => contribution))]);
        }
        if (examples === 0) return 0;
        await trx
          .insertInto('exampleWithdrawals')
          .values({ datanet: number, hash: bytes(hash), by, reason: quoted(reason), examples, at })
          .execute();
        return examples;
      }),

    async exampleWithdrawals(datanet, { after = 0, limit }) {
      const rows = await db
        .selectFrom('exampleWithdrawals')
        .select(['ord as id', 'hash', 'by', 'reason', 'examples', 'at'])
        .where('datanet', '=', await numberOf(db, datanet))
        .where('ord', '>', Number(after))
        .orderBy('ord')
        .limit(limit + 1)
        .execute();
      const withdrawals = rows.map(
        ({ hash, reason, ...same }): ExampleWithdrawal => ({
          ...same,
          datanet,
          hash: hex(hash),
          reason: unquoted(reason),
        }),
      );
      return cut(withdrawals, limit);
    },

    async openExampleWithdrawals() {
      const rows = await db.selectFrom('exampleWithdrawals').select('ord').where('ended', '=', 0).execute();
      return rows.map(({ ord }) => ord);
    },

    async exampleWithdrawalsEnded(ids) {
      for (const some of pieces(ids, 1))
        await db.updateTable('exampleWithdrawals').set({ ended: 1 }).where('ord', 'in', some).execute();
    },

    scrub: () => scrub(store),
  };
}

/**
 * The files of these contributions, by their numbers, are not needed any more, nor where the same came as another contribution to the Datanet;
 * one that is being checked still needs its own.
 */
async function giveUpFiles(db: Queries, datanet: string, contributions: number[]): Promise<void> {
  const files = db.selectFrom('contributions').select('sha256').where('ord', 'in', contributions);
  const rows = await db
    .updateTable('contributions')
    .set({ fileGone: sql<number>`1` })
    .where('datanet', '=', datanet)
    .where('state', '<>', 'submitted')
    .where('sha256', 'in', files)
    .returning('sha256')
    .execute();
  const hashes = rows.map(({ sha256 }) => hex(sha256 as Uint8Array));
  await noteErasure(db, (await blobOrds(db, hashes)).values());
}

/** Contributions and their states. */
import type { Contribution } from '../../model.ts';
import { bytes, codec } from '../codec.ts';
import type { DatanetStore } from '../datanet_store.ts';
import { pageOf, type Sql } from './common.ts';

const contributions = codec<Contribution>({
  id: 'plain',
  datanet: 'plain',
  contributor: 'plain',
  filename: 'text',
  format: 'json',
  sha256: 'hex',
  bytes: 'plain',
  licence: 'plain',
  source: 'text',
  rights: 'text',
  signature: 'plain',
  publicKey: 'plain',
  state: 'plain',
  reviewer: 'plain',
  reason: 'text',
  rows: 'plain',
  refused: 'plain',
  createdAt: 'plain',
  reviewedAt: 'plain',
});

type ContributionQueries = Pick<
  DatanetStore,
  | 'createContribution'
  | 'contribution'
  | 'contributions'
  | 'moveContribution'
  | 'withdrawContribution'
  | 'withdrawals'
  | 'withdrawalEnded'
  | 'contributedBytes'
>;

export function contributionQueries({ db }: Sql): ContributionQueries {
  return {
    async createContribution(contribution) {
      await db
        .insertInto('contributions')
        .values(contributions.encode(contribution) as never)
        .execute();
    },

    async contribution(id) {
      const row = await db.selectFrom('contributions').selectAll().where('id', '=', id).executeTakeFirst();
      return row && contributions.decode(row);
    },

    contributions: ({ datanet, state, contributor, sha256 }, page) =>
      pageOf(
        db,
        'contributions',
        { datanet, state, contributor, sha256: sha256 === undefined ? undefined : bytes(sha256) },
        page,
        contributions.decode,
      ),

    async moveContribution(id, from, change) {
      const moved = await db
        .updateTable('contributions')
        .set(contributions.encode(change) as never)
        .where('id', '=', id)
        .where('state', 'in', from)
        .returning('ord')
        .executeTakeFirst();
      return moved !== undefined;
    },

    withdrawContribution: (id, change) =>
      db.transaction().execute(async (trx) => {
        const moved = await trx
          .updateTable('contributions')
          .set(contributions.encode({ ...change, state: 'withdrawn' }) as never)
          .where('id', '=', id)
          .where('state', '<>', 'withdrawn')
          .returning('ord')
          .executeTakeFirst();
        if (moved) await trx.insertInto('withdrawals').values({ contribution: moved.ord }).execute();
        return moved !== undefined;
      }),

    async withdrawals() {
      const rows = await db
        .selectFrom('withdrawals')
        .innerJoin('contributions', 'ord', 'contribution')
        .select('id')
        .orderBy('ord')
        .execute();
      return rows.map((row) => row.id as string);
    },

    async withdrawalEnded(id) {
      await db
        .deleteFrom('withdrawals')
        .where('contribution', 'in', db.selectFrom('contributions').select('ord').where('id', '=', id))
        .execute();
    },

    async contributedBytes(datanet, contributor) {
      const row = await db
        .selectFrom('contributions')
        .select(({ fn }) => fn.sum<number | string | null>('bytes').as('sum'))
        .where('datanet', '=', datanet)
        .where('contributor', '=', contributor)
        .where('state', 'in', ['submitted', 'checked', 'accepted'])
        .executeTakeFirstOrThrow();
      return Number(row.sum ?? 0);
    },
  };
}

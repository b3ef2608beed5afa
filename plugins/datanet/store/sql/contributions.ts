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
  'createContribution' | 'contribution' | 'contributions' | 'moveContribution' | 'contributedBytes'
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

/** Rows of contributions: examples, and those that were refused. */
import { sql } from 'kysely';
import type { StoredExample } from '../../model.ts';
import { bytes, quoted, unquoted } from '../codec.ts';
import type { DatanetStore } from '../datanet_store.ts';
import { batchRows, blobOrds, cut, ordOf, pieces, type Queries, type Sql } from './common.ts';
import { exampleOf, isSetAside, latestCuration, selectExamples } from './example_rows.ts';
import { jobs } from './jobs.ts';

type RowQueries = Pick<DatanetStore, 'addRows' | 'example' | 'examples' | 'accepted' | 'refusedRows'>;

export function rowQueries({ db }: Sql): RowQueries {
  return {
    async addRows(contribution, { examples, refused }, { id, checkpoint, done }) {
      await db.transaction().execute(async (trx) => {
        await trx
          .updateTable('jobs')
          .set(jobs.encode({ checkpoint, done }) as never)
          .where('ord', '=', await ordOf(trx, 'jobs', id))
          .execute();
        const parent = await trx
          .updateTable('contributions')
          .set({
            rows: sql<number>`rows + ${examples.length + refused.length}`,
            refused: sql<number>`refused + ${refused.length}`,
          })
          .where('ord', '=', await ordOf(trx, 'contributions', contribution))
          .returning(['ord', 'datanet', 'refused'])
          .executeTakeFirstOrThrow();
        // PostgreSQL lets one batch of a Datanet in at a time here: its seqs appear in their order.
        const datanet = await trx
          .updateTable('datanets')
          .set({ examples: sql<number>`examples + ${examples.length}` })
          .where('id', '=', parent.datanet as string)
          .returning(['ord', 'examples'])
          .executeTakeFirstOrThrow();
        const rows = await exampleRows(trx, examples, {
          datanet: datanet.ord,
          contribution: parent.ord,
          before: datanet.examples - examples.length,
        });
        for (const some of pieces(rows, 11)) await trx.insertInto('examples').values(some).execute();
        const before = (parent.refused as number) - refused.length;
        const refusals = refused.map(({ line, field, reason, raw }, index) => ({
          contribution: parent.ord,
          seq: before + index + 1,
          line,
          field: quoted(field),
          reason: JSON.stringify(reason),
          raw: JSON.stringify(raw),
        }));
        for (const some of pieces(refusals, 6)) await trx.insertInto('refusedRows').values(some).execute();
      });
    },

    async example(datanet, seq) {
      const number = await numberOf(db, datanet);
      const row = await selectExamples(db, number).where('e.seq', '=', seq).executeTakeFirst();
      return row && exampleOf(datanet, row as never);
    },

    async examples(datanet, { contribution, standing, hash }, { after, limit }) {
      const number = await numberOf(db, datanet);
      const only = contribution === undefined ? undefined : await ordOf(db, 'contributions', contribution);
      const aside = isSetAside(standing === undefined ? null : await latestCuration(db, datanet));
      const range = { after: Number(after ?? 0), ...(only !== undefined && (await seqsOf(db, only))) };
      const found: StoredExample[] = [];
      for await (const [from, to] of windows(db, number, range)) {
        let query = selectExamples(db, number).where('e.seq', '>', from).where('e.seq', '<=', to);
        if (only !== undefined) query = query.where('e.contribution', '=', only);
        if (hash !== undefined) query = query.where('e.hash', '=', bytes(hash));
        if (standing !== undefined) query = query.where('e.blob', 'is not', null);
        if (standing === 'set_aside') query = query.where(aside);
        if (standing === 'kept')
          query = query.where('c.state', '=', 'accepted').where(sql<boolean>`NOT ${aside}`);
        const rows = await query
          .orderBy('e.seq')
          .limit(limit + 1 - found.length)
          .execute();
        found.push(...rows.map((row) => exampleOf(datanet, row as never)));
        if (found.length > limit) break;
      }
      return cut(found, limit);
    },

    async *accepted(datanet, after = 0) {
      const number = await numberOf(db, datanet);
      for await (const [from, to] of windows(db, number, { after })) {
        const rows = await selectExamples(db, number)
          .where('e.seq', '>', from)
          .where('e.seq', '<=', to)
          .where('e.blob', 'is not', null)
          .where('c.state', '=', 'accepted')
          .orderBy('e.seq')
          .execute();
        if (rows.length > 0) yield rows.map((row) => exampleOf(datanet, row as never));
      }
    },

    async refusedRows(contribution, { after = 0, limit }) {
      const rows = await db
        .selectFrom('refusedRows')
        .select(['seq', 'line', 'field', 'reason', 'raw'])
        .where('contribution', '=', await ordOf(db, 'contributions', contribution))
        .where('seq', '>', Number(after))
        .orderBy('seq')
        .limit(limit + 1)
        .execute();
      const refused = rows.map(({ seq, line, field, reason, raw }) => ({
        seq,
        line,
        field: unquoted(field),
        reason: JSON.parse(reason) as string,
        raw: JSON.parse(raw) as string,
      }));
      return cut(refused, limit);
    },
  };
}

/**
 * Stretches of seqs, (from, to], after one and up to `last` or the Datanet's latest: a query over one reads at most `batchRows`
 * rows however few of them it is looking for, so that none holds SQLite's thread for long.
 */
export async function* windows(
  db: Queries,
  datanet: number,
  {
    after = 0,
    first = 1,
    last = Number.POSITIVE_INFINITY,
  }: { after?: number; first?: number; last?: number },
): AsyncGenerator<[number, number]> {
  for (let from = Math.max(after, first - 1); ; from += batchRows) {
    const { examples } = await db
      .selectFrom('datanets')
      .select('examples')
      .where('ord', '=', datanet)
      .executeTakeFirstOrThrow();
    if (from >= Math.min(examples, last)) return;
    yield [from, from + batchRows];
  }
}

/** The first and the last seq of a contribution. */
async function seqsOf(db: Queries, contribution: number): Promise<{ first: number; last: number }> {
  const edge = (order: 'asc' | 'desc') =>
    db
      .selectFrom('examples')
      .select('seq')
      .where('contribution', '=', contribution)
      .orderBy('seq', order)
      .limit(1)
      .executeTakeFirst();
  return { first: (await edge('asc'))?.seq ?? 1, last: (await edge('desc'))?.seq ?? 0 };
}

export function numberOf(db: Queries, datanet: string): Promise<number> {
  return ordOf(db, 'datanets', datanet);
}

async function exampleRows(
  db: Queries,
  examples: Array<Omit<StoredExample, 'seq'>>,
  { datanet, contribution, before }: { datanet: number; contribution: number; before: number },
) {
  const blobs = await blobOrds(
    db,
    examples.flatMap(({ place }) => place?.blob ?? []),
  );
  return examples.map(({ line, hash, originalHash, source, group, place }, index) => ({
    datanet,
    seq: before + index + 1,
    contribution,
    line,
    hash: bytes(hash),
    originalHash: originalHash === null ? null : bytes(originalHash),
    source: quoted(source),
    group: quoted(group),
    blob: place && blobs.get(place.blob)!,
    offset: place?.offset ?? null,
    bytes: place?.bytes ?? null,
  }));
}

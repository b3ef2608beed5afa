/** Snapshots: immutable, one of each root in a Datanet. */
import { isDeepStrictEqual } from 'node:util';
import { sql } from 'kysely';
import { ColophonError } from '../../../../gateway/contract/index.ts';
import type { Snapshot, SnapshotEntry, TextPlace } from '../../model.ts';
import { bytes, codec, unquoted } from '../codec.ts';
import type { DatanetStore } from '../datanet_store.ts';
import type { SqlKind } from '../schema.ts';
import { cut, pieces, type Queries, type Sql } from './common.ts';
import { curationsOf, type ExampleRow, placeOf } from './example_rows.ts';
import { numberOf } from './rows.ts';

const snapshots = codec<Snapshot>({
  id: 'plain',
  datanet: 'plain',
  parent: 'plain',
  settings: 'json',
  counts: 'json',
  manifest: 'hex',
  provenance: 'hex',
  createdAt: 'plain',
});

type SnapshotQueries = Pick<
  DatanetStore,
  'createSnapshot' | 'snapshot' | 'snapshots' | 'latestSnapshot' | 'placesOf'
>;

export function snapshotQueries(store: Sql): SnapshotQueries {
  const { db } = store;
  return {
    async createSnapshot(snapshot) {
      const inserted = await db
        .insertInto('snapshots')
        .values(snapshots.encode(snapshot) as never)
        .onConflict((conflict) => conflict.columns(['datanet', 'id']).doNothing())
        .returning('ord')
        .executeTakeFirst();
      if (inserted) return;
      const there = await this.snapshot(snapshot.datanet, snapshot.id);
      if (there && isDeepStrictEqual(there.settings, JSON.parse(JSON.stringify(snapshot.settings)))) return;
      throw new ColophonError(
        `There is a snapshot '${snapshot.id}' already, of the same examples with other settings. Use it, or change the examples.`,
        { type: 'conflict_error', code: 'snapshot_exists' },
      );
    },

    async snapshot(datanet, id) {
      const row = await db
        .selectFrom('snapshots')
        .selectAll()
        .where('datanet', '=', datanet)
        .where('id', '=', id)
        .executeTakeFirst();
      return row && snapshots.decode(row);
    },

    async snapshots(datanet, { after, limit }) {
      let query = db.selectFrom('snapshots').selectAll().where('datanet', '=', datanet);
      if (after !== undefined) {
        const edge = db
          .selectFrom('snapshots')
          .select('ord')
          .where('datanet', '=', datanet)
          .where('id', '=', String(after));
        query = query.where('ord', '>', edge);
      }
      const rows = await query
        .orderBy('ord')
        .limit(limit + 1)
        .execute();
      return cut(rows.map(snapshots.decode), limit);
    },

    async latestSnapshot(datanet) {
      const row = await db
        .selectFrom('snapshots')
        .selectAll()
        .where('datanet', '=', datanet)
        .orderBy('ord', 'desc')
        .limit(1)
        .executeTakeFirst();
      return row && snapshots.decode(row);
    },

    async placesOf(datanet, entries) {
      const number = await numberOf(db, datanet);
      const ords = await contributionOrds(db, datanet, entries);
      const places: Array<TextPlace | null> = [];
      for (const some of pieces(entries, 4)) {
        const found = new Map<number, TextPlace>();
        const wanted = some.flatMap(({ contribution, line, hash }, index) => {
          const ord = ords.get(contribution);
          return ord === undefined ? [] : [{ index, ord, line, hash: bytes(hash) }];
        });
        if (wanted.length > 0) {
          // As they came stands above as a curation masked them: the same hash is the same text.
          for (const row of await maskedTexts(store, number, wanted)) found.set(row.index, textOf(row));
          for (const row of await givenTexts(store, wanted)) found.set(row.index, textOf(row));
        }
        places.push(...some.map((_, index) => found.get(index) ?? null));
      }
      return places;
    },
  };
}

interface Wanted {
  index: number;
  ord: number;
  line: number;
  hash: Uint8Array;
}

type Text = Pick<ExampleRow, 'sha256' | 'offset' | 'bytes' | 'source' | 'group'> & { index: number };

const textOf = (row: Text): TextPlace => ({
  ...placeOf(row)!,
  source: unquoted(row.source),
  group: unquoted(row.group),
});

async function contributionOrds(
  db: Queries,
  datanet: string,
  entries: SnapshotEntry[],
): Promise<Map<string, number>> {
  const ids = [...new Set(entries.map((entry) => entry.contribution))];
  const ords = new Map<string, number>();
  for (const some of pieces(ids, 1)) {
    const rows = await db
      .selectFrom('contributions')
      .select(['id', 'ord'])
      .where('datanet', '=', datanet)
      .where('id', 'in', some)
      .execute();
    for (const row of rows) ords.set(row.id as string, row.ord);
  }
  return ords;
}

/** What is wanted, as rows of a query: PostgreSQL must be told their types. */
function rowsOf(wanted: Wanted[], kind: SqlKind) {
  const blob = sql.raw(kind === 'sqlite' ? 'BLOB' : 'bytea');
  const int = sql.raw('bigint');
  return sql.join(
    wanted.map(
      ({ index, ord, line, hash }) =>
        sql`(cast(${index} AS ${int}), cast(${ord} AS ${int}), cast(${line} AS ${int}), cast(${hash} AS ${blob}))`,
    ),
  );
}

async function givenTexts({ db, kind }: Sql, wanted: Wanted[]): Promise<Text[]> {
  const { rows } = await sql<Text>`WITH wanted ("index", ord, line, hash) AS (VALUES ${rowsOf(wanted, kind)})
    SELECT w."index", b.sha256, e."offset", e.bytes, e.source, e."group" FROM wanted AS w
    JOIN examples AS e ON e.contribution = w.ord AND e.line = w.line AND e.hash = w.hash
    JOIN blobs AS b ON b.ord = e.blob`.execute(db);
  return rows;
}

async function maskedTexts({ db, kind }: Sql, datanet: number, wanted: Wanted[]): Promise<Text[]> {
  const { rows } = await sql<Text>`WITH wanted ("index", ord, line, hash) AS (VALUES ${rowsOf(wanted, kind)})
    SELECT w."index", b.sha256, v."maskOffset" AS "offset", v."maskBytes" AS bytes,
      e.source, e."group" FROM wanted AS w
    JOIN examples AS e ON e.contribution = w.ord AND e.line = w.line
    JOIN verdicts AS v ON v.seq = e.seq AND v."maskHash" = w.hash AND v.job IN (${curationsOf(db, datanet)})
    JOIN blobs AS b ON b.ord = v."maskBlob"`.execute(db);
  return rows;
}

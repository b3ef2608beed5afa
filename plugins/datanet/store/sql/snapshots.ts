/** Snapshots: immutable, one of each root in a Datanet. */
import { isDeepStrictEqual } from 'node:util';
import { ColophonError } from '../../../../gateway/contract/index.ts';
import type { Place, Snapshot, SnapshotEntry } from '../../model.ts';
import { bytes, codec, hex } from '../codec.ts';
import type { DatanetStore } from '../datanet_store.ts';
import { cut, pieces, type Queries, type Sql } from './common.ts';
import { placeOf } from './example_rows.ts';
import { numberOf } from './rows.ts';

const snapshots = codec<Snapshot>({
  id: 'plain',
  datanet: 'plain',
  parent: 'plain',
  settings: 'json',
  counts: 'json',
  manifest: 'hex',
  createdAt: 'plain',
});

type SnapshotQueries = Pick<
  DatanetStore,
  'createSnapshot' | 'snapshot' | 'snapshots' | 'latestSnapshot' | 'placesOf'
>;

export function snapshotQueries({ db }: Sql): SnapshotQueries {
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
      const places: Array<Place | null> = [];
      for (const some of pieces(entries, 1)) {
        const found = await textsOf(db, number, some);
        places.push(...some.map((entry) => found.get(keyOf(entry)) ?? null));
      }
      return places;
    },
  };
}

/** Texts by keyOf, as they came or as a curation masked them. */
async function textsOf(db: Queries, datanet: number, entries: SnapshotEntry[]): Promise<Map<string, Place>> {
  const hashes = [...new Set(entries.map((entry) => entry.hash))].map(bytes);
  const came = await db
    .selectFrom('examples as e')
    .innerJoin('contributions as c', 'c.ord', 'e.contribution')
    .innerJoin('blobs as b', 'b.ord', 'e.blob')
    .where('e.datanet', '=', datanet)
    .where('e.hash', 'in', hashes)
    .select(['e.hash', 'c.id as contribution', 'e.line', 'b.sha256', 'e.offset', 'e.bytes'])
    .execute();
  const masked = await db
    .selectFrom('verdicts as v')
    .innerJoin('jobs as j', 'j.ord', 'v.job')
    .innerJoin('datanets as d', 'd.id', 'j.datanet')
    .innerJoin('examples as e', (join) => join.onRef('e.datanet', '=', 'd.ord').onRef('e.seq', '=', 'v.seq'))
    .innerJoin('contributions as c', 'c.ord', 'e.contribution')
    .innerJoin('blobs as b', 'b.ord', 'v.maskBlob')
    .where('d.ord', '=', datanet)
    .where('v.maskHash', 'in', hashes)
    .select(['v.maskHash as hash', 'c.id as contribution', 'e.line', 'b.sha256'])
    .select(['v.maskOffset as offset', 'v.maskBytes as bytes'])
    .execute();
  const texts = new Map<string, Place>();
  for (const row of [...masked, ...came]) {
    const key = keyOf({ hash: hex(row.hash!), contribution: row.contribution as string, line: row.line });
    texts.set(key, placeOf(row)!);
  }
  return texts;
}

function keyOf({ hash, contribution, line }: Pick<SnapshotEntry, 'hash' | 'contribution' | 'line'>): string {
  return `${hash} ${line} ${contribution}`;
}

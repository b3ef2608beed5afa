/**
 * Taking texts away. Records and hashes stay; places of texts become null, refused rows go, and reasons that may quote a text
 * are reworded. The blobs in which the texts lie are noted in the same transaction (`erasures`), so that a crash before they are
 * gone forgets none of them.
 */
import { type Kysely, sql } from 'kysely';
import type { Place } from '../../model.ts';
import { bytes, hex } from '../codec.ts';
import type { DatanetStore } from '../datanet_store.ts';
import type { Tables } from '../schema.ts';
import { patient } from '../sqlite_dialect.ts';
import { batchRows, blobOrds, ordOf, pieces, type Queries, type Sql } from './common.ts';
import { curationsOf } from './example_rows.ts';
import { numberOf } from './rows.ts';

type ErasureQueries = Pick<
  DatanetStore,
  | 'deleteRows'
  | 'replaceExamples'
  | 'usesBlob'
  | 'eraseContribution'
  | 'erasures'
  | 'erased'
  | 'placesIn'
  | 'moveTexts'
>;

export function erasureQueries(store: Sql): ErasureQueries {
  const { db } = store;
  return {
    async deleteRows(contribution) {
      const { ord, datanet } = await parentOf(db, contribution);
      const touched = await removeRows(db, datanet, ord);
      await db.updateTable('contributions').set({ rows: 0, refused: 0 }).where('ord', '=', ord).execute();
      await scrub(store);
      return unused(this, db, touched);
    },

    async replaceExamples(places) {
      const touched = new Set<number>();
      for (const datanet of new Set(places.map((place) => place.datanet))) {
        const number = await numberOf(db, datanet);
        const here = places.filter((place) => place.datanet === datanet);
        for (const some of pieces(here, 4)) {
          await db.transaction().execute(async (trx) => {
            const gone = some.filter(({ place }) => place === null).map(({ seq }) => seq);
            await takeTexts(trx, number, gone, touched);
            await placeTexts(
              trx,
              number,
              some.flatMap(({ seq, place }) => (place ? { seq, place } : [])),
              touched,
            );
          });
        }
      }
      await scrub(store);
      return unused(this, db, touched);
    },

    async eraseContribution(contribution) {
      const { ord, datanet } = await parentOf(db, contribution);
      const { sha256 } = await db
        .selectFrom('contributions')
        .select('sha256')
        .where('ord', '=', ord)
        .executeTakeFirstOrThrow();
      await noteErasure(db, (await blobOrds(db, [hex(sha256 as Uint8Array)])).values());
      for (let after = 0; ; ) {
        const seqs = await seqsOf(db, ord, after);
        if (seqs.length === 0) break;
        await db.transaction().execute((trx) => takeTexts(trx, datanet, seqs, new Set()));
        after = seqs.at(-1)!;
      }
      await removeRefused(db, ord);
      // What a check says of a file that it cannot read may quote it.
      await db
        .updateTable('jobs')
        .set({ error: JSON.stringify('Its text was erased.') })
        .where('kind', '=', 'check')
        .where('error', 'is not', null)
        .where('params', 'like', `%${contribution}%`)
        .execute();
      await scrub(store);
    },

    async usesBlob(sha256) {
      const hash = bytes(sha256);
      const blob = db.selectFrom('blobs').select('ord').where('sha256', '=', hash);
      // A job's own notes are JSON that only its kind can read: that they name the hash is enough.
      const noted = `%${sha256}%`;
      const { rows } = await sql<{ used: boolean | number }>`SELECT (
        EXISTS (SELECT 1 FROM contributions WHERE sha256 = ${hash} AND state <> 'withdrawn' AND "fileGone" = 0)
        OR EXISTS (SELECT 1 FROM examples WHERE blob = (${blob}))
        OR EXISTS (SELECT 1 FROM verdicts WHERE "maskBlob" = (${blob}))
        OR EXISTS (SELECT 1 FROM snapshots WHERE manifest = ${hash})
        OR EXISTS (SELECT 1 FROM jobs WHERE state IN ('queued', 'running')
          AND (params LIKE ${noted} OR checkpoint LIKE ${noted}))) AS used`.execute(db);
      return Boolean(rows[0]!.used);
    },

    async erasures() {
      const rows = await db
        .selectFrom('erasures')
        .innerJoin('blobs', 'ord', 'blob')
        .select('sha256')
        .orderBy('ord')
        .execute();
      return rows.map((row) => hex(row.sha256));
    },

    async erased(blob) {
      await db
        .deleteFrom('erasures')
        .where('blob', 'in', db.selectFrom('blobs').select('ord').where('sha256', '=', bytes(blob)))
        .execute();
    },

    async *placesIn(blob) {
      const row = await db
        .selectFrom('blobs')
        .select('ord')
        .where('sha256', '=', bytes(blob))
        .executeTakeFirst();
      if (!row) return;
      for (let after = -1; ; ) {
        const { rows } = await sql<{ offset: number; bytes: number }>`
          SELECT "offset", max(bytes) AS bytes FROM (
            SELECT "offset", bytes FROM examples WHERE blob = ${row.ord} AND "offset" > ${after}
            UNION ALL
            SELECT "maskOffset", "maskBytes" FROM verdicts WHERE "maskBlob" = ${row.ord} AND "maskOffset" > ${after}
          ) AS texts GROUP BY "offset" ORDER BY "offset" LIMIT ${batchRows}`.execute(db);
        if (rows.length === 0) return;
        after = rows.at(-1)!.offset;
        yield rows.map(({ offset, bytes: length }) => ({ blob, offset, bytes: length }));
      }
    },

    async moveTexts(blob, to, moves) {
      const from = (await blobOrds(db, [blob])).get(blob)!;
      const into = (await blobOrds(db, [to])).get(to)!;
      for (const some of pieces(moves, 2)) {
        const list = sql.join(
          some.map((move) => sql`(cast(${move.from} AS bigint), cast(${move.to} AS bigint))`),
        );
        await db.transaction().execute(async (trx) => {
          await sql`WITH moves (was, becomes) AS (VALUES ${list})
            UPDATE examples SET blob = ${into}, "offset" = becomes FROM moves
            WHERE blob = ${from} AND "offset" = was`.execute(trx);
          await sql`WITH moves (was, becomes) AS (VALUES ${list})
            UPDATE verdicts SET "maskBlob" = ${into}, "maskOffset" = becomes FROM moves
            WHERE "maskBlob" = ${from} AND "maskOffset" = was`.execute(trx);
        });
      }
    },
  };
}

/** Deletes a Datanet that nobody sees any more, in small transactions. */
export async function forgetDatanet(store: Sql, id: string): Promise<void> {
  const { db } = store;
  const number = await numberOf(db, id);
  const contributions = await db
    .selectFrom('contributions')
    .select(['ord', 'sha256'])
    .where('datanet', '=', id)
    .execute();
  for (const { ord } of contributions) await removeRows(db, number, ord);
  const manifests = await db.selectFrom('snapshots').select('manifest').where('datanet', '=', id).execute();
  const blobs = [...contributions.map((row) => row.sha256), ...manifests.map((row) => row.manifest)];
  await db.transaction().execute(async (trx) => {
    const hashes = blobs.map((sha256) => hex(sha256 as Uint8Array));
    await noteErasure(trx, (await blobOrds(trx, hashes)).values());
    const jobs = trx.selectFrom('jobs').select('ord').where('datanet', '=', id);
    await trx.deleteFrom('verdicts').where('job', 'in', jobs).execute();
    for (const table of ['overrides', 'exampleWithdrawals'] as const)
      await trx.deleteFrom(table).where('datanet', '=', number).execute();
    const its = trx.selectFrom('contributions').select('ord').where('datanet', '=', id);
    await trx.deleteFrom('withdrawals').where('contribution', 'in', its).execute();
    for (const table of ['jobs', 'snapshots', 'contributions', 'roles'] as const) {
      await trx.deleteFrom(table).where('datanet', '=', id).execute();
    }
    await trx.deleteFrom('datanets').where('ord', '=', number).execute();
  });
  await scrub(store);
}

async function parentOf(db: Queries, contribution: string): Promise<{ ord: number; datanet: number }> {
  const ord = await ordOf(db, 'contributions', contribution);
  const { datanet } = await db
    .selectFrom('contributions')
    .select('datanet')
    .where('ord', '=', ord)
    .executeTakeFirstOrThrow();
  return { ord, datanet: await numberOf(db, datanet as string) };
}

async function seqsOf(db: Queries, contribution: number, after: number): Promise<number[]> {
  const rows = await db
    .selectFrom('examples')
    .select('seq')
    .where('contribution', '=', contribution)
    .where('seq', '>', after)
    .orderBy('seq')
    .limit(batchRows)
    .execute();
  return rows.map((row) => row.seq);
}

/** Deletes a contribution's rows and all that was said of them. Tells the blobs in which their texts lay. */
async function removeRows(db: Kysely<Tables>, datanet: number, contribution: number): Promise<Set<number>> {
  const touched = new Set<number>();
  for (;;) {
    const seqs = await seqsOf(db, contribution, 0);
    if (seqs.length === 0) break;
    await db.transaction().execute(async (trx) => {
      await takeTexts(trx, datanet, seqs, touched);
      const curations = curationsOf(trx, datanet);
      await trx.deleteFrom('verdicts').where('job', 'in', curations).where('seq', 'in', seqs).execute();
      for (const table of ['overrides', 'examples'] as const) {
        await trx.deleteFrom(table).where('datanet', '=', datanet).where('seq', 'in', seqs).execute();
      }
    });
  }
  await removeRefused(db, contribution);
  return touched;
}

async function removeRefused(db: Kysely<Tables>, contribution: number): Promise<void> {
  for (;;) {
    const some = db
      .selectFrom('refusedRows')
      .select('seq')
      .where('contribution', '=', contribution)
      .limit(batchRows);
    const deleted = await db
      .deleteFrom('refusedRows')
      .where('contribution', '=', contribution)
      .where('seq', 'in', some)
      .executeTakeFirst();
    if (deleted.numDeletedRows === 0n) return;
  }
}

/** Takes the texts of examples of a Datanet away; notes their blobs, and adds them to `touched`. */
export async function takeTexts(
  db: Queries,
  datanet: number,
  seqs: number[],
  touched: Set<number>,
): Promise<void> {
  if (seqs.length === 0) return;
  await noteTexts(db, datanet, seqs, touched);
  // Before their masks: a curation that stores one holds the example until it is there.
  await db
    .updateTable('examples')
    .set({ blob: null, offset: null, bytes: null, source: null, group: null })
    .where('datanet', '=', datanet)
    .where('seq', 'in', seqs)
    .execute();
  const masks = await db
    .selectFrom('verdicts')
    .select('maskBlob')
    .distinct()
    .where('job', 'in', curationsOf(db, datanet))
    .where('seq', 'in', seqs)
    .where('maskBlob', 'is not', null)
    .execute();
  await noteErasure(
    db,
    masks.map((row) => row.maskBlob!),
    touched,
  );
  await db
    .updateTable('verdicts')
    .set({
      maskBlob: null,
      maskOffset: null,
      maskBytes: null,
      reason: JSON.stringify('Its text was erased.'),
    })
    .where('job', 'in', curationsOf(db, datanet))
    .where('seq', 'in', seqs)
    .execute();
}

async function placeTexts(
  db: Queries,
  datanet: number,
  texts: Array<{ seq: number; place: Place }>,
  touched: Set<number>,
): Promise<void> {
  if (texts.length === 0) return;
  await noteTexts(
    db,
    datanet,
    texts.map(({ seq }) => seq),
    touched,
  );
  const blobs = await blobOrds(
    db,
    texts.map(({ place }) => place.blob),
  );
  for (const { seq, place } of texts) {
    await db
      .updateTable('examples')
      .set({ blob: blobs.get(place.blob)!, offset: place.offset, bytes: place.bytes })
      .where('datanet', '=', datanet)
      .where('seq', '=', seq)
      .execute();
  }
}

/** Notes the blobs in which texts of examples lie. */
async function noteTexts(db: Queries, datanet: number, seqs: number[], touched: Set<number>): Promise<void> {
  const texts = await db
    .selectFrom('examples')
    .select('blob')
    .distinct()
    .where('datanet', '=', datanet)
    .where('seq', 'in', seqs)
    .where('blob', 'is not', null)
    .execute();
  await noteErasure(
    db,
    texts.map((row) => row.blob!),
    touched,
  );
}

export async function noteErasure(
  db: Queries,
  blobs: Iterable<number>,
  touched?: Set<number>,
): Promise<void> {
  const rows = [...blobs].map((blob) => ({ blob }));
  for (const some of pieces(rows, 1)) {
    await db
      .insertInto('erasures')
      .values(some)
      .onConflict((conflict) => conflict.doNothing())
      .execute();
  }
  for (const { blob } of rows) touched?.add(blob);
}

async function unused(
  { usesBlob }: Pick<DatanetStore, 'usesBlob'>,
  db: Queries,
  blobs: Set<number>,
): Promise<string[]> {
  if (blobs.size === 0) return [];
  const rows = await db
    .selectFrom('blobs')
    .select('sha256')
    .where('ord', 'in', [...blobs])
    .execute();
  const needless: string[] = [];
  for (const { sha256 } of rows) if (!(await usesBlob(hex(sha256)))) needless.push(hex(sha256));
  return needless;
}

/**
 * What a database keeps of what was deleted. SQLite overwrites it in its pages (secure_delete), but older pages stay in the
 * log until it is cut; PostgreSQL leaves it in the table's files until the table is written anew, which VACUUM FULL does (a plain one only marks the room as free)
 * and which keeps everyone waiting for as long. Its own log (pg_wal, archives, replicas) has it until it is recycled, as its settings
 * say: no statement cuts that.
 */
export async function scrub({ db, kind }: Sql): Promise<void> {
  if (kind === 'sqlite') return patient(() => cutLog(db));
  for (const table of ['examples', 'refusedRows', 'verdicts', 'contributions', 'jobs'])
    await sql`VACUUM (FULL) ${sql.table(table)}`.execute(db);
}

async function cutLog(db: Queries): Promise<void> {
  const { rows } = await sql<{ busy: number }>`PRAGMA wal_checkpoint(TRUNCATE)`.execute(db);
  if (rows[0]?.busy) throw Object.assign(new Error('Another process reads the log'), { code: 'SQLITE_BUSY' });
}

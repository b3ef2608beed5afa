/** Verdicts of curations, curators' words, and what is kept by them. */
import { sql } from 'kysely';
import type { Place } from '../../model.ts';
import { bytes, hex, quoted } from '../codec.ts';
import type { DatanetStore, Verdict } from '../datanet_store.ts';
import { batchRows, blobOrds, cut, ordOf, pieces, type Queries, type Sql } from './common.ts';
import { noteErasure } from './erasure.ts';
import { exampleOf, latestCuration, placeOf, selectExamples } from './example_rows.ts';
import { jobs } from './jobs.ts';
import { numberOf, windows } from './rows.ts';

type CurationQueries = Pick<
  DatanetStore,
  'addVerdicts' | 'clearVerdicts' | 'latestCuration' | 'verdicts' | 'override' | 'overrides' | 'kept'
>;

export function curationQueries(store: Sql): CurationQueries {
  const { db } = store;
  return {
    async addVerdicts(job, verdicts, progress) {
      const unique = oncePerAction(verdicts);
      await db.transaction().execute(async (trx) => {
        const { ord, verdicts: given } = await trx
          .updateTable('jobs')
          .set({
            ...(jobs.encode(progress) as object),
            verdicts: sql<number>`verdicts + ${unique.length}`,
          })
          .where('ord', '=', await ordOf(trx, 'jobs', job))
          .returning(['ord', 'verdicts'])
          .executeTakeFirstOrThrow();
        const there = await withoutErased({ db: trx, kind: store.kind }, job, unique);
        const rows = await verdictRows(trx, there, ord, given - unique.length);
        for (const some of pieces(rows, 11)) {
          await trx
            .insertInto('verdicts')
            .values(some)
            // A stage that was cut begins anew and says again what it said.
            .onConflict((conflict) =>
              conflict.columns(['job', 'seq', 'stage', 'action']).doUpdateSet((eb) => ({
                n: eb.ref('excluded.n'),
                reason: eb.ref('excluded.reason'),
                canonical: eb.ref('excluded.canonical'),
                maskHash: eb.ref('excluded.maskHash'),
                maskBlob: eb.ref('excluded.maskBlob'),
                maskOffset: eb.ref('excluded.maskOffset'),
                maskBytes: eb.ref('excluded.maskBytes'),
              })),
            )
            .execute();
        }
      });
    },

    async clearVerdicts(job) {
      const number = await ordOf(db, 'jobs', job);
      for (let some = true; some; ) {
        some = await db.transaction().execute((trx) => clearSome(trx, number));
      }
    },

    async latestCuration(datanet) {
      const ord = await latestCuration(db, datanet);
      if (ord === null) return undefined;
      const row = await db.selectFrom('jobs').selectAll().where('ord', '=', ord).executeTakeFirst();
      return row && jobs.decode(row);
    },

    async verdicts(job, { stage, action, seq }, { after = 0, limit }) {
      const number = await ordOf(db, 'jobs', job);
      let found = db.selectFrom('verdicts').where('job', '=', number);
      if (stage !== undefined) found = found.where('stage', '=', stage);
      if (action !== undefined) found = found.where('action', '=', action);
      if (seq !== undefined) found = found.where('seq', '=', seq);
      // A page ends between examples, since the next one begins after an example: `limit` counts those.
      const seqs = await found
        .select('seq')
        .distinct()
        .where('seq', '>', Number(after))
        .orderBy('seq')
        .limit(limit + 1)
        .execute();
      const page = cut(
        seqs.map((row) => row.seq),
        limit,
      );
      if (page.data.length === 0) return { data: [], hasMore: false };
      const rows = await found
        .leftJoin('blobs', 'blobs.ord', 'maskBlob')
        .select(['seq', 'stage', 'action', 'reason', 'canonical', 'maskHash', 'sha256'])
        .select(['maskOffset as offset', 'maskBytes as bytes'])
        .where('seq', '>=', page.data[0]!)
        .where('seq', '<=', page.data.at(-1)!)
        .orderBy('seq')
        .orderBy('n')
        .execute();
      const data = rows.map((row): Verdict => {
        const place = placeOf(row);
        return {
          seq: row.seq,
          stage: row.stage,
          action: row.action,
          reason: JSON.parse(row.reason),
          ...(row.canonical !== null && { canonical: row.canonical }),
          ...(row.maskHash && place && { masked: { hash: hex(row.maskHash), place } }),
        };
      });
      return { data, hasMore: page.hasMore };
    },

    async override(datanet, seq, word) {
      const number = await numberOf(db, datanet);
      if (word === null) {
        await db.deleteFrom('overrides').where('datanet', '=', number).where('seq', '=', seq).execute();
        return;
      }
      const said = {
        keep: word.keep ? 1 : 0,
        by: word.by,
        reason: quoted(word.reason)!,
        at: Math.floor(Date.now() / 1000),
      };
      await db
        .insertInto('overrides')
        .values({ datanet: number, seq, ...said })
        .onConflict((conflict) => conflict.columns(['datanet', 'seq']).doUpdateSet(said))
        .execute();
    },

    async overrides(datanet, { after = 0, limit }) {
      const rows = await db
        .selectFrom('overrides')
        .select(['seq', 'keep', 'by', 'reason', 'at'])
        .where('datanet', '=', await numberOf(db, datanet))
        .where('seq', '>', Number(after))
        .orderBy('seq')
        .limit(limit + 1)
        .execute();
      const words = rows.map((row) => ({
        ...row,
        keep: row.keep === 1,
        reason: JSON.parse(row.reason) as string,
      }));
      return cut(words, limit);
    },

    async *kept(datanet, curation) {
      const number = await numberOf(db, datanet);
      const job = curation === null ? null : await ordOf(db, 'jobs', curation);
      for await (const [from, to] of windows(db, number, {})) {
        const rows = await selectExamples(db, number)
          .select('o.keep')
          .where('e.seq', '>', from)
          .where('e.seq', '<=', to)
          .where('e.blob', 'is not', null)
          .where('c.state', '=', 'accepted')
          .orderBy('e.seq')
          .execute();
        const found = job === null ? nothingFound : await findingsOf(db, job, from, to);
        const kept = rows.flatMap((row) => {
          if (row.keep === 0 || (row.keep === null && found.aside.has(row.seq))) return [];
          const example = exampleOf(datanet, row as never);
          const cluster = found.clusters.get(row.seq) ?? null;
          const mask = found.masks.get(row.seq);
          if (!mask) return { ...example, cluster };
          return { ...example, ...mask, originalHash: example.originalHash ?? example.hash, cluster };
        });
        if (kept.length > 0) yield kept;
      }
    },
  };
}

interface Findings {
  aside: Set<number>;
  /** By example: the seq that stands for its cluster. */
  clusters: Map<number, number>;
  /** By example: its latest mask. */
  masks: Map<number, { hash: string; place: Place }>;
}

const nothingFound: Findings = { aside: new Set(), clusters: new Map(), masks: new Map() };

/** What a curation found about the examples from `from` (exclusive) to `to`. */
async function findingsOf(db: Queries, job: number, from: number, to: number): Promise<Findings> {
  const found: Findings = { aside: new Set(), clusters: new Map(), masks: new Map() };
  const standing = await db
    .selectFrom('verdicts')
    .select('canonical')
    .distinct()
    .where('job', '=', job)
    .where('canonical', '>', from)
    .where('canonical', '<=', to)
    .execute();
  for (const { canonical } of standing) found.clusters.set(canonical!, canonical!);
  const verdicts = await db
    .selectFrom('verdicts')
    .leftJoin('blobs', 'ord', 'maskBlob')
    .select([
      'seq',
      'action',
      'canonical',
      'maskHash',
      'sha256',
      'maskOffset as offset',
      'maskBytes as bytes',
    ])
    .where('job', '=', job)
    .where('seq', '>', from)
    .where('seq', '<=', to)
    .orderBy('n')
    .execute();
  for (const row of verdicts) {
    if (row.action === 'quarantine' || row.action === 'duplicate') found.aside.add(row.seq);
    if (row.canonical !== null) found.clusters.set(row.seq, row.canonical);
    const place = placeOf(row);
    if (row.maskHash && place) found.masks.set(row.seq, { hash: hex(row.maskHash), place });
  }
  return found;
}

/** One verdict for an example, a stage and an action: what a stage found more than once is told in one. */
function oncePerAction(verdicts: Verdict[]): Verdict[] {
  const unique = new Map<string, Verdict>();
  for (const verdict of verdicts) {
    const key = `${verdict.seq} ${verdict.action} ${verdict.stage}`;
    const before = unique.get(key);
    unique.set(key, before ? { ...verdict, reason: `${before.reason} ${verdict.reason}` } : verdict);
  }
  return [...unique.values()];
}

/** The verdicts; masks of examples whose text is gone are left out, since it is in them too. */
async function withoutErased({ db, kind }: Sql, job: string, verdicts: Verdict[]): Promise<Verdict[]> {
  const masked = verdicts.filter((verdict) => verdict.masked);
  const gone = new Set<number>();
  for (const some of pieces(masked, 1)) {
    const found = db
      .selectFrom('examples')
      .innerJoin('datanets', 'datanets.ord', 'examples.datanet')
      .innerJoin('jobs', 'jobs.datanet', 'datanets.id')
      .select(['examples.seq', 'examples.blob'])
      .where('jobs.id', '=', job)
      .where(
        'examples.seq',
        'in',
        some.map(({ seq }) => seq),
      );
    // Held until the masks are there, so that whoever erases the texts finds them.
    const rows = await (kind === 'postgres' ? found.forShare() : found).execute();
    for (const { seq, blob } of rows) if (blob === null) gone.add(seq);
  }
  if (gone.size === 0) return verdicts;
  const blobs = masked.flatMap(({ seq, masked }) => (gone.has(seq) ? [masked!.place.blob] : []));
  await noteErasure(db, (await blobOrds(db, blobs)).values());
  return verdicts.map(({ masked, ...verdict }) =>
    masked && !gone.has(verdict.seq) ? { ...verdict, masked } : verdict,
  );
}

/** False: there are none any more. */
async function clearSome(db: Queries, job: number): Promise<boolean> {
  const rows = await db
    .selectFrom('verdicts')
    .select('seq')
    .where('job', '=', job)
    .orderBy('seq')
    .limit(batchRows)
    .execute();
  if (rows.length === 0) return false;
  const last = rows.at(-1)!.seq;
  const masks = await db
    .selectFrom('verdicts')
    .select('maskBlob')
    .distinct()
    .where('job', '=', job)
    .where('seq', '<=', last)
    .where('maskBlob', 'is not', null)
    .execute();
  await noteErasure(
    db,
    masks.map(({ maskBlob }) => maskBlob!),
  );
  await db.deleteFrom('verdicts').where('job', '=', job).where('seq', '<=', last).execute();
  return true;
}

async function verdictRows(db: Queries, verdicts: Verdict[], job: number, before: number) {
  const blobs = await blobOrds(
    db,
    verdicts.flatMap(({ masked }) => masked?.place.blob ?? []),
  );
  return verdicts.map(({ seq, stage, action, reason, canonical, masked }, index) => ({
    job,
    seq,
    stage,
    action,
    n: before + index + 1,
    reason: JSON.stringify(reason),
    canonical: canonical ?? null,
    maskHash: masked ? bytes(masked.hash) : null,
    maskBlob: masked ? blobs.get(masked.place.blob)! : null,
    maskOffset: masked ? masked.place.offset : null,
    maskBytes: masked ? masked.place.bytes : null,
  }));
}

/** Examples as their rows: the columns that make one, and which of them a snapshot would have. */
import { sql } from 'kysely';
import type { Place, StoredExample } from '../../model.ts';
import { hex, unquoted } from '../codec.ts';
import type { Queries } from './common.ts';

export interface ExampleRow {
  seq: number;
  contribution: string;
  contributor: string;
  line: number;
  hash: Uint8Array;
  originalHash: Uint8Array | null;
  source: string | null;
  group: string | null;
  sha256: Uint8Array | null;
  offset: number | null;
  bytes: number | null;
}

/** Of a Datanet, by its number: examples (e) with their contributions (c), blobs (b) and curators' words (o). */
export function selectExamples(db: Queries, datanet: number) {
  return db
    .selectFrom('examples as e')
    .innerJoin('contributions as c', 'c.ord', 'e.contribution')
    .leftJoin('blobs as b', 'b.ord', 'e.blob')
    .leftJoin('overrides as o', (join) =>
      join.onRef('o.datanet', '=', 'e.datanet').onRef('o.seq', '=', 'e.seq'),
    )
    .where('e.datanet', '=', datanet)
    .select([
      'e.seq',
      'c.id as contribution',
      'c.contributor',
      'e.line',
      'e.hash',
      'e.originalHash',
      'e.source',
      'e.group',
      'b.sha256',
      'e.offset',
      'e.bytes',
    ]);
}

export function exampleOf(datanet: string, row: ExampleRow): StoredExample {
  return {
    seq: row.seq,
    datanet,
    contribution: row.contribution,
    contributor: row.contributor as string,
    line: row.line,
    hash: hex(row.hash),
    originalHash: row.originalHash && hex(row.originalHash),
    source: unquoted(row.source),
    group: unquoted(row.group),
    place: placeOf(row),
  };
}

export function placeOf(row: Pick<ExampleRow, 'sha256' | 'offset' | 'bytes'>): Place | null {
  return row.sha256 === null ? null : { blob: hex(row.sha256), offset: row.offset!, bytes: row.bytes! };
}

/** Whether an example is set aside: by a curator's word, or without one by a verdict of the curation (null: there is none). */
export function isSetAside(curation: number | null) {
  return sql<boolean>`CASE WHEN o.keep IS NOT NULL THEN o.keep = 0 ELSE EXISTS (
    SELECT 1 FROM verdicts AS v
    WHERE v.job = ${curation} AND v.seq = e.seq AND v.action IN ('quarantine', 'duplicate')) END`;
}

/** Number of the latest curation that is done. */
export async function latestCuration(db: Queries, datanet: string): Promise<number | null> {
  const row = await db
    .selectFrom('jobs')
    .select('ord')
    .where('datanet', '=', datanet)
    .where('kind', '=', 'curate')
    .where('state', '=', 'succeeded')
    .orderBy('finishedAt', 'desc')
    .orderBy('ord', 'desc')
    .limit(1)
    .executeTakeFirst();
  return row?.ord ?? null;
}

/** Numbers of a Datanet's curations, for a query. */
export function curationsOf(db: Queries, datanet: number) {
  return db
    .selectFrom('jobs')
    .innerJoin('datanets', 'datanets.id', 'jobs.datanet')
    .where('datanets.ord', '=', datanet)
    .where('jobs.kind', '=', 'curate')
    .select('jobs.ord');
}
